"""CT-RATE as it lies on disk or on the Hub -> scans with their reports and labels.

    dataset/
      valid_fixed/valid_1/valid_1_a/valid_1_a_1.nii.gz         split _ patient _ examination _ reconstruction
      radiology_text_reports/validation_reports.csv            VolumeName, ..., Findings_EN, Impressions_EN
      multi_abnormality_labels/valid_predicted_labels.csv      VolumeName, the 18 labels
      metadata/validation_metadata.csv                         VolumeName, RescaleSlope, RescaleIntercept, ...
      metadata/no_chest_valid.txt                              volumes that show something else, one a line
      vqa/valid_vqa.json                                       questions, see `vqa.py`

(huggingface.co/datasets/ibrahimhamamci/CT-RATE; `valid` in some names, `validation` in others.) The folder to give is
the one with `dataset` in it, or `dataset` itself. Rules:

    which scans    those that the label or the report table names; files that no table names are not looked at
    fixed          volumes are in HU and are read as they are; the metadata's slope and intercept must not be applied
    original       stored values, which become HU by the metadata's slope and intercept: `Volume.reading`
    a scan         is all reconstructions of one examination; they share a report and labels, which must agree
    "Not given."   is an empty section
    not a chest    volumes of the no_chest list are left out, where the list is there
"""

from __future__ import annotations

import logging
import re
import warnings
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from .hub_files import HubFolder
from .reports import given_text
from .scans import SPLIT_ALIASES, DatasetError, DataWarning, Faults, OnFault, Scan, Volume
from .tables import need, open_table, read_label_table, read_rows

REPOSITORY = "ibrahimhamamci/CT-RATE"
DATASET = "CT-RATE"
SPLITS = {"train": ("train", "train"), "validation": ("valid", "validation")}
"""Split -> its name in folders, labels and questions, and in reports and metadata."""

_SECTIONS = {
    "findings": "Findings_EN",
    "impression": "Impressions_EN",
    "clinical_information": "ClinicalInformation_EN",
    "technique": "Technique_EN",
}
_VOLUME_NAME = re.compile(r"(?P<scan>(?P<patient>(?P<split>train|valid)_(\d+))_([a-z]+))_(\d+)\.nii\.gz")
_REMEDY = "Correct or complete the folder, or give on_fault='skip' to go on without what is named here."
_log = logging.getLogger(__name__)


def read_ct_rate(
    source: str | Path | HubFolder,
    split: str = "train",
    *,
    volumes: Literal["fixed", "original"] = "fixed",
    labels: bool = True,
    reports: bool = True,
    on_fault: OnFault = "error",
) -> list[Scan]:
    """The scans of one official split, sorted by patient and examination.

    Args:
        source: the folder, or a `HubFolder` from `ct_rate_on_hub`: then tables are downloaded now, and whether volumes
            exist is not looked at; `source.fetch(volume.path)` brings one.
        split: "train" or "validation" ("valid").
        volumes: which of the two releases of the voxels.
        labels, reports: whether to read these tables; they must be there then. A scan that one of them does not name
            goes without, with a `DataWarning`.
        on_fault: "error" raises all faults at once; "skip" warns and leaves out the volumes that they concern.

    Raises:
        DatasetError: tables or columns are missing; or, with on_fault="error", volumes that the tables name are not
            there, names are not of this split, rows are double or broken, a label is neither 0 nor 1, or the
            reconstructions of a scan disagree.
        ValueError: an argument is none of those offered.
    """
    split = SPLIT_ALIASES.get(split, split)
    layout = _Layout.of(source, split, volumes)
    if not (labels or reports):
        raise ValueError("the tables of labels and reports say which scans there are: read at least one of them")
    faults = Faults(layout.root)
    told = _Told(
        labels=read_label_table(layout.table("labels"), "VolumeName", faults, volume_name) if labels else {},
        reports=_reports(layout.table("reports"), faults) if reports else {},
        rescales=_rescales(layout.table("metadata")) if volumes == "original" else None,
    )
    grouped = _by_scan({**told.labels, **told.reports}.keys() - layout.no_chest(), layout.short, faults)
    scans = [scan for names in grouped if (scan := _scan(names, split, layout, told, faults)) is not None]
    faults.settle(on_fault, _REMEDY)
    if labels and reports:
        _tell_incomplete(layout.root, scans)
    return scans


