"""Bare arrays -> CTVolume: numpy, torch, .npy, .npz and PIL pictures. They have no header, so somebody must tell.

Rules:
    axes          (D, H, W); one leading axis of length 1 is dropped, (H, W) is one slice
    geometry      `affine`, or `spacing` in mm (with `orientation`, else "SPL"), in the array's axis order; an array
                  without either is refused
    .npz          the voxels are the entry `ct`, else the only entry besides `spacing`, `affine` and `orientation`,
                  which tell the geometry; the caller's arguments go before them. An entry `ct` without them is
                  RAD-ChestCT: 0.8 mm in all directions, and slice 0 is the head's ("IPL")
    .npy, .npz    streamed as they are stored, without unpickling; object arrays are refused
    PIL           one slice of mode L, I, I;16 or F. Without a spacing 3 x 1.5 x 1.5 mm, with a `VolumeWarning`
    voxels        Hounsfield units in integers or real numbers of at most 64 bits
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from .reading_med3d_r1 import (
    DEFAULT_MAX_BYTES,
    ByteSource,
    array_blocks,
    check_claim,
    check_stored_type,
    damage_refused,
    given_affine,
    hounsfield_blocks,
    permute_affine,
    storage_order,
    stream_blocks,
    zip_members,
)
from .volume_med3d_r1 import CANONICAL_ORIENTATION, CTVolume, VolumeError, VolumeWarning

NPY_MAGIC = b"\x93NUMPY"
RAD_CHESTCT = {"default_spacing": (0.8, 0.8, 0.8), "default_orientation": "IPL"}
PICTURE_SPACING = (3.0, 1.5, 1.5)
_PICTURE_MODES = ("L", "I", "F", "I;16", "I;16L", "I;16B")
_GEOMETRY = ("spacing", "affine", "orientation")
_LONGEST_NPY_HEADER = 1 << 14
_LARGEST_GEOMETRY_ENTRY = 1 << 12


def open_array(
    array: np.ndarray,
    *,
    name: str = "array",
    spacing: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
    orientation: str | None = None,
) -> CTVolume:
    """A numpy array of HU as a CTVolume; it is not copied. For the arguments see `open_volume`.

    Raises:
        VolumeError: the array or its geometry breaks a rule of this module.
    """
    check_stored_type(name, array.dtype)
    array = array.reshape(_three_axes(name, array.shape))
    check_claim(name, array.shape, array.dtype.itemsize, array.nbytes)
    placed = _placed(name, {"spacing": spacing, "affine": affine, "orientation": orientation})
    axes = storage_order(array)
    ordered = array.transpose(axes)
    return CTVolume(
        name=name,
        shape=ordered.shape,
        affine=permute_affine(placed, axes),
        blocks=lambda: hounsfield_blocks(name, array_blocks(ordered)),
        headers={"format": "array", "stored": array.dtype.name},
    )


def open_picture(
    image: Any,
    *,
    spacing: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
    orientation: str | None = None,
) -> CTVolume:
    """A PIL image as a scan of one slice. For the arguments see `open_volume`.

    Raises:
        VolumeError: it is a colour picture, or its geometry breaks a rule of this module.
    """
    name = "picture"
    if image.mode not in _PICTURE_MODES:
        raise VolumeError(
            name,
            f"a picture of a CT slice has one of the modes {', '.join(_PICTURE_MODES)}",
            f"mode {image.mode}",
            "Give the scan itself: the colours or greys of a screenshot are not Hounsfield units.",
        )
    if spacing is None and affine is None:
        spacing = PICTURE_SPACING
        warnings.warn(
            f"{name}: nothing tells its size; a slice of {spacing[0]:g} mm with pixels of {spacing[1]:g} mm was "
            "assumed. Give `spacing=(thickness, row, column)`.",
            VolumeWarning,
            stacklevel=2,
        )
    return open_array(np.asarray(image), name=name, spacing=spacing, affine=affine, orientation=orientation)


def open_npy(
    source: ByteSource,
    *,
    spacing: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
    orientation: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> CTVolume:
    """A .npy file as a CTVolume. For the arguments see `open_volume`.

    Raises:
        VolumeError: the file or its geometry breaks a rule of this module.
    """
    placed = _placed(source.name, {"spacing": spacing, "affine": affine, "orientation": orientation})
    return _streamed(source, placed, max_bytes, notes=())


def open_npz(
    source: ByteSource,
    *,
    spacing: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
    orientation: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> CTVolume:
    """The voxels of a .npz file as a CTVolume. For the arguments see `open_volume`.

    Raises:
        VolumeError: the file or its geometry breaks a rule of this module.
    """
    members = zip_members(source, max_bytes)
    entries = {member.name.removesuffix(".npy"): member for member in members if member.name.endswith(".npy")}
    candidates = ["ct"] if "ct" in entries else [key for key in entries if key not in _GEOMETRY]
    if len(candidates) != 1:
        raise VolumeError(
            source.name,
            "a .npz holds the voxels as `ct`, or as the only entry besides `spacing`, `affine` and `orientation`",
            f"the entries {', '.join(entries) or 'none'}",
            "Give the array itself with `spacing=`.",
        )
    given = {"spacing": spacing, "affine": affine, "orientation": orientation}
    if affine is None:
        told = {key: _small_entry(source.name, entries[key]) for key in _GEOMETRY if key in entries}
        if spacing is not None or orientation is not None:
            told.pop("affine", None)
        given |= {key: value for key, value in told.items() if given[key] is None}
    complete = given["affine"] is not None or None not in (given["spacing"], given["orientation"])
    taken_for_rad = candidates == ["ct"] and not complete
    placed = _placed(source.name, given, **(RAD_CHESTCT if taken_for_rad else {}))
    notes = ("What the file does not tell was taken from RAD-ChestCT: 0.8 mm, orientation IPL (slice 0 at the head).",)
    voxels = entries[candidates[0]]
    named = ByteSource(f"{source.name}:{candidates[0]}", voxels.size, voxels.open, voxels.packed)
    return _streamed(named, placed, max_bytes, notes if taken_for_rad else ())


def _placed(name: str, given: dict[str, Any], default_spacing=None, default_orientation=CANONICAL_ORIENTATION):
    placed = given_affine(name, **given, default_spacing=default_spacing, default_orientation=default_orientation)
    if placed is None:
        raise VolumeError(
            name,
            "an array does not tell how large its voxels are",
            "neither `spacing` nor `affine`",
            "Give `spacing=(slice, row, column)` in mm, and `orientation=` where it is not 'SPL'.",
        )
    return placed


def _three_axes(name: str, shape: Sequence[int]) -> tuple[int, int, int]:
    """(D, H, W) of an array of shape (D, H, W), (1, D, H, W) or (H, W)."""
    shape = tuple(shape)
    if len(shape) == 4 and shape[0] == 1:
        return shape[1:]
    if len(shape) == 2:
        return (1, *shape)
    if len(shape) != 3:
        raise VolumeError(
            name, "an array of voxels has the axes (D, H, W)", f"shape {shape}", "Pass one volume at a time."
        )
    return shape


def _streamed(source: ByteSource, placed: np.ndarray, max_bytes: int, notes: tuple[str, ...]) -> CTVolume:
    stored, dtype, columns_first, offset = _npy_header(source)
    check_stored_type(source.name, dtype)
    shape = _three_axes(source.name, stored)
    axes = (2, 1, 0) if columns_first else (0, 1, 2)
    claimed = check_claim(source.name, shape, dtype.itemsize, max_bytes)
    if offset + claimed > source.size:
        raise VolumeError(
            source.name,
            "the file must hold all the voxels that its header claims",
            f"{claimed:,} bytes claimed in {source.size:,}",
            "The file is truncated: copy or download it again.",
        )
    shape = tuple(shape[axis] for axis in axes)

    def blocks() -> Iterator[np.ndarray]:
        read = stream_blocks(source, offset=offset, dtype=dtype, shape=shape, compressed=False)
        return hounsfield_blocks(source.name, read)

    return CTVolume(
        name=source.name,
        shape=shape,
        affine=permute_affine(placed, axes),
        blocks=blocks,
        notes=notes,
        headers={"format": "numpy file", "stored": dtype.name},
    )


def _npy_header(source: ByteSource) -> tuple[tuple[int, ...], np.dtype, bool, int]:
    """Shape, type, whether the first axis is the fastest, and the bytes before the voxels.

    The header's own length is looked at first: numpy reads all that it claims before it asks how long it is.
    """
    with damage_refused(source.name, "the .npy header must be readable", "Save the array again with `numpy.save`."):
        with source.open() as stream:
            start = stream.read(12)
            version = tuple(start[6:8])
            if start[:6] != NPY_MAGIC or version not in ((1, 0), (2, 0)):
                raise ValueError(f"begins with {start[:8]!r}")
            width = 2 if version == (1, 0) else 4
            length = int.from_bytes(start[8 : 8 + width], "little")
            if length > _LONGEST_NPY_HEADER:
                raise ValueError(f"a header of {length:,} bytes")
            offset = 8 + width + length
            header = io.BytesIO(start + stream.read(offset - len(start)))
        header.seek(8)
        parse = np.lib.format.read_array_header_1_0 if width == 2 else np.lib.format.read_array_header_2_0
        shape, columns_first, dtype = parse(header)
    if dtype.hasobject:
        raise VolumeError(
            source.name,
            "an array must not hold Python objects: reading them would run code from the file",
            str(dtype),
            "Save it as int16 or float32.",
        )
    return shape, dtype, columns_first, offset


def _small_entry(name: str, member: ByteSource) -> Any:
    """An array of a few numbers or letters, as Python values."""
    shape, dtype, _, _ = _npy_header(member)
    if math.prod(shape) * dtype.itemsize > _LARGEST_GEOMETRY_ENTRY:
        raise VolumeError(
            name,
            f"{member.name} tells a geometry in a few numbers",
            f"an array of shape {shape}",
            "Give the geometry as arguments.",
        )
    with damage_refused(name, f"{member.name} must be readable", "Save it again."), member.open() as stream:
        return np.lib.format.read_array(stream, allow_pickle=False).tolist()


__all__ = ["NPY_MAGIC", "open_array", "open_npy", "open_npz", "open_picture"]
