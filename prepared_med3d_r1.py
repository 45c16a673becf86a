"""PreparedVolume: one CT scan on the model's grid, small enough to keep, and a record of how it came there.

A scan is read, oriented, cropped and resampled once; every later use (training epochs, many questions on one scan,
evidence maps) starts from here. The voxels are int16 HU and the model's tensor is always made from them, so a tensor
made from a stored file equals the one made from the scan bit for bit.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .volume_med3d_r1 import VolumeError

SIDES = (("inferior", "superior"), ("anterior", "posterior"), ("right", "left"))
"""The patient's side at the first and at the last index of the axes (D, H, W)."""

MAX_PREPARED_BYTES = 1 << 30
"""A file that claims more bytes than this is not one of ours: the default grid takes 11 MB."""

_ENTRIES = {"hu": (np.dtype(np.int16), 3), "affine": (np.dtype(np.float64), 2), "record": (None, 0)}


@dataclass(frozen=True, eq=False)
class PreparedVolume:
    """One scan on the model's grid.

    Attributes:
        hu: int16 (D, H, W), Hounsfield units, canonical orientation: slices from the feet to the head, rows from
            front to back, columns from the patient's right to the left.
        affine: (4, 4) float64, maps (d, h, w, 1) to millimetres, RAS+, in the scan's own world.
        record: plain JSON values. What was found (`source`, `headers`, `source_shape`, `source_spacing`,
            `source_orientation`, `tilt_degrees`, `hu_min`, `hu_max`), what was done (`spacing`, `resampling`,
            `cropped_mm` and `padded_mm` by side, `notes`, `warnings`), and under `preprocessing` the settings that
            an image processor compares with its own.
    """

    hu: np.ndarray
    affine: np.ndarray
    record: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.hu.dtype != np.int16 or self.hu.ndim != 3:
            raise ValueError(f"hu must be int16 (D, H, W); got {self.hu.dtype} {self.hu.shape}")
        if self.affine.shape != (4, 4):
            raise ValueError(f"affine must be (4, 4); got {self.affine.shape}")

    @property
    def name(self) -> str:
        """How messages call the scan."""
        return str(self.record.get("source", "prepared volume"))

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxel centres along (D, H, W)."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    @property
    def middle(self) -> tuple[int, int, int]:
        """The middle voxel (d, h, w) of what the scan fills; a few slices need not lie in the middle of the grid."""
        middle, padded = [], self.record["padded_mm"]
        for (first, last), length, step in zip(SIDES, self.hu.shape, self.spacing, strict=True):
            start, stop = round(padded[first] / step), length - round(padded[last] / step)
            middle.append((start + stop) // 2)
        return tuple(middle)

    def save(self, path: str | os.PathLike[str], compress: bool = False) -> None:
        """Write a .npz with the entries `hu`, `affine` and `record` (JSON text).

        The file appears under its name only when it is complete: it is written beside it and then renamed, so that
        neither a killed job nor two jobs at once leave half a file.
        """
        path = Path(path)
        partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
        write = np.savez_compressed if compress else np.savez
        try:
            with open(partial, "xb") as file:
                write(file, hu=self.hu, affine=self.affine, record=np.array(json.dumps(self.record)))
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                partial.unlink()
            raise

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PreparedVolume:
        """Read what `save` wrote. Nothing is unpickled, and sizes are checked before memory is taken.

        Raises:
            VolumeError: the file is broken or is not a prepared volume.
            FileNotFoundError: there is no such file.
        """
        path = Path(path)
        try:
            _check_entries(path)
            with np.load(path, allow_pickle=False) as entries:
                hu, affine, text = entries["hu"], entries["affine"], str(entries["record"])
            record = json.loads(text)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
            if isinstance(error, FileNotFoundError | VolumeError):
                raise
            raise _refusal(path, f"{type(error).__name__} ({error})") from error
        if affine.shape != (4, 4) or not np.isfinite(affine).all() or not isinstance(record, dict):
            raise _refusal(path, f"an affine of shape {affine.shape} and a record that is a {type(record).__name__}")
        return cls(hu, affine, record)


def _refusal(path: Path, found: str) -> VolumeError:
    return VolumeError(
        path.name,
        "a prepared volume is a .npz with int16 'hu' (D, H, W), float64 'affine' (4, 4) and JSON text 'record'",
        found,
        "Prepare the scan again.",
    )


def _check_entries(path: Path) -> None:
    """Compare names, dtypes, ranks and claimed sizes of a .npz with ours, reading only the entries' headers."""
    with zipfile.ZipFile(path) as archive:
        members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
        if set(members) != set(_ENTRIES):
            raise _refusal(path, f"the entries {sorted(members)}")
        for key, (dtype, rank) in _ENTRIES.items():
            with archive.open(members[key]) as stream:
                version = np.lib.format.read_magic(stream)
                read_header = np.lib.format.read_array_header_1_0
                shape, _, found = (read_header if version == (1, 0) else np.lib.format.read_array_header_2_0)(stream)
            if len(shape) != rank or (found != dtype if dtype else found.kind != "U"):
                raise _refusal(path, f"{key!r} as {found} {shape}")
            claimed = found.itemsize * math.prod(shape)
            if claimed > min(members[key].file_size, MAX_PREPARED_BYTES):
                raise _refusal(path, f"{key!r} claiming {claimed} bytes, stored {members[key].file_size}")


def describe(prepared: PreparedVolume) -> str:
    """The record as lines for a person: what was found, what the model sees of it, and what to look at."""
    record = prepared.record
    depth, height, width = prepared.hu.shape
    lines = [
        f"scan            {prepared.name}",
        f"stored          {_times(record['source_shape'])} voxels, {_times(record['source_spacing'])} mm, "
        f"axes grow towards {record['source_orientation']}, tilted {record['tilt_degrees']:.1f} degrees",
        f"HU              {record['hu_min']:g} to {record['hu_max']:g}",
        f"model sees      {depth} x {height} x {width} voxels (D, H, W), {_times(prepared.spacing)} mm, "
        f"one for {_times(record['resampling'])} stored",
    ]
    for label, key in (("cropped", "cropped_mm"), ("air added", "padded_mm")):
        sides = [f"{side} {millimetres:.0f} mm" for side, millimetres in record[key].items() if millimetres >= 0.5]
        lines.append(f"{label:<16}{', '.join(sides) or 'nothing'}")
    lines += [f"{name:<15} {value}" for name, value in record["headers"].items()]
    lines += [f"note            {note}" for note in record["notes"]]
    lines += [f"WARNING         {warning}" for warning in record["warnings"]]
    return "\n".join(lines)


def _times(numbers) -> str:
    return " x ".join(f"{number:.4g}" for number in numbers)


__all__ = ["MAX_PREPARED_BYTES", "SIDES", "PreparedVolume", "describe"]
