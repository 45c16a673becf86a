"""From a scan on its own grid to int16 HU on the model's grid: orient, crop, resample, and turn where it is oblique.

The rules, in one place (the canonical orientation is drawn in the module of `CTVolume`):

- The scan's axes are matched with (D, H, W) by the signed permutation nearest to its affine; flips and permutations
  only, no voxel changes.
- Tilt is the largest angle between an axis and the canonical axis it is matched with. Up to TILT_TOLERANCE (1 degree)
  the scan keeps its own grid: tables are off by 0.1 to 0.5 degrees, no patient lies straighter than that, and at the
  edge of a field of 336 mm one degree is 2.9 mm, less than one slice. The affine keeps the true directions, so
  positions in millimetres stay exact. Beyond it the scan is turned (below).
- Axes that are not at right angles to each other within SHEAR_TOLERANCE (0.5 degrees) are a tilted gantry and refused.
- What lies below -1024 HU is padding or noise and becomes -1024 before anything is averaged. A scan smaller than the
  field is surrounded by -1024.
- The field of view is cropped before resampling: only the samples that the model sees are computed, only the voxels
  that they touch are kept, and when the slices arrive from the feet or from the head only a few of them at a time.
- The result is rounded to whole HU.

An oblique scan is first shrunk along its own axes to about the target spacing with the same anti-aliased kernel, then
turned about its centre onto the canonical grid by trilinear interpolation; outside of it is air. The whole of the
canonical grid is then the box around the turned scan, cropped and padded by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from .resampling_med3d_r1 import AxisGrid, axis_taps, model_axis, resample_planes, resampled_length
from .volume_med3d_r1 import AIR_HU, CANONICAL_ORIENTATION, VolumeError, orientation_affine, orientation_codes

TILT_TOLERANCE = 1.0
"""Degrees between an axis of the scan and its canonical axis up to which the scan keeps its own grid."""

SHEAR_TOLERANCE = 0.5
"""Degrees by which the axes of a scan may miss a right angle."""

_CANONICAL_DIRECTIONS = orientation_affine(CANONICAL_ORIENTATION, (1.0, 1.0, 1.0))[:3, :3]
_HIGHEST_HU = np.iinfo(np.int16).max
_TURNED_SLICES = 8


@dataclass(frozen=True)
class ModelGrid:
    """The grid on which the model sees every scan; all in the order (D, H, W).

    Attributes:
        spacing: target millimetres between voxels.
        field_size: voxels to which the resampled scan is first cropped or padded about its centre.
        size: voxels that the model sees, cropped from the field's centre.
        margin: voxels kept beyond `size` at each side, room for random crops in training.
        antialias: whether shrinking axes average over all their voxels.
    """

    spacing: tuple[float, float, float]
    field_size: tuple[int, int, int]
    size: tuple[int, int, int]
    margin: tuple[int, int, int] = (0, 0, 0)
    antialias: bool = True

    def axes(self, source: tuple[int, ...], whole: tuple[int, ...]) -> tuple[AxisGrid, ...]:
        """The model's axes over a scan of `source` voxels that would be `whole` voxels after resampling."""
        return tuple(map(model_axis, source, whole, self.field_size, self.size, self.margin))