def ct_rate_on_hub(folder: str | Path, budget_bytes: int, revision: str = "main") -> HubFolder:
    """CT-RATE on the Hub, as a source for `read_ct_rate`. Its terms must have been accepted there.

    Args:
        folder: where files are kept.
        budget_bytes: what they take at most. Tables stay, volumes go when others need the room.
        revision: a commit, branch or tag of the data set.
    """
    return HubFolder(REPOSITORY, folder, budget_bytes, revision)


def questions_file(source: str | Path | HubFolder, split: str = "train") -> Path:
    """The path of a split's questions for `read_vqa`, downloaded if need be."""
    return _Layout.of(source, SPLIT_ALIASES.get(split, split), "fixed").table("questions")


def labels_file(source: str | Path | HubFolder, split: str = "train") -> Path:
    """The path of a split's label table for `read_labels`, downloaded if need be."""
    return _Layout.of(source, SPLIT_ALIASES.get(split, split), "fixed").table("labels")


def read_labels(path: str | Path, *, one_per_scan: bool = False) -> dict[str, tuple[int, ...]]:
    """Any table of the 18 labels in CT-RATE's layout: name of the volume -> 0 or 1 for each, in CT-RATE's order.

    Args:
        path: the CSV file.
        one_per_scan: keep only the first of a scan's reconstructions.

    Raises:
        DatasetError: the header, a value or a name is not as it should be.
    """
    faults = Faults(Path(path))
    labels = read_label_table(Path(path), "VolumeName", faults)
    faults.settle("error", "Correct the table.")
    if not one_per_scan:
        return labels
    first: dict[str, str] = {}
    for name in labels:
        match = _VOLUME_NAME.fullmatch(volume_name(name))
        first.setdefault(match["scan"] if match else name, name)
    return {name: labels[name] for name in first.values()}


def volume_name(name: str) -> str:
    """The name of a volume as its file is called, however a table or a path writes it.

    >>> volume_name("train/train_1/train_1_a/train_1_a_1")
    'train_1_a_1.nii.gz'
    """
    return name.strip().rsplit("/", 1)[-1].removesuffix(".gz").removesuffix(".nii") + ".nii.gz"


@dataclass(frozen=True)
class _Layout:
    """Where things are in one split of one release."""

    root: Path
    short: str  # "valid", in folders, labels and questions
    long: str  # "validation", in reports and metadata
    volumes: str  # the folder of the volumes
    hub: HubFolder | None

    @classmethod
    def of(cls, source: str | Path | HubFolder, split: str, volumes: str) -> _Layout:
        if split not in SPLITS:
            raise ValueError(f"split is one of {', '.join(SPLITS)}; got {split!r}")
        if volumes not in ("fixed", "original"):
            raise ValueError(f"volumes is 'fixed' or 'original'; got {volumes!r}")
        hub = source if isinstance(source, HubFolder) else None
        folder = hub.folder if hub else Path(source).expanduser()
        root = folder / "dataset" if hub or (folder / "dataset").is_dir() else folder
        if not hub and not root.is_dir():
            raise DatasetError(folder, {"folders are missing": [str(folder)]}, "Check the path.")
        short, long = SPLITS[split]
        return cls(root, short, long, f"{short}_fixed" if volumes == "fixed" else short, hub)

    def table(self, what: str) -> Path:
        relative = {
            "labels": f"multi_abnormality_labels/{self.short}_predicted_labels.csv",
            "reports": f"radiology_text_reports/{self.long}_reports.csv",
            "metadata": f"metadata/{self.long}_metadata.csv",
            "no chest": f"metadata/no_chest_{self.short}.txt",
            "questions": f"vqa/{self.short}_vqa.json",
        }[what]
        return self.hub.fetch(f"dataset/{relative}") if self.hub else self.root / relative

    def no_chest(self) -> set[str]:
        """Names of volumes that CT-RATE lists as not of the chest; none where it has no such list."""
        try:
            with open_table(self.table("no chest")) as file:
                names = {volume_name(line) for line in file if line.strip()}
        except (DatasetError, FileNotFoundError):
            return set()
        _log.info("%s: volumes listed as not of the chest are left out (%d)", self.root, len(names))
        return names

    def path(self, match: re.Match[str]) -> Path:
        return self.root / self.volumes / match["patient"] / match["scan"] / match[0]


