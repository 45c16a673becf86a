"""Synthetic scans as files: NIfTI and .npz, each whole or not there at all, many of them at once."""

from __future__ import annotations

import csv
import io
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ...volume_med3d_r1 import CANONICAL_ORIENTATION
from ..workers import Died, work_off
from .make import Phantom

Job = TypeVar("Job")
Result = TypeVar("Result")

PHANTOM_VERSION = 1
"""Raised whenever a seed would give another scan or another report: folders that were begun before are then refused."""

NIFTI_ORIENTATION = "LPS"
"""Directions in which the axes (i, j, k) of a NIfTI file grow: columns, rows, slices as a scanner has them."""

RECORD = "phantom.json"
"""In a folder of synthetic scans: with what it was made. No data set of patients has such a file."""

_OPPOSITE = dict(zip("RLAPSI", "LRPAIS", strict=True))
_COMPRESSION = 1  # noise hardly gets smaller than that


def save_nifti(phantom: Phantom, path: str | Path, orientation: str = NIFTI_ORIENTATION, offset: int = 0) -> None:
    """Write a scan as .nii or .nii.gz, int16, with its affine.

    Args:
        path: the file; it appears when it is complete.
        orientation: three letters, the directions in which the axes (i, j, k) grow: "LPS", "RAS", "LAI", ...
        offset: is added to the HU: what original CT-RATE volumes store, whose rescale intercept is -offset.
    """
    import nibabel

    voxels, affine = reoriented(phantom.volume, phantom.affine, orientation)
    image = nibabel.Nifti1Image(voxels + np.int16(offset), affine)
    image.set_qform(affine, code=1)
    image.set_sform(affine, code=1)
    image.header.set_xyzt_units("mm")
    content = image.to_bytes()
    write_file(path, _gzipped(content) if str(path).endswith(".gz") else content)


def reoriented(volume: np.ndarray, affine: np.ndarray, orientation: str) -> tuple[np.ndarray, np.ndarray]:
    """A canonical volume and its affine with other axes.

    Args:
        orientation: three letters, the directions in which the new axes grow.

    Raises:
        ValueError: it is not one of R/L, one of A/P and one of S/I.
    """
    own = [letter if letter in orientation else _OPPOSITE[letter] for letter in CANONICAL_ORIENTATION]
    if sorted(own) != sorted(orientation):
        raise ValueError(f"orientation {orientation!r} is not three letters with one of R/L, one of A/P and one of S/I")
    axes = [own.index(letter) for letter in orientation]
    flips = [orientation[new] != CANONICAL_ORIENTATION[axis] for new, axis in enumerate(axes)]
    turned = affine[:, [*axes, 3]].copy()
    voxels = volume.transpose(axes)
    for new, flip in enumerate(flips):
        if flip:
            turned[:, 3] += turned[:, new] * (voxels.shape[new] - 1)
            turned[:, new] *= -1
    return np.flip(voxels, [new for new, flip in enumerate(flips) if flip]), turned


def save_npz(phantom: Phantom, path: str | Path, orientation: str = "IPL") -> None:
    """Write a scan as RAD-ChestCT's .npz: key `ct`, int16, axes (z, y, x), slice 0 at the head.

    RAD-ChestCT's voxels measure 0.8 mm; where ours do not, an entry `spacing` says so, which `open_volume` reads.

    Args:
        orientation: "IPL" for a patient on the back, "IAR" for one on the belly.
    """
    voxels, affine = reoriented(phantom.volume, phantom.affine, orientation)
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    geometry = {} if np.allclose(spacing, 0.8) else {"spacing": spacing}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, ct=np.ascontiguousarray(voxels), **geometry)
    write_file(path, buffer.getvalue())


def write_file(path: str | Path, content: bytes | str) -> None:
    """Write a file that appears under its name when it is complete."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    try:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_table(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file with the keys of the first row as header."""
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, fieldnames=[*rows[0]], lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    write_file(path, text.getvalue())


def begin_folder(folder: str | Path, settings: Mapping[str, Any]) -> Path:
    """Make a folder of synthetic scans, or go on with one that was made with the same settings.

    Raises:
        FileExistsError: something else lies there.
    """
    folder = Path(folder)
    wanted = json.dumps({"version": PHANTOM_VERSION, **settings}, indent=2, sort_keys=True) + "\n"
    record = folder / RECORD
    found = record.read_text() if record.exists() else None
    if found != wanted and (found is not None or (folder.exists() and any(folder.iterdir()))):
        what = f"synthetic scans made with other settings ({RECORD})" if found else "other files"
        raise FileExistsError(f"{folder}: holds {what}; name another folder, or remove it first")
    write_file(record, wanted)
    return folder


def settings_of(source: str | Path) -> dict[str, Any] | None:
    """With what the synthetic scans of a data set were made; None where the data set is no synthetic one.

    Args:
        source: the folder, or in CT-RATE's layout the `dataset` in it.
    """
    folder = Path(source).absolute()
    record = (folder.parent if folder.name == "dataset" else folder) / RECORD
    return json.loads(record.read_text(encoding="utf-8")) if record.is_file() else None


def make_all(make: Callable[[Job], Result], jobs: Sequence[Job], workers: int) -> list[Result]:
    """Make the files of each job, in so many processes, with a progress bar on stderr.

    Returns:
        What `make` says of each job, in the order of the jobs.

    Raises:
        RuntimeError: a process was ended from outside.
    """
    from tqdm import tqdm

    results = {}
    done = work_off(jobs, make, workers if workers > 1 else 0, imports=[__name__])
    for job, result in tqdm(done, desc="synthetic scans", total=len(jobs), unit="scan", disable=not jobs):
        if isinstance(result, Died):
            raise RuntimeError(f"the process that was to make {job} {result}; start again to go on")
        results[job] = result
    return [results[job] for job in jobs]


def _gzipped(content: bytes) -> bytes:
    """The same bytes for the same content, at any time."""
    from isal import igzip

    return igzip.compress(content, _COMPRESSION, mtime=0)


__all__ = ["NIFTI_ORIENTATION", "PHANTOM_VERSION", "begin_folder", "make_all", "reoriented", "save_nifti", "save_npz",
           "settings_of", "write_file", "write_table"]  # fmt: skip
