"""Vessels that findings lie on: corners of their paths, and points along them, in millimetres of the body."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .body import Body

AORTA = (
    (2.0, 14.0, -8.0), (14.0, 24.0, 30.0), (10.0, 18.0, 54.0), (-6.0, -4.0, 66.0), (-20.0, -28.0, 52.0),
    (-24.0, -40.0, 24.0), (-21.0, -42.0, -60.0), (-12.0, -40.0, -180.0),
)  # fmt: skip
AORTA_PARTS = {"ascending aorta": (0.03, 0.14), "aortic arch": (0.16, 0.31), "descending aorta": (0.36, 0.75)}
"""Where they begin and end, as shares of the aorta's length."""

LUNG_ARTERY = ((-14.0, 36.0, -4.0), (-20.0, 22.0, 26.0))
RIGHT_LUNG_ARTERY, LEFT_LUNG_ARTERY = ((-16.0, 14.0, 24.0), (36.0, -8.0, 16.0)), (LUNG_ARTERY[1], (-46.0, -16.0, 26.0))
UPPER_CAVAL_VEIN, LOWER_CAVAL_VEIN = (
    ((25.0, 10.0, 92.0), (28.0, 10.0, -5.0)),
    ((27.0, 0.0, -50.0), (20.0, -14.0, -180.0)),
)
NECK_VESSELS = (  # corners and radius
    (((25.0, 10.0, 92.0), (34.0, 2.0, 175.0)), 6.5),
    (((25.0, 12.0, 90.0), (-36.0, 14.0, 104.0), (-38.0, 2.0, 175.0)), 6.0),
    (((8.0, 12.0, 60.0), (18.0, -4.0, 110.0), (22.0, -6.0, 175.0)), 5.0),
    (((-6.0, 0.0, 66.0), (-18.0, -6.0, 110.0), (-24.0, -8.0, 175.0)), 4.0),
    (((-14.0, -16.0, 62.0), (-30.0, -22.0, 112.0), (-75.0, -18.0, 128.0)), 5.0),
    (((18.0, -4.0, 108.0), (75.0, -18.0, 128.0)), 5.0),
)
GULLET = ((-2.0, -26.0, 175.0), (-4.0, -34.0, 60.0), (-6.0, -36.0, 0.0), (-10.0, -32.0, -72.0), (-34.0, 0.0, -112.0))

_CORONARIES = {  # on the unit sphere of the heart: along its long axis, to the right and front, downwards
    "left anterior descending artery": ((-0.55, 0.15, -0.82), (0.1, 0.35, -0.93), (0.6, 0.3, -0.74), (0.95, 0.1, -0.3)),
    "right coronary artery": ((-0.5, 0.55, -0.67), (-0.3, 0.95, 0.0), (-0.4, 0.6, 0.7)),
    "left circumflex artery": ((-0.55, -0.1, -0.83), (-0.45, -0.75, -0.5), (-0.2, -0.97, 0.1)),
}
CORONARIES = tuple(_CORONARIES)


def coronary(body: Body, name: str) -> np.ndarray:
    """Corners (n, 3) of a coronary artery, in the fat on the heart."""
    centre, radii, axes = body.heart
    return centre + np.array(_CORONARIES[name]) * (radii + 3) @ axes


def along(path: Sequence, share: float) -> tuple[np.ndarray, np.ndarray]:
    """The point at a share (0 to 1) of a path's length, and the direction of the path there."""
    corners = np.asarray(path, dtype=np.float64)
    steps = np.diff(corners, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    ends = np.cumsum(lengths)
    piece = min(int(np.searchsorted(ends, share * ends[-1])), len(steps) - 1)
    left = share * ends[-1] - (ends[piece] - lengths[piece])
    direction = steps[piece] / lengths[piece]
    return corners[piece] + left * direction, direction


__all__ = ["AORTA", "AORTA_PARTS", "CORONARIES", "GULLET", "LEFT_LUNG_ARTERY", "LOWER_CAVAL_VEIN", "LUNG_ARTERY",
           "NECK_VESSELS", "RIGHT_LUNG_ARTERY", "UPPER_CAVAL_VEIN", "along", "coronary"]  # fmt: skip
