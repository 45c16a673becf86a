"""What every reader of scans shares: where bytes come from, how stored numbers become HU, and the limits on both.

Limits that all formats keep, each a `VolumeError` where it is passed:

    voxel bytes claimed     at most `max_bytes` (8 GiB), checked on the header's claim before memory is taken
    zip                     its members claim at most `max_bytes` together; encrypted ones are refused
    gzip                    a stream cannot hold more than 1032 times its own size, deflate's greatest ratio
    voxel spacing           0.01 to 100 mm
    voxels not finite       set to air with a `VolumeWarning`; a scan with more than half of them is refused
"""

from __future__ import annotations

import gzip
import importlib
import io
import math
import warnings
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import BinaryIO

import numpy as np
import torch

from .volume_med3d_r1 import AIR_HU, VolumeError, VolumeWarning, orientation_affine

DEFAULT_MAX_BYTES = 8 * 2**30
"""Voxel bytes a scan may claim. The largest scan of CT-RATE, 1617 slices of 1024 x 1024, has 3.2 GiB."""

BLOCK_BYTES = 4 * 2**20
"""Stored bytes that are read at a time, rounded down to whole slices."""

DEFLATE_MAX_RATIO = 1032
SPACING_LIMITS_MM = (0.01, 100.0)
SINGULAR_DETERMINANT = 0.01
NON_FINITE_LIMIT = 0.5


@dataclass(frozen=True)
class ByteSource:
    """Something that can be opened and read from its start any number of times: a file, a zip member, bytes.

    Attributes:
        name: how messages call it.
        size: how many bytes it holds.
        open: returns a fresh binary stream at its start; the caller closes it.
        packed: going back in the stream means inflating it anew.
    """

    name: str
    size: int
    open: Callable[[], BinaryIO]
    packed: bool = False

    @classmethod
    def of_file(cls, path: Path) -> ByteSource:
        return cls(path.name, path.stat().st_size, lambda: path.open("rb"))

    def head(self, size: int) -> bytes:
        """The first bytes, fewer where there are no more."""
        readable = damage_refused(self.name, "the file must be readable", "Check its rights, or copy it again.")
        with readable, self.open() as stream:
            return stream.read(size)

    def open_for_seeking(self) -> BinaryIO:
        """As `open`; what is packed is taken into memory first."""
        if not self.packed:
            return self.open()
        with self.open() as stream:
            return io.BytesIO(stream.read())


def zip_members(source: ByteSource, max_bytes: int) -> list[ByteSource]:
    """The files in a zip, in the order of their paths. Nothing is unpacked to disk, so no path can lead anywhere.

    Folders and what macOS adds (`__MACOSX/`, `._name`) are left out. The archive stays open as long as its members
    are in use. `zipfile` itself gives no more bytes of a member than it claims, and checks them.

    Raises:
        VolumeError: it cannot be read, is encrypted, or its members claim more than `max_bytes` together.
    """
    with damage_refused(source.name, "a zip file must be readable", "Copy or download it again."):
        stream = source.open_for_seeking()
        archive = zipfile.ZipFile(stream)
    weakref.finalize(archive, stream.close)  # the members hold on to the archive, the archive not to the stream
    members = [member for member in archive.infolist() if member.filename and not member.is_dir()]
    if any(member.flag_bits & 1 for member in members):
        raise VolumeError(source.name, "a zip file must not be encrypted", "a password", "Unpack it first.")
    claimed = sum(member.file_size for member in members)
    if claimed > max_bytes:
        raise VolumeError(
            source.name,
            f"a zip file may hold at most {max_bytes:,} bytes",
            f"{claimed:,} bytes claimed",
            "If the file is to be trusted, raise `max_bytes`.",
        )
    ours = [member for member in members if not member.filename.startswith("__MACOSX/")]
    return [
        ByteSource(name, member.file_size, partial(archive.open, member), packed=True)
        for member in sorted(ours, key=lambda member: member.filename)
        if not (name := PurePosixPath(member.filename).name).startswith("._")
    ]


def optional_package(module: str, *, package: str, name: str) -> ModuleType:
    """Import a package that only some formats need.

    Raises:
        VolumeError: says what to install. `name` is the scan that needed it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise VolumeError(
            name, f"reading it needs the package {package}", "it is not installed", f"Run `pip install {package}`."
        ) from error


@contextmanager
def damage_refused(name: str, rule: str, remedy: str) -> Iterator[None]:
    """Turn whatever a parser or decoder raises on damaged bytes into a `VolumeError`.

    Each library has exceptions of its own (zlib.error, IsalError, BadZipFile, HeaderDataError, struct.error ...),
    and hostile bytes reach all of them: so every `Exception` counts.
    """
    try:
        yield
    except (VolumeError, MemoryError):
        raise
    except Exception as error:
        raise VolumeError(name, rule, f"{type(error).__name__}: {error}", remedy) from error


def check_stored_type(name: str, dtype: np.dtype, label: str | None = None) -> None:
    """Refuse voxels that are not plain numbers of at most 8 bytes. `label` is the format's own name of the type."""
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        raise VolumeError(
            name,
            "voxels must be integers or real numbers of at most 64 bits",
            label or str(dtype),
            "Store the CT in Hounsfield units as int16.",
        )


