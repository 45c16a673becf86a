"""Synthetic chests in CT-RATE's own folders and tables, so that whatever reads CT-RATE reads them.

    phantom.json                                              with what it was made
    dataset/valid_fixed/valid_1/valid_1_a/valid_1_a_1.nii.gz  HU, in one of several orientations
    dataset/valid/...                                         the same as stored values, where asked for
    dataset/radiology_text_reports/validation_reports.csv
    dataset/multi_abnormality_labels/valid_predicted_labels.csv
    dataset/metadata/validation_metadata.csv                  of the 44 columns those that say something
    dataset/vqa/valid_vqa.json

A patient has one scan or, now and then, more: the same body with other findings. A scan has one reconstruction or two,
which share the report. Files appear when they are complete; what is there already is not made again.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from .chest import Chest, draw_chest
from .files import begin_folder, make_all, save_nifti, write_file, write_table
from .make import paint
from .report import STYLES, Report, write_report
from .vqa import conversations

SPLITS = {"train": ("train", "train"), "validation": ("valid", "validation")}
"""Split -> its name in folders, labels and questions, and in reports and metadata."""

ORIENTATIONS = ("LPS", "LPS", "RAS", "LAS")
INTERCEPTS = (-1024, -8192)
"""Rescale intercepts of original volumes, as CT-RATE has them."""

_MORE_SCANS, _NONE = 0.15, "Not given."
_KERNELS = {0.6: "sharp", 1.0: "medium", 1.6: "soft"}


@dataclass(frozen=True)
class _Volume:
    """One reconstruction to be made.

    Attributes:
        split: "train" or "validation".
        name: "valid_1_a_1.nii.gz".
        folder: "valid_1/valid_1_a".
        seed, patient, reconstruction: see `make_phantom`.
        orientation: of the file's axes.
        intercept: of the original volume.
        age: of the patient, in years.
    """

    split: str
    name: str
    folder: str
    seed: int
    patient: int
    reconstruction: int
    orientation: str
    intercept: int
    age: int

    def path(self, folder: Path, *, fixed: bool) -> Path:
        short = SPLITS[self.split][0]
        return folder / "dataset" / (f"{short}_fixed" if fixed else short) / self.folder / self.name


def write_ct_rate_tree(
    folder: str | Path,
    patients: Mapping[str, int],
    *,
    shape: Sequence[int] = (32, 64, 64),
    seed: int = 0,
    prevalence: float | dict[str, float] | None = None,
    style: str = "free",
    second_reconstruction: float = 0.3,
    original: bool = False,
    workers: int = 1,
) -> Path:
    """Write synthetic chests in CT-RATE's layout; a progress bar goes to stderr.

    Args:
        folder: new, empty, or begun by the same call: then what is missing is made.
        patients: how many, for "train" and "validation".
        shape: voxels along (D, H, W) of each volume.
        seed: of everything.
        prevalence, style: see `make_phantom`.
        second_reconstruction: share of the scans that are there in two reconstructions.
        original: write the original volumes too: stored values that need the rescaling of the metadata.
        workers: processes; with 1 everything happens in this one. A program that asks for more does so behind
            `if __name__ == "__main__":`.

    Returns:
        The folder.

    Raises:
        FileExistsError: the folder holds something else.
        ValueError: no such split, style or abnormality.
    """
    if unknown := sorted({*patients} - {*SPLITS}):
        raise ValueError(f"no split {', '.join(unknown)}; there are {', '.join(SPLITS)}")
    if style not in STYLES:
        raise ValueError(f"style is one of {', '.join(STYLES)}; got {style!r}")
    shape = tuple(int(length) for length in shape)
    settings = {
        "layout": "CT-RATE", "patients": dict(patients), "shape": shape, "seed": seed, "prevalence": prevalence,
        "style": style, "second_reconstruction": second_reconstruction, "original": original,
    }  # fmt: skip
    folder = begin_folder(folder, settings)
    volumes = {split: list(_volumes(split, count, seed, second_reconstruction)) for split, count in patients.items()}
    make = partial(
        _write_volume, folder=folder, shape=shape, prevalence=prevalence, style=style,
        kinds=(True, False) if original else (True,),
    )  # fmt: skip
    rows = iter(make_all(make, [volume for of_split in volumes.values() for volume in of_split], workers))
    for split, of_split in volumes.items():
        if of_split:
            _write_tables(folder, split, list(islice(rows, len(of_split))))
    return folder


def _volumes(split: str, patients: int, seed: int, second_reconstruction: float) -> Iterator[_Volume]:
    short = SPLITS[split][0]
    for number in range(1, patients + 1):
        rng = np.random.default_rng((seed, [*SPLITS].index(split) + 1, number))
        patient, age = int(rng.integers(2**48)), int(rng.integers(18, 90))
        for letter in "abc":
            scan = f"{short}_{number}_{letter}"
            scan_seed, orientation = int(rng.integers(2**48)), str(rng.choice(ORIENTATIONS))
            intercept = int(rng.choice(INTERCEPTS))
            for reconstruction in (1, 2) if rng.random() < second_reconstruction else (1,):
                yield _Volume(
                    split, f"{scan}_{reconstruction}.nii.gz", f"{short}_{number}/{scan}", scan_seed, patient,
                    reconstruction, orientation, intercept, age,
                )  # fmt: skip
            if rng.random() > _MORE_SCANS:
                break


@dataclass(frozen=True)
class _Rows:
    """What the tables say of one volume."""

    report: dict[str, str]
    labels: dict[str, str | int]
    metadata: dict[str, Any]
    questions: list[dict[str, Any]]


def _write_volume(volume: _Volume, folder: Path, shape, prevalence, style: str, kinds: tuple[bool, ...]) -> _Rows:
    """Write what is missing of a volume, fixed (True) and original (False)."""
    chest = draw_chest(
        volume.seed, shape, prevalence=prevalence, patient=volume.patient, reconstruction=volume.reconstruction
    )
    report = write_report(chest, style)
    paths = {fixed: volume.path(folder, fixed=fixed) for fixed in kinds}
    if missing := [fixed for fixed in kinds if not paths[fixed].exists()]:
        phantom = paint(chest, report)
        for fixed in missing:
            save_nifti(phantom, paths[fixed], volume.orientation, 0 if fixed else -volume.intercept)
    labels = {"VolumeName": volume.name} | {label: int(there) for label, there in chest.labels.items()}
    questions = conversations(volume.name, chest, report)
    return _Rows(_report_row(volume, report), labels, _metadata_row(volume, chest), list(questions))


def _write_tables(folder: Path, split: str, rows: list[_Rows]) -> None:
    short, long = SPLITS[split]
    dataset = folder / "dataset"
    write_table(dataset / "radiology_text_reports" / f"{long}_reports.csv", [row.report for row in rows])
    write_table(dataset / "multi_abnormality_labels" / f"{short}_predicted_labels.csv", [row.labels for row in rows])
    write_table(dataset / "metadata" / f"{long}_metadata.csv", [row.metadata for row in rows])
    questions = [question for row in rows for question in row.questions]
    write_file(dataset / "vqa" / f"{short}_vqa.json", json.dumps(questions, indent=1))


def _report_row(volume: _Volume, report: Report) -> dict[str, str]:
    return {
        "VolumeName": volume.name,
        "ClinicalInformation_EN": report.clinical_information or _NONE,
        "Technique_EN": report.technique or _NONE,
        "Findings_EN": report.findings or _NONE,
        "Impressions_EN": report.impression or _NONE,
    }


def _metadata_row(volume: _Volume, chest: Chest) -> dict[str, Any]:
    thickness, row_step, column_step = chest.scanner.spacing
    return {
        "VolumeName": volume.name,
        "Manufacturer": "synthetic",
        "PatientSex": "F" if chest.body.woman else "M",
        "PatientAge": f"{volume.age:03d}Y",
        "ConvolutionKernel": _KERNELS[chest.scanner.kernel],
        "PatientPosition": "FFS",
        "Rows": chest.shape[1],
        "Columns": chest.shape[2],
        "XYSpacing": f"[{row_step:g}, {column_step:g}]",
        "RescaleIntercept": volume.intercept,
        "RescaleSlope": 1,
        "NumberofSlices": chest.shape[0],
        "ZSpacing": f"{thickness:g}",
    }


__all__ = ["INTERCEPTS", "ORIENTATIONS", "SPLITS", "write_ct_rate_tree"]