@dataclass(frozen=True, eq=False)
class Pose:
    """How a scan lies in the canonical orientation.

    Attributes:
        axes: the stored axis behind each of (D, H, W).
        flipped: whether it is stored the other way round.
        shape: (D, H, W), voxels of the scan.
        affine: (4, 4) float64, maps canonical indices (d, h, w, 1) of the scan's own grid to millimetres, RAS+.
        tilt: degrees, the largest angle between an axis and its canonical axis.
    """

    axes: tuple[int, int, int]
    flipped: tuple[bool, bool, bool]
    shape: tuple[int, int, int]
    affine: np.ndarray
    tilt: float

    @classmethod
    def of(cls, name: str, shape: tuple[int, int, int], affine: np.ndarray) -> Pose:
        """The pose of a stored grid.

        Raises:
            VolumeError: the affine has an axis of no length, or a shear (a gantry tilt).
        """
        lengths = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.isfinite(affine).all() or not (lengths > 0).all():
            raise VolumeError(
                name,
                "an affine gives every axis a direction and a spacing in mm",
                f"axis lengths {[float(length) for length in lengths]}",
                "Pass affine=, or spacing= and orientation=, if you know them.",
            )
        _refuse_shear(name, affine[:3, :3] / lengths)
        codes = orientation_codes(affine)
        order = [next(axis for axis, code in enumerate(codes) if code in pair) for pair in ("SI", "AP", "RL")]
        flipped = [codes[axis] != letter for axis, letter in zip(order, CANONICAL_ORIENTATION, strict=True)]
        canonical = affine.astype(np.float64)
        for column, (axis, flip) in enumerate(zip(order, flipped, strict=True)):
            canonical[:3, column] = -affine[:3, axis] if flip else affine[:3, axis]
            canonical[:3, 3] += affine[:3, axis] * (shape[axis] - 1) if flip else 0
        cosines = (canonical[:3, :3] / np.linalg.norm(canonical[:3, :3], axis=0) * _CANONICAL_DIRECTIONS).sum(axis=0)
        tilt = float(np.degrees(np.arccos(np.clip(cosines, -1, 1))).max())
        return cls(tuple(order), tuple(flipped), tuple(shape[axis] for axis in order), canonical, tilt)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between the scan's voxels along (D, H, W)."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def oblique(self) -> bool:
        """Whether the scan has to be turned."""
        return self.tilt > TILT_TOLERANCE

    def canonical(self, stored: np.ndarray) -> np.ndarray:
        """A view in canonical order of an array that covers whole stored axes."""
        return np.flip(stored.transpose(self.axes), [axis for axis in range(3) if self.flipped[axis]])

    def stored(self, canonical: np.ndarray) -> np.ndarray:
        """A view in stored order of an array in canonical order."""
        flipped = np.flip(canonical, [axis for axis in range(3) if self.flipped[axis]])
        return flipped.transpose(np.argsort(self.axes))

    def stored_window(self, window: tuple[slice, ...]) -> tuple[slice, ...]:
        """A window of canonical indices as a window of stored indices."""
        stored = [slice(0)] * 3
        for axis, flip, part, length in zip(self.axes, self.flipped, window, self.shape, strict=True):
            stored[axis] = slice(length - part.stop, length - part.start) if flip else part
        return tuple(stored)


def _refuse_shear(name: str, directions: np.ndarray) -> None:
    cosines = np.abs(directions.T @ directions)[np.triu_indices(3, 1)]
    degrees = float(np.degrees(np.arcsin(np.clip(cosines, 0, 1))).max())
    if degrees > SHEAR_TOLERANCE:
        raise VolumeError(
            name,
            f"the axes of a scan stand at right angles to each other within {SHEAR_TOLERANCE} degrees",
            f"{degrees:.1f} degrees of shear, as a tilted gantry leaves it",
            "Resample the scan onto a rectangular grid first (most DICOM converters offer gantry tilt correction).",
        )


@dataclass(frozen=True, eq=False)
class Placement:
    """A scan on the model's grid.

    Attributes:
        hu: int16 (D, H, W).
        affine: (4, 4) float64, voxel of `hu` to millimetres, RAS+.
        axes: how the model's axes lie over the scan (over the box around it, where it was turned).
        spacing: millimetres along (D, H, W).
        resampling: source voxels per resampled voxel along (D, H, W), before turning.
    """

    hu: np.ndarray
    affine: np.ndarray
    axes: tuple[AxisGrid, ...]
    spacing: tuple[float, ...]
    resampling: tuple[float, ...]


