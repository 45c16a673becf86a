"""RAD-ChestCT as it lies on disk -> scans with CT-RATE's 18 labels. It has no reports.

    trn00001.npz                                             voxels, key `ct`, (z, y, x), slice 0 at the head, 0.8 mm
    imgtrain_Abnormality_and_Location_Labels.csv             NoteAcc_DEID, abnormality*location, ...
    CT_Scan_Metadata_Complete_35747.csv                      VolumeAcc_DEID, orig_orientation, MRN_DEID, ...

(zenodo.org/records/6406114: 3,630 scans.) Files are looked for in the whole folder. Rules:

    which scans    those of the split's label table
    labels         an abnormality is there if it is at any location; 84 of them become 18 by `RAD_CHESTCT_TO_CT_RATE`.
                   Mosaic attenuation pattern is never there, and both calcifications are always equal
    orientation    the axes of the (axial) images stand in `orig_orientation` as direction cosines. Patients who lie in
                   another way than on their back with the head first have `Volume.reading`. Without the metadata table
                   all are taken to lie so, with a `DataWarning`
"""

from __future__ import annotations

import re
import warnings
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..abnormalities import CT_RATE_LABELS, CT_RATE_TO_RAD_CHESTCT, RAD_CHESTCT_TO_CT_RATE
from ..volume_med3d_r1 import orientation_codes
from .scans import SPLIT_ALIASES, DatasetError, DataWarning, Faults, OnFault, Scan, Volume
from .tables import is_true, need, read_rows

DATASET = "RAD-ChestCT"
SPLITS = {"train": "imgtrain", "validation": "imgvalid", "test": "imgtest"}
METADATA = "CT_Scan_Metadata_Complete_35747.csv"

_USUAL, _USUAL_COSINES = "IPL", "1,0,0,0,1,0"
"""A patient on the back, head first: how `open_volume` takes an array `ct` of which it is not told otherwise."""

_AXIAL = 0.7
"""Cosine of the angle, about 45 degrees, up to which the images' plane is taken as axial."""

_REMEDY = "Correct or complete the folder, or give on_fault='skip' to go on without what is named here."
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")


def read_rad_chestct(folder: str | Path, split: str = "test", *, on_fault: OnFault = "error") -> list[Scan]:
    """The scans of one official split, in the order of its label table.

    Args:
        folder: where everything lies, at any depth.
        split: "train", "validation" ("valid") or "test".
        on_fault: "error" raises all faults at once; "skip" warns and leaves out the scans that they concern.

    Raises:
        DatasetError: the label table or columns of it are missing; or, with on_fault="error", volumes that it names
            are not there or there twice, rows are double or broken, a label is neither 0 nor 1, or an orientation
            cannot be understood.
        ValueError: an argument is none of those offered.
    """
    split = SPLIT_ALIASES.get(split, split)
    if split not in SPLITS:
        raise ValueError(f"split is one of {', '.join(SPLITS)}; got {split!r}")
    folder = Path(folder).expanduser()
    faults = Faults(folder)
    files = _files(folder)
    labels = _labels(folder, files, split, faults)
    metadata = _metadata(folder, files)
    scans = []
    for name, present in labels.items():
        if metadata is not None and name not in metadata:
            faults.add(f"{METADATA} has no row for them", name)
            continue
        cosines, patient = metadata[name] if metadata else (_USUAL_COSINES, name)
        if volume := _volume(name, files, cosines, faults):
            scans.append(Scan(DATASET, split, patient, name, (volume,), labels=present))
    faults.settle(on_fault, _REMEDY)
    return scans


def read_labels(folder: str | Path, split: str = "train") -> dict[str, tuple[int, ...]]:
    """The label table of a split alone, whether or not its volumes are there: name -> 0 or 1 for each of the 18.

    Raises:
        DatasetError: the table or columns of it are missing, rows are double or broken, a label is neither 0 nor 1.
    """
    folder = Path(folder).expanduser()
    faults = Faults(folder)
    labels = _labels(folder, _files(folder), SPLIT_ALIASES.get(split, split), faults)
    faults.settle("error", "Correct the table.")
    return labels


