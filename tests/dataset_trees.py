"""Small trees in the layouts of CT-RATE and RAD-ChestCT. Every row and sentence in them is invented."""

import csv
import json
from pathlib import Path

from med3d_r1.abnormalities import CT_RATE_LABELS, RAD_CHESTCT_TO_CT_RATE

NAMES = {"train": ("train", "train"), "validation": ("valid", "validation")}


def labels(*present):
    """0 or 1 for each of the 18."""
    return [int(label in present) for label in CT_RATE_LABELS]


def write_csv(path: Path, rows: list[dict], columns=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


class CTRateTree:
    """One split: volumes are empty files, tables are written by `write`.

    Attributes:
        labels, reports, metadata: rows of the tables, to be changed before `write`.
    """

    def __init__(self, folder: Path, split: str = "validation", volumes: str = "_fixed"):
        self.folder, (self.short, self.long) = folder, NAMES[split]
        self.root = folder / "dataset" / f"{self.short}{volumes}"
        self.labels, self.reports, self.metadata = [], [], []

    def volume(self, name: str) -> Path:
        split, patient, scan, _ = name.split("_")
        path = self.root / f"{split}_{patient}" / f"{split}_{patient}_{scan}" / f"{name}.nii.gz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    def add(self, name: str, *present: str, findings="Findings.", impression="Impression.", rescale=(1, -1024)):
        """A volume (valid_1_a_1) with its rows. Returns the volume's path."""
        self.labels.append({"VolumeName": f"{name}.nii.gz"} | dict(zip(CT_RATE_LABELS, labels(*present), strict=True)))
        self.reports.append(
            {
                "VolumeName": f"{name}.nii.gz",
                "ClinicalInformation_EN": "Not given.",
                "Technique_EN": "Without contrast.",
                "Findings_EN": findings,
                "Impressions_EN": impression,
            }
        )
        self.metadata.append(
            {"VolumeName": f"{name}.nii.gz", "RescaleSlope": rescale[0], "RescaleIntercept": rescale[1]}
            | {"XYSpacing": "[0.68, 0.68]", "ZSpacing": 1.5}
        )
        return self.volume(name)

    @property
    def labels_path(self) -> Path:
        return self.folder / "dataset/multi_abnormality_labels" / f"{self.short}_predicted_labels.csv"

    @property
    def reports_path(self) -> Path:
        return self.folder / "dataset/radiology_text_reports" / f"{self.long}_reports.csv"

    def write(self) -> Path:
        """The tables; returns the folder."""
        write_csv(self.labels_path, self.labels)
        write_csv(self.reports_path, self.reports)
        write_csv(self.folder / "dataset/metadata" / f"{self.long}_metadata.csv", self.metadata)
        return self.folder

    def write_vqa(self, entries: list[dict]) -> Path:
        path = self.folder / "dataset/vqa" / f"{self.short}_vqa.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(entries), encoding="utf-8")
        return path


class RadChestCTTree:
    """One split, as `CTRateTree`. Each of the 27 abnormalities has two locations, and one column is of none of them."""

    COLUMNS = (*(f"{name}*{place}" for name in RAD_CHESTCT_TO_CT_RATE for place in ("left", "right")), "mass*left")

    def __init__(self, folder: Path, split: str = "test"):
        self.folder, self.name = folder, {"train": "imgtrain", "validation": "imgvalid", "test": "imgtest"}[split]
        self.labels, self.metadata = [], []

    def add(self, name: str, *present: str, orientation="1,0,0,0,1,0", patient="mrn1") -> Path:
        """A volume (tst00001) with the columns (emphysema*left) that are 1."""
        self.labels.append({"NoteAcc_DEID": name} | {column: int(column in present) for column in self.COLUMNS})
        self.metadata.append(
            {"VolumeAcc_DEID": f"{name}.npz", "orig_orientation": orientation, "MRN_DEID": patient, "Modality": "CT"}
        )
        path = self.folder / "volumes" / f"{name}.npz"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        return path

    @property
    def labels_path(self) -> Path:
        return self.folder / f"{self.name}_Abnormality_and_Location_Labels.csv"

    @property
    def metadata_path(self) -> Path:
        return self.folder / "CT_Scan_Metadata_Complete_35747.csv"

    def write(self) -> Path:
        write_csv(self.labels_path, self.labels)
        write_csv(self.metadata_path, self.metadata)
        return self.folder
