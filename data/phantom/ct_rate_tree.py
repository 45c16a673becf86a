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
from pathlib import Path
from typing import Any

import numpy as np

from .chest import Chest, draw_chest
from .files import begin_folder, make_all, save_nifti, write_file, write_table
from .make import make_phantom
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
    jobs = []
    for split, count in patients.items():
        if volumes := list(_volumes(split, count, seed, second_reconstruction)):
            _write_tables(folder, split, volumes, shape, prevalence, style)
        jobs += [(volume, fixed) for volume in volumes for fixed in ((True, False) if original else (True,))]
    missing = [(volume, fixed) for volume, fixed in jobs if not volume.path(folder, fixed=fixed).exists()]
    make_all(partial(_write_volume, folder=folder, shape=shape, prevalence=prevalence), missing, workers)
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


def _write_volume(job: tuple[_Volume, bool], folder: Path, shape, prevalence) -> None:
    volume, fixed = job
    phantom = make_phantom(
        volume.seed, shape, prevalence=prevalence, patient=volume.patient, reconstruction=volume.reconstruction
    )
    path, offset = volume.path(folder, fixed=fixed), 0 if fixed else -volume.intercept
    save_nifti(phantom, path, volume.orientation, offset)


def _write_tables(folder: Path, split: str, volumes: list[_Volume], shape, prevalence, style: str) -> None:
    short, long = SPLITS[split]
    reports, labels, metadata, questions = [], [], [], []
    for volume in volumes:
        chest = draw_chest(
            volume.seed, shape, prevalence=prevalence, patient=volume.patient, reconstruction=volume.reconstruction
        )
        report = write_report(chest, style)
        reports.append(_report_row(volume, report))
        labels.append({"VolumeName": volume.name} | {label: int(there) for label, there in chest.labels.items()})
        metadata.append(_metadata_row(volume, chest))
        questions += conversations(volume.name, chest, report)
    dataset = folder / "dataset"
    write_table(dataset / "radiology_text_reports" / f"{long}_reports.csv", reports)
    write_table(dataset / "multi_abnormality_labels" / f"{short}_predicted_labels.csv", labels)
    write_table(dataset / "metadata" / f"{long}_metadata.csv", metadata)
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
