"""Synthetic chests in RAD-ChestCT's layout: volumes as .npz, labels by abnormality and location, no reports.

    phantom.json                                             with what it was made
    trn00001.npz                                             see `save_npz`
    imgtrain_Abnormality_and_Location_Labels.csv             NoteAcc_DEID, abnormality*location, ...
    CT_Scan_Metadata_Complete_35747.csv                      VolumeAcc_DEID, MRN_DEID, orig_orientation

Voxels measure 0.8 mm there. Here they measure what the shape makes of a chest, or what `spacing` says; an entry of the
file tells. Mosaic attenuation is not labelled in RAD-ChestCT: it is never drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from ...abnormalities import CT_RATE_TO_RAD_CHESTCT, RAD_CHESTCT_TO_CT_RATE, UNLABELLED
from .chest import PREVALENCE, draw_chest
from .files import begin_folder, make_all, save_npz, write_table
from .finding import Finding
from .make import paint
from .report import write_report

SPLITS = {"train": ("trn", "imgtrain"), "validation": ("val", "imgvalid"), "test": ("tst", "imgtest")}
"""Split -> how its scans and its table are called."""

ORIENTATIONS = {"IPL": "1,0,0,0,1,0", "IAR": "-1,0,0,0,-1,0"}
"""Axes of a volume -> direction cosines in the metadata: on the back and, now and then, on the belly."""

_ON_BELLY = 0.05
_OTHERS = ("groundglass", "fibrosis", "mass", "pneumothorax")
_LOCATIONS = (
    "right_upper", "right_mid", "right_lower", "left_upper", "left_lower", "right_lung", "left_lung", "lung", "airways",
    "heart", "aorta", "esophagus", "mediastinum", "hilum", "chest_wall", "right", "left", "other_location",
)  # fmt: skip
_DEVICES = {
    "pacemaker": "pacemaker_or_defib", "port catheter": "catheter_or_port", "sternal wires": "hardware",
    "central venous catheter": "catheter_or_port", "gastric tube": "gi_tube",
}  # fmt: skip
_LOBES = {"upper lobe": "upper", "middle lobe": "mid", "lower lobe": "lower", "lung": "lung"}
_LOCATED = {
    "Cardiomegaly": "heart", "Pericardial effusion": "heart", "Coronary artery wall calcification": "heart",
    "Arterial wall calcification": "aorta", "Hiatal hernia": "esophagus", "Peribronchial thickening": "airways",
}  # fmt: skip
_ANATOMY = {"hilum": "hilum", "chest wall": "chest_wall", "sternum": "chest_wall",
            "esophagus": "esophagus"}  # fmt: skip


def write_rad_chestct_tree(
    folder: str | Path,
    scans: Mapping[str, int],
    *,
    shape: Sequence[int] = (32, 64, 64),
    spacing: Sequence[float] | None = None,
    seed: int = 0,
    prevalence: dict[str, float] | None = None,
    workers: int = 1,
) -> Path:
    """Write synthetic chests in RAD-ChestCT's layout; a progress bar goes to stderr.

    Args:
        folder: new, empty, or begun by the same call: then what is missing is made.
        scans: how many, for "train", "validation" and "test".
        shape: voxels along (D, H, W) of each volume; with a spacing of 0.8 mm about (390, 440, 440).
        spacing: millimetres along (D, H, W); default: drawn.
        seed: of everything.
        prevalence: of some abnormalities, instead of `PREVALENCE`.
        workers: processes; with 1 everything happens in this one. A program that asks for more does so behind
            `if __name__ == "__main__":`.

    Returns:
        The folder.

    Raises:
        FileExistsError: the folder holds something else.
        ValueError: no such split or abnormality.
    """
    if unknown := sorted({*scans} - {*SPLITS}):
        raise ValueError(f"no split {', '.join(unknown)}; there are {', '.join(SPLITS)}")
    shape, spacing = tuple(int(length) for length in shape), tuple(spacing) if spacing else None
    shares = PREVALENCE | (prevalence or {}) | dict.fromkeys(UNLABELLED["RAD-ChestCT"], 0.0)
    settings = {
        "layout": "RAD-ChestCT", "scans": dict(scans), "shape": shape, "spacing": spacing, "seed": seed,
        "prevalence": shares,
    }  # fmt: skip
    folder = begin_folder(folder, settings)
    drawn = {split: list(_scans(split, count, seed)) for split, count in scans.items() if count}
    everything = [scan for of_split in drawn.values() for scan in of_split]
    make = partial(_write_scan, folder=folder, shape=shape, prevalence=shares, spacing=spacing)
    rows = iter(make_all(make, everything, workers))
    for split, of_split in drawn.items():
        table = folder / f"{SPLITS[split][1]}_Abnormality_and_Location_Labels.csv"
        write_table(table, list(islice(rows, len(of_split))))
    if everything:
        write_table(folder / "CT_Scan_Metadata_Complete_35747.csv", [scan.metadata for scan in everything])
    return folder


@dataclass(frozen=True)
class _Scan:
    """One scan to be made; `orientation` is one of `ORIENTATIONS`."""

    name: str
    seed: int
    orientation: str

    @property
    def metadata(self) -> dict[str, str]:
        return {
            "VolumeAcc_DEID": f"{self.name}.npz",
            "MRN_DEID": f"patient-{self.name}",
            "orig_orientation": ORIENTATIONS[self.orientation],
        }


def _scans(split: str, count: int, seed: int) -> Iterator[_Scan]:
    for number in range(1, count + 1):
        rng = np.random.default_rng((seed, 1 + [*SPLITS].index(split), number))
        orientation = "IAR" if rng.random() < _ON_BELLY else "IPL"
        yield _Scan(f"{SPLITS[split][0]}{number:05d}", int(rng.integers(2**48)), orientation)


def _write_scan(scan: _Scan, folder: Path, shape, prevalence, spacing) -> dict[str, str | int]:
    """Write a scan if it is missing, and return its row of the label table."""
    chest = draw_chest(scan.seed, shape, prevalence=prevalence, spacing=spacing)
    path = folder / f"{scan.name}.npz"
    if not path.exists():
        save_npz(paint(chest, write_report(chest)), path, scan.orientation)
    return {"NoteAcc_DEID": scan.name} | label_columns(chest.findings)


def label_columns(findings: Sequence[Finding]) -> dict[str, int]:
    """`abnormality*location` -> 0 or 1."""
    there = {f"{abnormality}*{location}" for finding in findings for abnormality, location in _located(finding)}
    names = [*RAD_CHESTCT_TO_CT_RATE, *_OTHERS]
    return {
        column: int(column in there) for name in names for column in (f"{name}*{location}" for location in _LOCATIONS)
    }


def _located(finding: Finding) -> Iterator[tuple[str, str]]:
    for abnormality in _abnormalities(finding):
        for side, name in finding.places:
            if name in _LOBES and finding.label not in _LOCATED:
                location = f"{side}_{_LOBES[name]}"
            else:
                location = _LOCATED.get(finding.label) or _ANATOMY.get(name) or side or "mediastinum"
            yield abnormality, location


def _abnormalities(finding: Finding) -> Iterator[str]:
    if finding.label == "Medical material":
        yield _DEVICES[finding.kind]
    elif finding.label == "Lung nodule":
        yield "nodule"
        if finding.size_mm and finding.size_mm > 10:
            yield "nodulegr1cm"
    else:
        yield from CT_RATE_TO_RAD_CHESTCT[finding.label]


__all__ = ["ORIENTATIONS", "SPLITS", "label_columns", "write_rad_chestct_tree"]
