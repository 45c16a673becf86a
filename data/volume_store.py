"""The volume store: every scan of a data set on the model's grid, one file each, and a manifest of them.

    STORE/
      volumes/3f/valid_1_a_1.npz     one `PreparedVolume`: int16 HU (D, H, W), affine, record
      manifest/all.parquet           one row (`Entry`) a volume; the preprocessing stands in the file's metadata
      manifest/2-of-4.parquet        where the work was divided, each part is written by one process alone
      refused/all.jsonl              volumes that could not be prepared, a line (`Refusal`) each, and why
      refused/2-of-4.jsonl

A volume's file follows from its name, so the manifest is an index and can be made again from the files. Parts are
merged when they are read; of two rows for one volume the later counts. All files appear whole or not at all.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..prepared_med3d_r1 import PreparedVolume
from .manifest import Kind, Stored, StoredScans, StoreError, require_preprocessing


@dataclass(frozen=True)
class Entry(Stored):
    """One stored volume, a row of the manifest.

    Attributes:
        sha256: of the voxels and the affine, see `checksum`.
        source_shape, source_spacing, source_orientation: of the scan as it was stored there; spacing in mm.
        hu_min, hu_max: of the scan, before anything was done to it.
        warnings: what a person should look at.

    The others are those of `Stored`.
    """

    source_shape: list[int]
    source_spacing: list[float]
    source_orientation: str
    hu_min: float
    hu_max: float
    warnings: list[str]


VOLUMES = Kind("volumes", ".npz", Entry, "prepare", "prepared")


class Store(StoredScans[PreparedVolume]):
    """A volume store to read from: volume name -> PreparedVolume; see `StoredScans`.

    Args:
        folder: the store.
        image_processor: the one that will read the volumes; the store must have been prepared with its settings.

    Raises:
        StoreError: there is no volume store, or it was prepared with other settings.
    """

    kind = VOLUMES

    def __init__(self, folder: str | os.PathLike[str], image_processor: Any = None):
        super().__init__(folder)
        if image_processor is not None:
            require_preprocessing(self.folder, VOLUMES, self.manifest.preprocessing, image_processor.preprocessing)

    def __getitem__(self, volume: str) -> PreparedVolume:
        """
        Raises:
            KeyError: the volume is not stored; the message says why, where it was refused.
            VolumeError: its file is broken.
        """
        return PreparedVolume.load(self.path(volume))

    def checksum(self, volume: str) -> str:
        return checksum(self[volume])


def checksum(prepared: PreparedVolume) -> str:
    """sha256 of a volume's voxels (little-endian int16, in C order) and then its affine (little-endian float64)."""
    digest = hashlib.sha256(np.ascontiguousarray(prepared.hu, "<i2"))
    digest.update(np.ascontiguousarray(prepared.affine, "<f8"))
    return digest.hexdigest()


__all__ = ["VOLUMES", "Entry", "Store", "StoreError", "checksum"]