def check_claim(name: str, shape: Sequence[int], itemsize: int, max_bytes: int) -> int:
    """How many bytes voxels of this shape take.

    Raises:
        VolumeError: an axis has no voxels, or the bytes are more than `max_bytes`.
    """
    text = " x ".join(map(str, shape))
    if any(length < 1 for length in shape):
        raise VolumeError(name, "every axis needs at least one voxel", f"shape {text}", "The header is damaged.")
    claimed = math.prod(shape) * itemsize
    if claimed > max_bytes:
        raise VolumeError(
            name,
            f"a scan may claim at most {max_bytes:,} bytes",
            f"{text} voxels of {itemsize} bytes, {claimed:,} bytes",
            "If the file is to be trusted, raise `max_bytes`.",
        )
    return claimed


def check_affine(name: str, affine: np.ndarray) -> np.ndarray:
    """The affine as (4, 4) float64, voxel indices to millimetres RAS+.

    Raises:
        VolumeError: it is not finite, its last row is not (0, 0, 0, 1), it is singular, or a voxel is thinner than
            0.01 mm or thicker than 100 mm.
    """
    affine = np.array(affine, dtype=np.float64)
    if affine.shape != (4, 4) or not np.isfinite(affine).all() or not np.allclose(affine[3], (0, 0, 0, 1)):
        raise VolumeError(
            name,
            "an affine is a 4 x 4 matrix of finite numbers with the last row 0 0 0 1",
            str(affine.tolist()),
            "Give the right one as `affine=`.",
        )
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    low, high = SPACING_LIMITS_MM
    if spacing.min() < low or spacing.max() > high:
        raise VolumeError(
            name,
            f"voxels are between {low} and {high:g} mm apart along each axis",
            " x ".join(f"{length:g}" for length in spacing) + " mm",
            "Correct the header, or give `affine=` in millimetres.",
        )
    if abs(np.linalg.det(affine[:3, :3] / spacing)) < SINGULAR_DETERMINANT:
        raise VolumeError(
            name,
            "an affine has three axes that point in different directions",
            f"a singular one, {affine[:3, :3].tolist()}",
            "Give the right one as `affine=`, or `spacing=` and `orientation=`.",
        )
    return affine


def check_spacing(name: str, spacing: Sequence[float]) -> tuple[float, float, float]:
    """Three positive millimetres, in the order of the array's axes."""
    values = tuple(float(value) for value in spacing)
    if len(values) != 3 or not all(value > 0 and math.isfinite(value) for value in values):
        raise VolumeError(
            name,
            "`spacing` is three positive numbers, millimetres along the axes in their stored order",
            str(spacing),
            "For one slice the first is its thickness.",
        )
    return values


def given_affine(
    name: str,
    *,
    spacing: Sequence[float] | None,
    affine: np.ndarray | None,
    orientation: str | None,
    default_spacing: Sequence[float] | None = None,
    default_orientation: str | None = None,
) -> np.ndarray | None:
    """The affine that the caller's arguments describe, completed by defaults; None where they say too little."""
    if affine is not None:
        if spacing is not None or orientation is not None:
            raise VolumeError(
                name,
                "`affine` already holds spacing and orientation",
                "both were given",
                "Give `affine` alone, or `spacing` and `orientation`.",
            )
        return check_affine(name, affine)
    spacing = default_spacing if spacing is None else spacing
    orientation = default_orientation if orientation is None else orientation
    if spacing is None or orientation is None:
        return None
    try:
        return check_affine(name, orientation_affine(orientation, check_spacing(name, spacing)))
    except VolumeError:
        raise
    except ValueError as error:
        raise VolumeError(name, "an orientation is three letters", repr(orientation), f"{error}.") from error


def open_gzip(stream: BinaryIO) -> BinaryIO:
    """The inflated bytes of a gzip stream, its checksum tested at the end.

    With the optional package isal they are inflated by ISA-L, else by the standard library. ISA-L does it in a thread
    of its own, while the caller works on what it has already got, unless this process is to compute in one thread
    (torch's number of threads is 1, as in the workers of a data loader): where each core has a process of its own, more
    threads would only wait for each other.
    """
    try:
        threaded = importlib.import_module("isal.igzip_threaded")
    except ImportError:
        return gzip.GzipFile(fileobj=stream)
    more = int(torch.get_num_threads() > 1)
    return threaded.open(stream, "rb", threads=more, block_size=1 << 18)  # the default of 1 MiB holds 15 MB more


