"""Rows of a volume store's manifest for tests, and stores that hold nothing else."""

from pathlib import Path

from med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.data.manifest import ManifestPart, Refusal
from med3d_r1.data.volume_store import VOLUMES, Entry

SMALL = Med3DR1ImageProcessor(field_size=(4, 6, 8), size=(2, 3, 4))
PREPROCESSING = SMALL.preprocessing
REFUSAL = Refusal("b_1.nii.gz", "/data/b_1.nii.gz", "a scan has slices", "none", "Scan again.")


def entry(volume="a_1.nii.gz", **changes) -> Entry:
    facts = {
        "dataset": "CT-RATE", "split": "train", "patient": "a", "scan": "a_1", "sha256": "00", "bytes": 5,
        "source_bytes": 7, "source_shape": [2, 3, 4], "source_spacing": [3.0, 1.5, 1.5], "source_orientation": "SPL",
        "hu_min": -1000.0, "hu_max": 1000.0, "warnings": ["thick"], "seconds": 0.5, "prepared_at": 1.0,
    }  # fmt: skip
    return Entry(volume, **{**facts, **changes})


def fill(folder: Path, *outcomes, shard=(1, 1), preprocessing=PREPROCESSING) -> Path:
    with ManifestPart(folder, VOLUMES, shard, preprocessing) as part:
        for outcome in outcomes:
            part.add(outcome)
    return folder
