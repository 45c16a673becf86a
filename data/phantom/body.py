"""The body of a synthetic patient: its numbers, and where its chest wall, lungs, lobes and heart lie.

Millimetres of the body: x to the patient's right, y to the front, z to the head; the origin lies between the lungs, a
little below the fork of the windpipe. A depth is millimetres below a surface, positive inside. The functions take
points and whole grids alike: x, y, z are arrays that broadcast.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

import numpy as np

SIDES = {"right": 1.0, "left": -1.0}
"""Sign of x."""

LOBES = {"right": ("upper", "middle", "lower"), "left": ("upper", "lower")}

FLOOR_OF_CHEST, TOP_OF_CHEST = -125.0, 125.0
HORIZONTAL_FISSURE = 2.0
"""z of the one between upper and middle lobe of the right lung."""

_SPINE_Y = -68.0
_HEART_LONG_AXIS = (-0.72, 0.52, -0.46)  # to the left, the front and the feet
_LARGEST_HEART = 1.35
_DOMES = ((68.0, 0.0), (-70.0, -4.0))  # x and y of the two tops of the diaphragm


@dataclass(frozen=True, eq=False)
class Body:
    """What differs from patient to patient, whatever the disease.

    Attributes:
        woman: breasts are drawn.
        scale: of the body's millimetres along (x, y, z) in the world's.
        chest: half width and half depth inside of the ribs.
        fat, muscle: thickness under the skin.
        lung_hu: of the lung at mid height; lung_slope: HU per mm by which it grows denser towards the back.
        blood_hu: about 42, and more with contrast agent.
        heart_size: 1 is average; heart_shift: of its centre.
        aorta_radius, domes (z of the tops of the diaphragm, right and left), kyphosis (mm that the spine bends).
        fissures: of the oblique ones, right and left: z + 0.9 y along it.
        incidentals: what is there besides and is none of the 18 abnormalities (names of `INCIDENTALS`).
        seed: of vessels, airways and texture.
    """

    woman: bool
    scale: tuple[float, float, float]
    chest: tuple[float, float]
    fat: float
    muscle: float
    lung_hu: float
    lung_slope: float
    blood_hu: float
    heart_size: float
    heart_shift: tuple[float, float, float]
    aorta_radius: float
    domes: tuple[float, float]
    kyphosis: float
    fissures: tuple[float, float]
    incidentals: tuple[str, ...]
    seed: int

    @property
    def contrast(self) -> bool:
        """Whether contrast agent was given."""
        return self.blood_hu > 80

    def millimetres(self, length: float) -> float:
        """A length in the world's millimetres."""
        return length * prod(self.scale) ** (1 / 3)

    @cached_property
    def heart(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Centre, radii and axes (one a row) of the heart muscle's outer surface, for `Canvas.ellipsoid`."""
        long_axis = np.array(_HEART_LONG_AXIS) / np.linalg.norm(_HEART_LONG_AXIS)
        across = np.array((long_axis[1], -long_axis[0], 0.0)) / np.hypot(*long_axis[:2])
        centre = np.array((-22.0, 18.0, -38.0)) + self.heart_shift
        # A heart that grows does so to the left and the front, and keeps its place on the diaphragm.
        centre = centre + (self.heart_size - 1) * np.array((-26.0, 24.0, 8.0))
        radii = np.array((68.0, 48.0, 49.0)) * self.heart_size
        return centre, radii, np.stack([long_axis, across, np.cross(long_axis, across)])

    def trunk(self, x, y, z):
        """Depth below the skin; narrows to the neck."""
        width, depth = self.chest[0] + 15 + self.muscle + self.fat, self.chest[1] + 20 + self.muscle + self.fat
        size, length = _superellipse(x, y + 12, width, depth, 2.6)
        return (1 - 0.25 * _smooth_step((z - 40) / 80) - 0.35 * _smooth_step((z - 105) / 55) - size) * length

    def cavity(self, x, y, z):
        """Depth inside of the rib cage; narrows to the tips of the lungs, and stays open towards the belly."""
        size, length = _superellipse(x, y + 2, *self.chest, 2.4)
        return (self.cavity_size(z) - size) * length

    def cavity_size(self, z):
        """The part of its full width and depth that the rib cage has."""
        return (1 - np.clip((z + 15) / 142, 0, 1) ** 3) ** 0.6

    def diaphragm(self, x, y):
        """z of the diaphragm."""
        right, left = (
            top - 50 * ((x - cx) / 75) ** 2 - 52 * ((y - cy) / 85) ** 2
            for top, (cx, cy) in zip(self.domes, _DOMES, strict=True)
        )
        return np.maximum(right, left)

    def spine_y(self, z):
        """y of the middle of the vertebral bodies."""
        return _SPINE_Y - self.kyphosis * (1 - (z / 120) ** 2)

    def mediastinum(self, x, y, z):
        """Depth inside of what lies between the lungs: fat and vessels, the spine, the heart with the fat around."""
        width = 21 + 8 * np.exp(-(((z - 25) / 45) ** 2))
        column = (1 - np.sqrt(((x + 2) / width) ** 2 + ((y + 2) / 82) ** 2)) * 25
        spine = (1 - np.sqrt((x / 27) ** 2 + ((y - self.spine_y(z)) / 27) ** 2)) * 27
        return np.maximum(np.maximum(column, spine), self.heart_depth(x, y, z) + 6)

    def heart_depth(self, x, y, z):
        """Depth below the surface of the heart."""
        centre, radii, axes = self.heart
        x, y, z = (at - middle for at, middle in zip((x, y, z), centre.tolist(), strict=True))
        scaled = (axes / radii[:, None]).tolist()
        return (1 - np.sqrt(sum(((x * a + y * b) + z * c) ** 2 for a, b, c in scaled))) * float(radii.min())

    def lung(self, x, y, z):
        """Depth inside of the lungs. Room is left for a large heart, so that what lies there is seen with it too."""
        inside = np.minimum(self.cavity(x, y, z), z - self.diaphragm(x, y))
        return np.minimum(inside, -self._with_large_heart.mediastinum(x, y, z))

    @cached_property
    def _with_large_heart(self) -> Body:
        return replace(self, heart_size=_LARGEST_HEART)

    def fissure(self, x, y, z):
        """Millimetres above the oblique fissure: negative in the lower lobes."""
        return (z + 0.9 * y - np.where(x > 0, *np.float32(self.fissures))) / 1.345

    def lobe(self, side: str, lobe: str, x, y, z):
        """Depth behind the fissures of a lobe, and on its side of the body."""
        depth = self.fissure(x, y, z)
        if lobe == "lower":
            depth = -depth
        elif side == "right":
            depth = np.minimum(depth, HORIZONTAL_FISSURE - z if lobe == "middle" else z - HORIZONTAL_FISSURE)
        return np.minimum(depth, x * SIDES[side])

    def place_in_lung(self, rng: np.random.Generator, side: str, lobe: str, depth=(8.0, 60.0), low=FLOOR_OF_CHEST,
                      high=TOP_OF_CHEST) -> np.ndarray:  # fmt: skip
        """A random point (x, y, z) of a lobe, at a depth in millimetres below the lung's surface, z from low to high.

        Where the lobe has no such place, the deepest of the places that were tried.
        """
        width, length = self.chest
        x = SIDES[side] * rng.uniform(5, width, 400)
        y, z = rng.uniform(-length - 2, length - 2, 400), rng.uniform(low, high, 400)
        below = np.where(self.lobe(side, lobe, x, y, z) > 0, self.lung(x, y, z), -99.0)
        fits = np.flatnonzero((below >= depth[0]) & (below <= depth[1]))
        chosen = fits[0] if len(fits) else np.argmax(below)
        return np.array((x[chosen], y[chosen], z[chosen]))


INCIDENTALS = {"vertebral osteophytes": 0.25, "hepatic cyst": 0.12, "thyroid nodule": 0.08}
"""Frequent findings that are none of the 18, and how often they are drawn."""


def draw_body(rng: np.random.Generator) -> Body:
    """A patient."""
    contrast = rng.random() < 0.35
    return Body(
        woman=bool(rng.random() < 0.5),
        scale=tuple(np.clip(rng.normal(1, 0.03, 3), 0.93, 1.07).tolist()),
        chest=(rng.uniform(126, 138), rng.uniform(80, 90)),
        fat=rng.uniform(6, 24),
        muscle=rng.uniform(8, 14),
        lung_hu=rng.uniform(-880, -835),
        lung_slope=rng.uniform(0.2, 0.4),
        blood_hu=rng.uniform(130, 200) if contrast else rng.uniform(38, 46),
        heart_size=rng.uniform(0.88, 1.02),
        heart_shift=tuple(rng.normal(0, 3, 3).tolist()),
        aorta_radius=rng.uniform(12, 15.5),
        domes=(rng.uniform(-62, -46), rng.uniform(-76, -58)),
        kyphosis=rng.uniform(0, 8),
        fissures=tuple(rng.uniform(-14, 6, 2).tolist()),
        incidentals=tuple(name for name, share in INCIDENTALS.items() if rng.random() < share),
        seed=int(rng.integers(2**32)),
    )


def _superellipse(x, y, width: float, depth: float, power: float):
    """The size (1 on the given one) of the superellipse through each point, and millimetres per unit of size there."""
    across, along = np.abs(x) / width + 1e-4, np.abs(y) / depth + 1e-4
    size = (across**power + along**power) ** (1 / power)
    slope = np.sqrt(((across / size) ** (power - 1) / width) ** 2 + ((along / size) ** (power - 1) / depth) ** 2)
    return size, 1 / slope


def _smooth_step(share):
    share = np.clip(share, 0, 1)
    return share * share * (3 - 2 * share)


__all__ = ["FLOOR_OF_CHEST", "HORIZONTAL_FISSURE", "INCIDENTALS", "LOBES", "SIDES", "TOP_OF_CHEST", "Body",
           "draw_body"]  # fmt: skip