def _files(folder: Path) -> dict[str, list[Path]]:
    """Volumes and tables by their name."""
    files: dict[str, list[Path]] = defaultdict(list)
    for path in sorted(folder.rglob("*")):
        if path.suffix in (".npz", ".csv"):
            files[path.name].append(path)
    return files


def _labels(folder: Path, files: dict[str, list[Path]], split: str, faults: Faults) -> dict[str, tuple[int, ...]]:
    """Examination -> the 18 labels."""
    name = f"{SPLITS[split]}_Abnormality_and_Location_Labels.csv"
    if name not in files:
        raise DatasetError(folder, {"files are missing": [name]}, "Download them, or check the path.")
    labels = {}
    columns: dict[str, list[str]] = {}
    for note, row in read_rows(files[name][0], "NoteAcc_DEID", _check_abnormalities, faults, _note):
        columns = columns or _columns_of_labels(row)
        values = {column: is_true(row[column]) for of_label in columns.values() for column in of_label}
        if None in values.values():
            faults.add(f"labels in {name} are neither 0 nor 1", note)
        else:
            labels[note] = tuple(int(any(values[column] for column in columns[label])) for label in CT_RATE_LABELS)
    return labels


def _check_abnormalities(path: Path, columns: list[str]) -> None:
    there = {column.split("*")[0] for column in columns}
    if missing := sorted(RAD_CHESTCT_TO_CT_RATE.keys() - there):
        raise DatasetError(path, {"abnormalities are missing": missing}, "Columns are called abnormality*location.")


def _columns_of_labels(columns: Iterable[str]) -> dict[str, list[str]]:
    """CT-RATE label -> the columns, abnormality*location, of which any makes it true."""
    columns = list(columns)
    return {
        label: [column for column in columns if column.split("*")[0] in abnormalities]
        for label, abnormalities in CT_RATE_TO_RAD_CHESTCT.items()
    }


def _metadata(folder: Path, files: dict[str, list[Path]]) -> dict[str, tuple[str, str]] | None:
    """Examination -> (direction cosines, patient), None where there is no table. It names ten times the scans that are
    public, so that faults of its other rows are nobody's."""
    if METADATA not in files:
        message = f"{folder}: without {METADATA} all patients are taken to lie on their back, head first"
        warnings.warn(message, DataWarning, stacklevel=3)
        return None
    rows = read_rows(files[METADATA][0], "VolumeAcc_DEID", need("orig_orientation"), Faults(folder), _note)
    return {note: (row["orig_orientation"], row.get("MRN_DEID") or note) for note, row in rows}


def _note(name: str) -> str:
    """The examination of a volume: its file's name without suffix."""
    return name.strip().removesuffix(".npz")


def _volume(name: str, files: dict[str, list[Path]], cosines: str, faults: Faults) -> Volume | None:
    paths = files.get(f"{name}.npz", ())
    if len(paths) != 1:
        faults.add("volumes are there more than once" if paths else "volumes are missing", name)
        return None
    orientation = _orientation(cosines)
    if orientation is None:
        faults.add("orientations cannot be understood", f"{name} ({cosines!r})")
        return None
    return Volume(paths[0].name, paths[0], {} if orientation == _USUAL else {"orientation": orientation})


def _orientation(cosines: str) -> str | None:
    """Directions in which the axes (z, y, x) grow, from DICOM's direction cosines of a row and a column (LPS).

    >>> _orientation("1,0,0,0,1,0"), _orientation("-1,0,0,0,-1,0")
    ('IPL', 'IAR')
    """
    numbers = [float(number) for number in _NUMBER.findall(cosines)]
    if len(numbers) not in (6, 9):
        return None
    along_row, along_column = np.array(numbers[:3]), np.array(numbers[3:6])
    normal = np.cross(along_row, along_column)
    if abs(normal[2]) <= _AXIAL * np.linalg.norm(along_row) * np.linalg.norm(along_column):
        return None
    affine = np.eye(4)
    affine[:3, 0] = 0, 0, -1
    affine[:3, 1], affine[:3, 2] = along_column * (-1, -1, 1), along_row * (-1, -1, 1)
    return orientation_codes(affine)


__all__ = ["DATASET", "METADATA", "SPLITS", "read_labels", "read_rad_chestct"]