def stream_blocks(
    source: ByteSource, *, offset: int, dtype: np.dtype, shape: tuple[int, int, int], compressed: bool
) -> Iterator[np.ndarray]:
    """Stored voxels of a raw stream, slab by slab along the slowest axis.

    Args:
        offset: bytes before the first voxel, counted after inflating.
        dtype: of the stored voxels, in their byte order.
        shape: slowest axis first.
        compressed: the source is a gzip stream.

    Yields:
        (n, shape[1], shape[2]) arrays of `dtype`, each in memory of its own. What follows the claimed voxels is
        never read, so a stream that goes on for ever costs nothing.
    """
    slab = max(1, BLOCK_BYTES // (shape[1] * shape[2] * dtype.itemsize))
    with (
        ExitStack() as stack,
        damage_refused(
            source.name, "the voxels must be readable to the end", "The file is damaged: copy or download it again."
        ),
    ):
        stream = stack.enter_context(source.open())
        if compressed:
            stream = stack.enter_context(open_gzip(stream))
        _fill(source.name, stream, np.empty(offset, np.uint8))
        for start in range(0, shape[0], slab):
            block = np.empty((min(slab, shape[0] - start), *shape[1:]), dtype)
            _fill(source.name, stream, block.reshape(-1).view(np.uint8))
            yield block
        stream.read(1)  # at the end of a gzip stream this is what compares the checksum


def _fill(name: str, stream: BinaryIO, buffer: np.ndarray) -> None:
    view, filled = memoryview(buffer), 0
    while filled < len(view):
        count = stream.readinto(view[filled:])
        if not count:
            raise VolumeError(
                name,
                "the file must hold all the voxels that its header claims",
                f"an end {len(view) - filled:,} bytes too early",
                "The file is truncated: copy or download it again.",
            )
        filled += count


def array_blocks(array: np.ndarray) -> Iterator[np.ndarray]:
    """Slabs of an array in memory along its first axis, as views that cannot be written to."""
    slab = max(1, BLOCK_BYTES // max(1, array[:1].nbytes))
    for start in range(0, array.shape[0], slab):
        block = array[start : start + slab]
        block.flags.writeable = False
        yield block


def storage_order(array: np.ndarray) -> tuple[int, ...]:
    """The axes of an array from the slowest in memory to the fastest."""
    return tuple(int(axis) for axis in np.argsort([-abs(stride) for stride in array.strides], kind="stable"))


def permute_affine(affine: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """The affine of a volume after `transpose(axes)`."""
    return affine[:, [*axes, 3]]


def to_hounsfield(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """slope * stored + intercept: int16 where that loses nothing, float32 otherwise, never float64."""
    if stored.dtype.kind in "iu" and slope == 1 and float(intercept).is_integer() and abs(intercept) < 2**15:
        if stored.dtype.newbyteorder("=") == np.int16 and intercept == 0:
            return stored.astype(np.int16, copy=False)
        if int(stored.min()) + intercept >= -(2**15) and int(stored.max()) + intercept < 2**15:
            # The cast may wrap around, and the addition then wraps back: their sum was just seen to fit.
            return stored.astype(np.int16) + np.int16(intercept)
    with np.errstate(over="ignore", invalid="ignore"):
        hu = stored.astype(np.float32)
        hu *= np.float32(slope)
        hu += np.float32(intercept)
    return hu


def hounsfield_blocks(
    name: str, stored: Iterable[np.ndarray], slope: float = 1.0, intercept: float = 0.0
) -> Iterator[np.ndarray]:
    """Blocks of HU from blocks of stored numbers; what is not finite becomes air.

    Raises:
        VolumeError: after the last block, where more than half of the voxels were not finite.
    """
    total = not_finite = 0
    for block in stored:
        hu = to_hounsfield(block, slope, intercept)
        total += hu.size
        if hu.dtype == np.float32:
            finite = np.isfinite(hu)
            if not finite.all():
                not_finite += hu.size - int(np.count_nonzero(finite))
                hu = np.where(finite, hu, np.float32(AIR_HU))
        yield hu
    if not_finite > NON_FINITE_LIMIT * total:
        raise VolumeError(
            name,
            f"at most {NON_FINITE_LIMIT:.0%} of the voxels may be NaN or infinite",
            f"{not_finite / total:.1%}",
            "Fill them with the HU of what is there (air is -1024).",
        )
    if not_finite:
        warnings.warn(
            f"{name}: {not_finite:,} of {total:,} voxels are NaN or infinite and were taken as air ({AIR_HU} HU).",
            VolumeWarning,
            stacklevel=2,
        )


__all__ = ["DEFAULT_MAX_BYTES", "ByteSource", "optional_package"]
