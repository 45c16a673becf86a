"""NIfTI-1 and NIfTI-2, plain or gzipped, in a file or as a nibabel image -> CTVolume.

nibabel reads the header; the voxels are streamed in the order in which they are stored. That is k-slices of (j, i)
for NIfTI's index (i, j, k), so the volume's shape is (k, j, i) and the columns of its affine are permuted to match.

Rules:
    orientation   the sform where its code is not 0, else the qform; both codes 0 say nothing about the patient, and
                  the scan is refused unless `orientation` or `affine` is given. What is given wins over the header.
    units         metres and micrometres of the header's xyzt_units become millimetres; unknown units are millimetres
    HU            scl_slope * stored + scl_inter; a slope of 0 or NaN means none
    voxels        integers and real numbers of at most 64 bits; RGB, complex, binary and float128 are refused by name
    axes          three; further axes of length 1 are dropped, others refused
    file name     does not matter: gzip is told by its first bytes
    trailing      bytes after the claimed voxels are not read
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .reading_med3d_r1 import (
    DEFAULT_MAX_BYTES,
    DEFLATE_MAX_RATIO,
    ByteSource,
    array_blocks,
    check_affine,
    check_claim,
    check_spacing,
    check_stored_type,
    damage_refused,
    given_affine,
    hounsfield_blocks,
    optional_package,
    permute_affine,
    storage_order,
    stream_blocks,
)
from .volume_med3d_r1 import CTVolume, VolumeError

GZIP_MAGIC = b"\x1f\x8b"
_HEADER_BYTES = {1: 348, 2: 540}
_FARTHEST_OFFSET = 2**26  # extensions between header and voxels are small, and what is skipped is inflated too
_UNIT_MILLIMETRES = {1: 1000.0, 3: 0.001}  # metres and micrometres
_REFETCH = "The file is damaged: copy or download it again."


@dataclass(frozen=True)
class _Header:
    """What a NIfTI header says. Shape and affine are in NIfTI's own axis order, (i, j, k)."""

    name: str
    format: str
    dtype: np.dtype
    shape: tuple[int, int, int]
    offset: int
    slope: float
    intercept: float
    affine: np.ndarray
    notes: tuple[str, ...]


def inflated_head(source: ByteSource, size: int) -> bytes:
    """The first bytes of a source, after inflating where it is a gzip stream. Fewer where there are no more."""
    if source.head(2) != GZIP_MAGIC:
        return source.head(size)
    readable = damage_refused(source.name, "a gzip stream must be readable", _REFETCH)
    with readable, source.open() as packed, gzip.GzipFile(fileobj=packed) as stream:
        return stream.read(size)


def nifti_version(head: bytes) -> int:
    """1 or 2 where these first 540 bytes, inflated, are the header of a NIfTI file, else 0."""
    if head[344:348] in (b"n+1\0", b"ni1\0"):
        return 1
    return 2 if head[4:8] in (b"n+2\0", b"ni2\0") else 0