@dataclass(frozen=True)
class _Told:
    """What the tables say, by name of the volume."""

    labels: Mapping[str, tuple[int, ...]]
    reports: Mapping[str, dict[str, str]]
    rescales: Mapping[str, tuple[float, float]] | None


def _reports(path: Path, faults: Faults) -> dict[str, dict[str, str]]:
    check = need(_SECTIONS["findings"], _SECTIONS["impression"])
    return {
        name: {section: given_text(row.get(column)) for section, column in _SECTIONS.items()}
        for name, row in read_rows(path, "VolumeName", check, faults, volume_name)
    }


def _rescales(path: Path) -> dict[str, tuple[float, float]]:
    """(slope, intercept) of the volumes that have both. Whether another one is needed is seen later."""
    rescales = {}
    check = need("RescaleSlope", "RescaleIntercept")
    for name, row in read_rows(path, "VolumeName", check, Faults(path), volume_name):
        try:
            slope, intercept = float(row["RescaleSlope"]), float(row["RescaleIntercept"])
        except ValueError:
            continue
        if slope:
            rescales[name] = slope, intercept
    return rescales


def _by_scan(names: Iterable[str], short: str, faults: Faults) -> list[list[re.Match[str]]]:
    """Names taken apart, those of one scan together, all of them in order."""
    grouped: dict[str, list[re.Match[str]]] = defaultdict(list)
    for name in sorted(names):
        match = _VOLUME_NAME.fullmatch(name)
        if match is None or match["split"] != short:
            faults.add(f"names are not of the form {short}_1_a_1", name)
        else:
            grouped[match["scan"]].append(match)
    for matches in grouped.values():
        matches.sort(key=_place)
    return sorted(grouped.values(), key=lambda matches: _place(matches[0]))


def _place(match: re.Match[str]) -> tuple:
    """By patient, examination (a, b, ..., z, aa) and reconstruction."""
    patient, letters, reconstruction = match[4], match[5], match[6]
    return int(patient), len(letters), letters, int(reconstruction)


def _scan(matches: list[re.Match[str]], split: str, layout: _Layout, told: _Told, faults: Faults) -> Scan | None:
    """A scan from the names of its volumes; None where a fault leaves nothing of it."""
    names, scan = [match[0] for match in matches], matches[0]["scan"]
    volumes = [volume for match in matches if (volume := _volume(match, layout, told, faults)) is not None]
    labels = [told.labels[name] for name in names if name in told.labels]
    reports = [told.reports[name] for name in names if name in told.reports]
    contradictions = [
        what for what, said in (("labels", labels), ("reports", reports)) if any(one != said[0] for one in said)
    ]
    for what in contradictions:
        faults.add(f"reconstructions of one scan have different {what}", scan)
    if contradictions or not volumes:
        return None
    sections: dict[str, Any] = reports[0] if reports else {}
    return Scan(
        DATASET, split, matches[0]["patient"], scan, tuple(volumes), labels=labels[0] if labels else None, **sections
    )


def _volume(match: re.Match[str], layout: _Layout, told: _Told, faults: Faults) -> Volume | None:
    name, path = match[0], layout.path(match)
    if not layout.hub and not path.is_file():
        faults.add(f"volumes are missing in {layout.volumes}", name)
        return None
    if told.rescales is None:
        return Volume(name, path)
    if name not in told.rescales:
        faults.add("volumes have no rescale slope and intercept in the metadata", name)
        return None
    return Volume(name, path, {"rescale": told.rescales[name]})


def _tell_incomplete(root: Path, scans: list[Scan]) -> None:
    without = {
        "labels": sum(scan.labels is None for scan in scans),
        "report": sum(scan.report is None for scan in scans),
    }
    for what, count in without.items():
        if count:
            warnings.warn(f"{root}: {count:,} of {len(scans):,} scans have no {what}", DataWarning, stacklevel=3)


__all__ = [
    "DATASET",
    "REPOSITORY",
    "SPLITS",
    "ct_rate_on_hub",
    "labels_file",
    "questions_file",
    "read_ct_rate",
    "read_labels",
    "volume_name",
]
