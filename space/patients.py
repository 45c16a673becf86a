"""The scans of this Space: read from an upload, or painted, and put on two grids, the one for eyes and the model's."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import limits
from med3d_r1 import Med3DR1ImageProcessor, PreparedVolume, VolumeError, VolumeWarning
from med3d_r1.data.phantom import make_phantom
from uploads import taken_in

SYNTHETIC = {
    "Synthetic chest 1": (11, ("Pleural effusion", "Cardiomegaly")),
    "Synthetic chest 2": (12, ("Emphysema", "Lung nodule")),
    "Synthetic chest 3": (13, ("Consolidation", "Lymphadenopathy")),
    "Synthetic chest 4": (14, ()),
}
"""Name -> seed and what is painted into it."""

WELCOME = next(iter(SYNTHETIC))
"""What a visitor sees first."""

SYNTHETIC_SHAPE = (104, 184, 184)

warnings.simplefilter("ignore", VolumeWarning)  # they stand in a scan's record; a log is no place for them


@dataclass(frozen=True, eq=False)
class Scan:
    """A scan that was read.

    Attributes:
        shown: on the paper's grid, 112 x 224 x 224 voxels over 336 mm: for eyes, whatever the model sees.
        seen: on the model's grid.
        painted: of a synthetic chest, the abnormalities in it; None of any other scan.
    """

    shown: PreparedVolume
    seen: PreparedVolume
    painted: tuple[str, ...] | None = None


def read_scan(source: Any, image_processor: Med3DR1ImageProcessor, painted: tuple[str, ...] | None = None) -> Scan:
    """
    Args:
        source: whatever `Med3DR1ImageProcessor.prepare` takes.
        image_processor: the model's.

    Raises:
        VolumeError: the scan was refused.
    """
    seen = image_processor.prepare(source)
    for_eyes = Med3DR1ImageProcessor(max_bytes=limits.MAX_VOXEL_BYTES)
    shown = seen if for_eyes.preprocessing == image_processor.preprocessing else for_eyes.prepare(source)
    return Scan(shown, seen, painted)


def read_upload(upload: str, image_processor: Med3DR1ImageProcessor) -> Scan:
    """As `read_scan`, of an uploaded file, which is deleted."""
    with taken_in(upload) as path:
        return read_scan(path, image_processor)


@lru_cache(maxsize=len(SYNTHETIC))
def synthetic_scan(name: str, image_processor: Med3DR1ImageProcessor) -> Scan:
    """One of `SYNTHETIC`; nobody's scan, so it is kept."""
    seed, labels = SYNTHETIC[name]
    phantom = make_phantom(seed, SYNTHETIC_SHAPE, labels=labels)
    return read_scan(phantom.ct_volume(), image_processor, labels)


def refusal(error: VolumeError) -> str:
    """Why a scan was refused, in a sentence or two, for somebody who has a browser and no shell."""
    remedy = error.remedy
    if "max_bytes" in remedy:
        remedy = "This Space reads nothing larger: crop the scan, or run the package on a machine of your own."
    return f"{error.rule[:1].upper()}{error.rule[1:]}; found {error.found}. {remedy}"


__all__ = ["SYNTHETIC", "WELCOME", "Scan", "read_scan", "read_upload", "refusal", "synthetic_scan"]