def place(blocks: Iterator[np.ndarray], pose: Pose, grid: ModelGrid) -> Placement:
    """Bring a scan onto the model's grid.

    Args:
        blocks: consecutive slabs (n, n1, n2) along the first stored axis, HU, int16 or float32; all are consumed.
        pose: how the stored axes lie.
        grid: where to bring them.
    """
    return _place_turned(blocks, pose, grid) if pose.oblique else _place_straight(blocks, pose, grid)


def _place_straight(blocks: Iterator[np.ndarray], pose: Pose, grid: ModelGrid) -> Placement:
    axes = grid.axes(pose.shape, tuple(map(resampled_length, pose.shape, pose.spacing, grid.spacing)))
    hu = np.full([axis.length for axis in axes], AIR_HU, dtype=np.int16)
    inside = hu[tuple(axis.inside for axis in axes)]
    for index, plane in _resampled_planes(blocks, pose, axes, grid.antialias):
        inside[index] = _whole_hu(plane)
    factors = np.array([axis.factor for axis in axes])
    affine = pose.affine.copy()
    affine[:3, 3] += pose.affine[:3, :3] @ np.array([axis.source_index(0) for axis in axes])
    affine[:3, :3] *= factors
    spacing = tuple(float(s) for s in pose.spacing * factors)
    return Placement(hu, affine, axes, spacing, tuple(float(f) for f in factors))


def _place_turned(blocks: Iterator[np.ndarray], pose: Pose, grid: ModelGrid) -> Placement:
    spacing, target = np.array(pose.spacing), np.array(grid.spacing)
    # Millimetres from the scan's centre along its own axes -> along the canonical axes.
    turn = _CANONICAL_DIRECTIONS.T @ (pose.affine[:3, :3] / spacing)
    box = np.abs(turn) @ (spacing * pose.shape)
    axes = grid.axes(*[tuple(resampled_length(1, extent, step) for extent, step in zip(box, target, strict=True))] * 2)
    # Canonical voxel of the model -> millimetres from the centre.
    origin = (np.array([axis.first - (axis.whole - 1) / 2 for axis in axes])) * target
    whole = tuple(map(resampled_length, pose.shape, spacing, np.maximum(spacing, target)))
    own_spacing = spacing * pose.shape / whole
    back = np.linalg.inv(turn) / own_spacing[:, None]
    offset = back @ origin + (np.array(whole) - 1) / 2
    back = back * target
    own_axes = _own_axes(pose.shape, whole, back, offset, axes)
    shrunk = np.empty([axis.length for axis in own_axes], dtype=np.float32)
    for index, plane in _resampled_planes(blocks, pose, own_axes, grid.antialias):
        shrunk[index] = plane
    hu = np.full([axis.length for axis in axes], AIR_HU, dtype=np.int16)
    _turn(shrunk, back, offset - [axis.first for axis in own_axes], hu)
    affine = np.eye(4)
    affine[:3, :3] = _CANONICAL_DIRECTIONS * target
    centre = pose.affine[:3, :3] @ ((np.array(pose.shape) - 1) / 2) + pose.affine[:3, 3]
    affine[:3, 3] = centre + _CANONICAL_DIRECTIONS @ origin
    return Placement(hu, affine, axes, grid.spacing, tuple(n / m for n, m in zip(pose.shape, whole, strict=True)))


def _own_axes(shape, whole, back: np.ndarray, offset: np.ndarray, axes: tuple[AxisGrid, ...]) -> tuple[AxisGrid, ...]:
    """The part of the shrunk scan that the model's voxels fall on, with a neighbour on each side."""
    ends = [(axis.inside.start, axis.inside.stop - 1) for axis in axes]
    corners = np.stack(np.meshgrid(*ends, indexing="ij"), axis=-1).reshape(8, 3) @ back.T + offset
    first = np.maximum(np.floor(corners.min(axis=0)).astype(int) - 1, 0)
    last = np.minimum(np.ceil(corners.max(axis=0)).astype(int) + 1, np.array(whole) - 1)
    return tuple(AxisGrid(n, m, int(a), int(b - a + 1)) for n, m, a, b in zip(shape, whole, first, last, strict=True))