def open_nifti(
    source: ByteSource,
    *,
    spacing: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
    orientation: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> CTVolume:
    """Read the header of a NIfTI file; the voxels follow when `blocks` is called.

    Args:
        source: the file, plain or gzipped.
        spacing, affine, orientation: replace what the header says, in the axis order (i, j, k); see `open_volume`.
        max_bytes: bytes that the header may claim.

    Raises:
        VolumeError: the file breaks a rule above, or claims more than it can hold.
    """
    name = source.name
    raw = _raw_header(name, inflated_head(source, max(_HEADER_BYTES.values())))
    header = _Header(
        name=name,
        format=_format(raw),
        dtype=_stored_type(name, raw),
        shape=_three_axes(name, raw),
        offset=_offset(name, raw),
        **_scaling(name, raw),
        **_placement(name, raw, spacing, affine, orientation),
    )
    return _streamed(source, header, max_bytes)


def open_nifti_image(
    image: Any,
    *,
    spacing: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
    orientation: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> CTVolume:
    """A nibabel NIfTI image as a CTVolume, without `get_fdata` and its float64 copy.

    An image whose voxels still lie in its .nii or .nii.gz is streamed from there, one in memory is read where it is.
    The image's own affine counts, also where it was changed after loading. Arguments and errors: see `open_nifti`.
    """
    name = Path(image.get_filename() or "nibabel image").name
    raw, voxels = image.header, image.dataobj
    if "sform_code" not in raw:
        found = type(image).__name__
        raise VolumeError(name, "a nibabel image must be NIfTI", found, "Convert it with `nibabel.Nifti1Image`.")
    header = _Header(
        name=name,
        format=_format(raw),
        shape=_three_axes(name, raw),
        dtype=np.dtype(voxels.dtype),
        offset=int(getattr(voxels, "offset", 0)),
        slope=float(getattr(voxels, "slope", 1.0)),
        intercept=float(getattr(voxels, "inter", 0.0)),
        **_placement(name, raw, spacing, affine, orientation, current=image.affine),
    )
    check_stored_type(name, header.dtype)
    path = getattr(voxels, "file_like", None)
    if isinstance(path, str) and path.endswith((".nii", ".nii.gz")):
        return _streamed(ByteSource.of_file(Path(path)), header, max_bytes)
    stored = voxels.get_unscaled() if hasattr(voxels, "get_unscaled") else np.asanyarray(voxels)
    return _in_memory(stored.reshape(header.shape), header)


def _streamed(source: ByteSource, header: _Header, max_bytes: int) -> CTVolume:
    compressed = source.head(2) == GZIP_MAGIC
    shape = header.shape[::-1]
    claimed = header.offset + check_claim(header.name, shape, header.dtype.itemsize, max_bytes)
    if claimed > source.size * (DEFLATE_MAX_RATIO if compressed else 1):
        raise VolumeError(
            header.name,
            "the file must hold all the voxels that its header claims",
            f"{claimed:,} bytes claimed in a file of {source.size:,}",
            "The file is truncated or its header is damaged: copy or download it again.",
        )

    def blocks() -> Iterator[np.ndarray]:
        stored = stream_blocks(source, offset=header.offset, dtype=header.dtype, shape=shape, compressed=compressed)
        return hounsfield_blocks(header.name, stored, header.slope, header.intercept)

    return _volume(header, shape, (2, 1, 0), blocks, "gzip" if compressed else "none")


def _in_memory(voxels: np.ndarray, header: _Header) -> CTVolume:
    axes = storage_order(voxels)
    ordered = voxels.transpose(axes)

    def blocks() -> Iterator[np.ndarray]:
        return hounsfield_blocks(header.name, array_blocks(ordered), header.slope, header.intercept)

    return _volume(header, ordered.shape, axes, blocks, "in memory")


def _volume(header: _Header, shape, axes, blocks, compression: str) -> CTVolume:
    return CTVolume(
        name=header.name,
        shape=shape,
        affine=permute_affine(header.affine, axes),
        blocks=blocks,
        notes=header.notes,
        headers={"format": header.format, "compression": compression, "stored": header.dtype.name},
    )


def _raw_header(name: str, head: bytes) -> Any:
    """The header as nibabel holds it. Its extensions, where converters may copy a patient's data, are not read."""
    version = nifti_version(head)
    if not version or len(head) < _HEADER_BYTES[version]:
        raise VolumeError(
            name,
            "a NIfTI file begins with a header of 348 bytes (NIfTI-1) or 540 bytes (NIfTI-2) with its magic string",
            "a magic string of another kind" if len(head) >= 348 else f"{len(head)} bytes in all",
            "Convert the scan to NIfTI, or pass an array with `spacing=`.",
        )
    if head[344:348] == b"ni1\0" or head[4:8] == b"ni2\0":
        raise VolumeError(
            name,
            "header and voxels must be in one file",
            "one half of a .hdr/.img pair",
            "Join them: `nibabel.save(nibabel.load('scan.hdr'), 'scan.nii.gz')`.",
        )
    nibabel = optional_package("nibabel", package="nibabel", name=name)
    header_class = {1: nibabel.Nifti1Header, 2: nibabel.Nifti2Header}[version]
    with damage_refused(name, "the NIfTI header must make sense", _REFETCH):
        return header_class(head[: _HEADER_BYTES[version]], check=False)


def _format(raw: Any) -> str:
    return f"NIfTI-{2 if raw.sizeof_hdr == _HEADER_BYTES[2] else 1}"


def _three_axes(name: str, raw: Any) -> tuple[int, int, int]:
    """The lengths of i, j and k."""
    count, *lengths = (int(length) for length in raw["dim"])
    used = lengths[: max(count, 0)]
    if not 3 <= count <= 7 or any(length != 1 for length in used[3:]):
        raise VolumeError(
            name,
            "a CT volume has three dimensions",
            f"{count}: {' x '.join(map(str, used))}",
            "Pass one volume at a time.",
        )
    return tuple(used[:3])


def _stored_type(name: str, raw: Any) -> np.dtype:
    code = int(raw["datatype"])
    nifti1 = optional_package("nibabel.nifti1", package="nibabel", name=name)
    if code not in nifti1.data_type_codes.value_set():
        raise VolumeError(name, "the data type must be one that NIfTI knows", f"code {code}", _REFETCH)
    dtype = raw.get_data_dtype()
    check_stored_type(name, dtype, label=nifti1.data_type_codes.label[code])
    return dtype


def _offset(name: str, raw: Any) -> int:
    """Bytes before the first voxel; 0 stands for the least there can be."""
    offset, least = float(raw["vox_offset"]), raw.sizeof_hdr
    if offset == 0:
        return least + 4
    if not (least <= offset <= _FARTHEST_OFFSET and offset.is_integer()):
        rule = f"voxels begin after the header, at a byte from {least} to {_FARTHEST_OFFSET:,}"
        raise VolumeError(name, rule, f"vox_offset {offset:g}", _REFETCH)
    return int(offset)


def _scaling(name: str, raw: Any) -> dict[str, float]:
    slope, intercept = float(raw["scl_slope"]), float(raw["scl_inter"])
    if slope == 0 or not math.isfinite(slope):
        return {"slope": 1.0, "intercept": 0.0}
    if not math.isfinite(intercept):
        raise VolumeError(
            name, "scl_inter must be a number where scl_slope is one", str(intercept), "Correct the header."
        )
    return {"slope": slope, "intercept": intercept}


def _placement(name: str, raw: Any, spacing, affine, orientation, current: np.ndarray | None = None) -> dict[str, Any]:
    """The affine of (i, j, k) and the notes on how it came about. `current` is the affine of an image in memory."""
    unit = _UNIT_MILLIMETRES.get(int(raw["xyzt_units"]) & 7, 1.0)
    steps = [float(step) * unit for step in raw["pixdim"][1:4]]
    given = given_affine(
        name,
        spacing=steps if spacing is None and orientation is not None else spacing,
        affine=affine,
        orientation=orientation,
    )
    if given is not None:
        return {"affine": given, "notes": ("The orientation given by the caller was taken, not the header's.",)}
    if int(raw["sform_code"]) == 0 and int(raw["qform_code"]) == 0:
        raise VolumeError(
            name,
            "the header must tell how the scan lies in the patient",
            "sform_code 0 and qform_code 0",
            "Give `orientation=`, the directions in which i, j and k grow, such as 'RAS', or `affine=`.",
        )
    found = _header_affine(name, raw) if current is None else current
    found = check_affine(name, np.diag([unit, unit, unit, 1.0]) @ found)
    notes = ()
    if unit != 1.0:
        notes += (f"The header counts in units of {unit:g} mm; everything was turned into millimetres.",)
    if spacing is not None:
        found[:3, :3] *= np.array(check_spacing(name, spacing)) / np.linalg.norm(found[:3, :3], axis=0)
        notes += ("The spacing given by the caller was taken, not the header's.",)
    elif not np.allclose(np.linalg.norm(found[:3, :3], axis=0), steps, rtol=0.01):
        pixdim = " x ".join(f"{step:g}" for step in steps)
        notes += (f"The affine's spacing was taken; the header's pixdim says {pixdim} mm.",)
    return {"affine": found, "notes": notes}


def _header_affine(name: str, raw: Any) -> np.ndarray:
    with damage_refused(name, "the sform or qform must describe a volume", "Correct the header, or give `affine=`."):
        if int(raw["sform_code"]) != 0:
            return raw.get_sform()
        if float(raw["pixdim"][0]) == 0:
            raw["pixdim"][0] = 1.0  # the qform's handedness; the standard reads 0 as 1
        if not (np.asarray(raw["pixdim"][1:4]) > 0).all():
            raise ValueError(f"pixdim {raw['pixdim'][1:4].tolist()}")
        return raw.get_qform()


__all__ = ["inflated_head", "nifti_version", "open_nifti", "open_nifti_image"]
