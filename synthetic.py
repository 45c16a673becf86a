"""One synthetic chest CT: a stand-in wherever a real scan cannot be shipped (demo, README picture, tests).

Organs are painted one over the other in millimetres, slice by slice, from ellipsoids and tubes; each seed is another
body. It is made to be recognised and to have the right densities, sides and sizes, not to teach a model anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from .volume_med3d_r1 import AIR_HU, CANONICAL_ORIENTATION, CTVolume, orientation_affine

EXTENT_MM = (330.0, 380.0, 380.0)
"""Field of view along (D, H, W): from the upper abdomen to the neck, and the whole width of the body."""

NOISE_HU = 12.0

_LUNG_CENTRES = (np.array([73.0, 0.0, 5.0]), np.array([-76.0, -4.0, 5.0]))
_LUNG_RADII = np.array([61.0, 84.0, 138.0])
_TUBES = (  # corners (x, y, z), radius, HU: windpipe and main bronchi, gullet, aorta, upper caval vein
    (((0, -8, 170), (0, -20, 35)), 8.5, -1000.0),
    (((0, -20, 35), (32, -26, 12)), 6.5, -1000.0),
    (((0, -20, 35), (-38, -30, 8)), 6.0, -1000.0),
    (((-6, -38, 170), (-4, -42, 40), (-8, -40, -150)), 6.0, 30.0),
    (((6, 22, -5), (14, 26, 32), (6, 14, 58), (-14, -16, 62), (-24, -46, 40), (-18, -50, -165)), 13.0, 150.0),
    (((28, 14, 110), (30, 12, -10)), 9.0, 150.0),
)


@dataclass(frozen=True, eq=False)
class _Slice:
    """One axial slice under the brush. Axes (H, W); millimetres from the middle of the body, RAS+.

    Attributes:
        hu: float32 (H, W), painted so far.
        x, y: (1, W) and (H, 1), grow to the patient's right and front.
        z: height above the middle.
        edge: millimetres over which a surface fades: about one voxel, so that small grids show partial volumes.
    """

    hu: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: float
    edge: float

    def ellipsoid(self, centre, radii) -> np.ndarray:
        """Depth in mm below the surface of an ellipsoid, (H, W), positive inside; exact at the surface only."""
        (x, y, z), (a, b, c) = centre, radii
        distance = ((self.x - x) / a) ** 2 + ((self.y - y) / b) ** 2 + ((self.z - z) / c) ** 2
        return (1 - np.sqrt(distance)) * min(a, b)

    def paint(self, depth: np.ndarray, hu: float | np.ndarray) -> None:
        """Cover what lies inside a surface."""
        cover = np.clip(0.5 + depth / self.edge, 0, 1)
        self.hu[:] += cover * (hu - self.hu)

    def paint_tube(self, start, end, radius: float, hu: float, within: np.ndarray | None = None) -> None:
        """Paint a tube with round ends; where `within` (H, W) is given, only inside of that surface too."""
        low, high = np.minimum(start, end) - radius - self.edge, np.maximum(start, end) + radius + self.edge
        rows = np.flatnonzero((self.y > low[1]) & (self.y < high[1]))
        columns = np.flatnonzero((self.x > low[0]) & (self.x < high[0]))
        if not (low[2] < self.z < high[2] and len(rows) and len(columns)):
            return
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        x, y, z = self.x[:, box[1]] - start[0], self.y[box[0]] - start[1], self.z - start[2]
        a, b, c = axis = np.subtract(end, start)
        t = np.clip((x * a + y * b + z * c) / (axis @ axis), 0, 1)
        depth = radius - np.sqrt((x - t * a) ** 2 + (y - t * b) ** 2 + (z - t * c) ** 2)
        replace(self, hu=self.hu[box]).paint(depth if within is None else np.minimum(depth, within[box]), hu)


def synthetic_chest(
    shape: tuple[int, int, int] = (110, 192, 192), spacing: tuple[float, float, float] | None = None, seed: int = 0
) -> CTVolume:
    """A chest CT with contrast agent, in canonical orientation, its middle at the origin of the world.

    Args:
        shape: voxels along (D, H, W).
        spacing: millimetres along (D, H, W); default: `EXTENT_MM` over the shape.
        seed: of the body's proportions, its vessels and the noise.
    """
    spacing = spacing or tuple(extent / length for extent, length in zip(EXTENT_MM, shape, strict=True))
    affine = orientation_affine(CANONICAL_ORIENTATION, spacing)
    affine[:3, 3] = -affine[:3, :3] @ ((np.array(shape) - 1) / 2)

    def blocks() -> Iterator[np.ndarray]:
        for index in range(shape[0]):
            yield _slice_hu(index, shape, affine, spacing, seed)[None]

    return CTVolume(f"synthetic-chest-{seed}", tuple(shape), affine, blocks, headers={"format": "synthetic"})


def save_nifti(volume: CTVolume, path: str | Path) -> None:
    """Write a scan as .nii or .nii.gz, int16, axes in the order that NIfTI files have: columns, rows, slices.

    Raises:
        ImportError: nibabel is not installed.
    """
    import nibabel

    voxels = volume.voxels().astype(np.int16).transpose(2, 1, 0)
    nibabel.save(nibabel.Nifti1Image(voxels, volume.affine[:, [2, 1, 0, 3]]), path)


def _slice_hu(index: int, shape, affine: np.ndarray, spacing, seed: int) -> np.ndarray:
    """int16 (H, W)."""
    body = np.random.default_rng(seed)
    scale = body.uniform(0.94, 1.06, 3)  # of width, depth and height
    rows, columns = np.arange(shape[1])[:, None], np.arange(shape[2])[None]
    x, y = affine[0, 2] * columns + affine[0, 3], affine[1, 1] * rows + affine[1, 3]
    z = float(affine[2, 0] * index + affine[2, 3]) / scale[2]
    hu = np.full(shape[1:], -1000.0, dtype=np.float32)
    page = _Slice(hu, np.float32(x / scale[0]), np.float32(y / scale[1]), z, max(spacing[1:]))
    _paint_wall(page)
    _paint_lungs(page, body)
    _paint_middle(page, body)
    _paint_bones(page)
    hu += np.random.default_rng((seed, index)).normal(0, NOISE_HU, hu.shape)
    return np.clip(np.rint(hu), AIR_HU, 3000).astype(np.int16)


def _paint_wall(page: _Slice) -> None:
    """The table; skin, fat and muscle around the trunk, which narrows to the neck; what fills it."""
    page.paint(3 - np.abs(page.y + 128 - (page.x / 60) ** 2) + 0 * page.x, -300.0)
    neck = float(np.clip((page.z - 115) / 45, 0, 1))
    width, depth = 172 - 105 * neck, 112 - 45 * neck
    skin = page.ellipsoid((0, 0, page.z), (width, depth, 1))
    for below, hu in ((0, 20.0), (2, -100.0), (16, 50.0), (30, 35.0)):
        page.paint(skin - below, hu)


def _paint_lungs(page: _Slice, body: np.random.Generator) -> None:
    """Lungs with their vessels on domes of liver (right) and spleen with a bubble of the stomach (left)."""
    for side, (centre, dome) in enumerate(zip(_LUNG_CENTRES, (-62.0, -78.0), strict=True)):
        diaphragm = dome - ((page.x - centre[0]) / 60) ** 2 * 32 - ((page.y - 8) / 80) ** 2 * 34
        inside = np.minimum(page.ellipsoid(centre, _LUNG_RADII), page.z - diaphragm)
        air = -860 - 0.35 * page.y  # denser at the back, where blood sinks
        page.paint(inside, air)
        for start, end, radius in _branches(centre, np.array([34.0 - 70 * side, -24.0, 8.0]), body):
            page.paint_tube(start, end, radius, 60.0, within=inside)
    page.paint(page.ellipsoid((68, 0, -150), (80, 88, 72)), 95.0)
    page.paint(page.ellipsoid((-82, -32, -140), (46, 44, 44)), 105.0)
    page.paint(page.ellipsoid((-52, 42, -122), (36, 30, 22)), -900.0)


def _branches(centre: np.ndarray, hilum: np.ndarray, body: np.random.Generator):
    """Straight pieces (start, end, radius) of the vessels of one lung: each forks twice on its way outwards."""
    for _ in range(20):
        direction = body.normal(size=3)
        target = centre + 0.8 * _LUNG_RADII * direction / np.linalg.norm(direction)
        fork = hilum + 0.45 * (target - hilum)
        yield hilum, fork, 3.2
        for _ in range(3):
            middle = fork + 0.5 * (target - fork) + body.normal(0, 12, 3)
            yield fork, middle, 2.1
            yield middle, middle + 0.6 * (target - fork) + body.normal(0, 12, 3), 1.3


def _paint_middle(page: _Slice, body: np.random.Generator) -> None:
    """Mediastinum: fat and soft tissue, the heart towards the left, airways, gullet and the large vessels."""
    size = body.uniform(0.92, 1.08)
    page.paint(page.ellipsoid((0, 2, 30), (34, 60, 120)), -60.0)
    page.paint(page.ellipsoid((-22, 26, -45), (66 * size, 52 * size, 58 * size)), -80.0)
    page.paint(page.ellipsoid((-22, 26, -45), (60 * size, 46 * size, 54 * size)), 60.0)
    for centre, radii in (((-40, 16, -50), (26, 24, 36)), ((8, 36, -45), (26, 22, 36)), ((-14, 2, -20), (28, 18, 22))):
        page.paint(page.ellipsoid(centre, np.multiply(radii, size)), 150.0)  # the chambers
    for corners, radius, hu in _TUBES:
        for start, end in pairwise(corners):
            page.paint_tube(start, end, radius, hu)


def _paint_bones(page: _Slice) -> None:
    """Ribs that slope downwards to the front, breastbone, and a spine of bodies and discs with its canal."""
    trunk = page.ellipsoid((0, 0, page.z), (156, 96, 1))
    slope = page.z + 0.42 * page.y
    gap = np.abs((slope + 400) % 26 - 13) - 5.5  # millimetres beyond the edge of the nearest rib
    rib = np.minimum(5 - np.abs(trunk - 6), -gap)
    cage = (np.abs(page.x) > 22) & (slope < 118) & (page.z > -150 + 0.6 * (page.y + 90))
    page.paint(np.where(cage, rib, -99.0), 480.0)
    page.paint(np.where(cage, rib - 2.5, -99.0), 180.0)
    breastbone = page.ellipsoid((0, 84 - 0.08 * abs(page.z - 20), page.z), (19, 7, 1))
    page.paint(breastbone if -55 < page.z < 95 else breastbone - 99, 260.0)
    page.paint(page.ellipsoid((0, -98, page.z), (36 if page.z % 26 < 16 else 6, 12, 1)), 300.0)
    disc = page.z % 26 > 20
    for radii, hu in (((21, 16, 1), 90.0 if disc else 450.0), ((18, 13, 1), 80.0 if disc else 190.0)):
        page.paint(page.ellipsoid((0, -68, page.z), radii), hu)
    page.paint(page.ellipsoid((0, -89, page.z), (9, 7, 1)), 20.0)


__all__ = ["EXTENT_MM", "save_nifti", "synthetic_chest"]