def _turn(volume: np.ndarray, back: np.ndarray, offset: np.ndarray, hu: np.ndarray) -> None:
    """Fill `hu` with `volume` at the indices back @ (d, h, w) + offset; air where these leave it."""
    source = torch.from_numpy(volume - AIR_HU)[None, None]  # zeros outside are air
    rows, columns = (np.arange(length) for length in hu.shape[1:])
    extent = np.array(volume.shape)
    for start in range(0, len(hu), _TURNED_SLICES):
        slices = np.arange(start, min(start + _TURNED_SLICES, len(hu)))
        voxels = np.stack(np.meshgrid(slices, rows, columns, indexing="ij"), axis=-1)
        # grid_sample counts from -1 to 1 over whole voxels, and names the axes (w, h, d).
        places = ((2 * (voxels @ back.T + offset) + 1) / extent - 1)[..., ::-1].astype(np.float32)
        turned = torch.nn.functional.grid_sample(source, torch.from_numpy(places)[None], align_corners=False)
        hu[slices] = _whole_hu(turned[0, 0].numpy() + np.float32(AIR_HU))


def _whole_hu(values: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(values), AIR_HU, _HIGHEST_HU).astype(np.int16)


def _resampled_planes(
    blocks: Iterator[np.ndarray], pose: Pose, axes: tuple[AxisGrid, ...], antialias: bool
) -> Iterator[tuple[int, np.ndarray]]:
    depth, rows, columns = (axis_taps(axis, antialias) for axis in axes)
    planes = _canonical_planes(blocks, pose, (depth.window, rows.window, columns.window))
    yield from resample_planes(planes, depth, rows.relative(), columns.relative())


def _canonical_planes(
    blocks: Iterator[np.ndarray], pose: Pose, window: tuple[slice, slice, slice]
) -> Iterator[tuple[int, np.ndarray]]:
    """The window's axial planes as (index along D, (H, W)), in the order in which the scan is stored.

    Where the slabs are axial nothing is kept; where they are not, the window is gathered first.
    """
    if pose.axes[0] == 0:
        position = 0
        for block in blocks:
            for plane in pose.canonical(block)[:, window[1], window[2]][:: -1 if pose.flipped[0] else 1]:
                index = pose.shape[0] - 1 - position if pose.flipped[0] else position
                position += 1
                if window[0].start <= index < window[0].stop:
                    yield index, _settled(plane)
    else:
        for index, plane in enumerate(_gathered(blocks, pose, window), window[0].start):
            yield index, _settled(plane)


def _gathered(blocks: Iterator[np.ndarray], pose: Pose, window: tuple[slice, slice, slice]) -> np.ndarray:
    """The window of a scan as one array (D, H, W), int16 unless a slab is float32."""
    part = np.empty([axis.stop - axis.start for axis in window], dtype=np.int16)
    slow, *plane_window = pose.stored_window(window)
    position = 0
    for block in blocks:
        if block.dtype != part.dtype:
            part = part.astype(np.result_type(part, block))
        first, last = max(slow.start, position), min(slow.stop, position + len(block))
        if first < last:
            slab = block[first - position : last - position, plane_window[0], plane_window[1]]
            pose.stored(part)[first - slow.start : last - slow.start] = slab
        position += len(block)
    return part


def _settled(plane: np.ndarray) -> np.ndarray:
    """A copy of a plane in which padding is air."""
    air = np.full(plane.shape[1], AIR_HU, dtype=plane.dtype)  # a row: numpy compares with a scalar half as fast
    return np.maximum(plane, air, order="C")


__all__ = ["SHEAR_TOLERANCE", "TILT_TOLERANCE", "ModelGrid", "Placement", "Pose", "place"]
