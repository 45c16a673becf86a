"""The scanner of a synthetic chest: voxel size, where and how the patient lies, blur and noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

from ...volume_med3d_r1 import CANONICAL_ORIENTATION, orientation_affine
from .body import Body
from .canvas import Canvas

FIELD_MM = ((292.0, 318.0), (325.0, 375.0))
"""Shortest and longest field of view: along the body, and across."""

_MIDDLE_Z = -10.0
"""Of the body: what lies in the middle of the scan."""


@dataclass(frozen=True)
class Scanner:
    """How a scan was made; nothing of it has to do with any disease.

    Attributes:
        spacing: millimetres between voxels along (D, H, W).
        offset: of the patient's middle from the scan's, millimetres along (x, y, z).
        roll: radians by which the patient lies turned about the long axis.
        isocentre: where the scan's middle lies in the scanner's world, RAS+.
        kernel: millimetres over which the reconstruction blurs.
        noise: HU, in voxels of one cubic millimetre.
        table: whether the table was left in the picture.
    """

    spacing: tuple[float, float, float]
    offset: tuple[float, float, float]
    roll: float
    isocentre: tuple[float, float, float]
    kernel: float
    noise: float
    table: bool

    def affine(self, shape: Sequence[int]) -> np.ndarray:
        """(4, 4), canonical voxel (d, h, w) to millimetres, RAS+."""
        affine = orientation_affine(CANONICAL_ORIENTATION, self.spacing)
        affine[:3, 3] = np.array(self.isocentre) - affine[:3, :3] @ ((np.array(shape) - 1) / 2)
        return affine

    def canvas(self, shape: Sequence[int], slices: slice, body: Body) -> Canvas:
        """An empty canvas for some slices of a scan of the given shape."""
        (depth, height, width), (step_z, step_y, step_x) = shape, self.spacing
        (scale_x, scale_y, scale_z), (off_x, off_y, off_z) = body.scale, self.offset
        cos, sin = float(np.cos(self.roll)), float(np.sin(self.roll))
        x = ((width - 1) / 2 - np.arange(width)) * step_x - off_x
        y = ((height - 1) / 2 - np.arange(height))[:, None] * step_y - off_y
        z = (np.arange(depth)[slices] - (depth - 1) / 2) * step_z - off_z
        row_of, column_of = (height - 1) / 2 - off_y / step_y, (width - 1) / 2 - off_x / step_x
        size = (len(z), height, width)
        return Canvas(
            hu=np.zeros(size, np.float32),
            lung=np.zeros(size, np.float32),
            x=np.float32((cos * x + sin * y) / scale_x),
            y=np.float32((cos * y - sin * x) / scale_y),
            z=np.float32(z / scale_z + _MIDDLE_Z)[:, None, None],
            pixels=(
                (-sin * scale_x / step_y, -cos * scale_y / step_y, row_of),
                (-cos * scale_x / step_x, sin * scale_y / step_x, column_of),
            ),
            edge=float(np.hypot((step_x + step_y) / 2, self.kernel)),
            voxel=self.voxel,
        )

    @property
    def voxel(self) -> float:
        """The edge of a cube as large as a voxel, in millimetres."""
        return prod(self.spacing) ** (1 / 3)

    def grain(self, rng: np.random.Generator, shape: Sequence[int]) -> np.ndarray:
        """Noise in HU, float32 (d, h, w): less in large voxels, and alike in neighbours of a slice."""
        noise = rng.standard_normal((shape[0], shape[1] + 1, shape[2] + 1), dtype=np.float32)
        noise = noise[:, 1:] + noise[:, :-1]
        return (noise[..., 1:] + noise[..., :-1]) * np.float32(0.5 * self.noise / self.voxel**0.5)


def draw_scanner(
    rng: np.random.Generator,
    reconstruction: np.random.Generator,
    shape: Sequence[int],
    spacing: Sequence[float] | None = None,
) -> Scanner:
    """How a scan of this shape may have been made.

    Args:
        rng: for what all reconstructions of a scan share.
        reconstruction: for blur and noise.
        shape: voxels along (D, H, W).
        spacing: default: drawn.
    """
    across = rng.uniform(*FIELD_MM[1])
    drawn = (rng.uniform(*FIELD_MM[0]) / shape[0], across / shape[1], across / shape[2])
    return Scanner(
        spacing=tuple(float(step) for step in spacing) if spacing else tuple(round(step, 4) for step in drawn),
        offset=tuple(rng.normal(0, (4.0, 4.0, 4.0)).tolist()),
        roll=float(rng.normal(0, 0.03)),
        isocentre=tuple(rng.uniform((-20, -20, -400), (20, 20, 400)).round(1).tolist()),
        table=bool(rng.random() < 0.8),
        kernel=float(reconstruction.choice([0.6, 1.0, 1.6])),
        noise=reconstruction.uniform(8, 20),
    )


__all__ = ["FIELD_MM", "Scanner", "draw_scanner"]
