"""Scans on disk for tests."""

from pathlib import Path

import nibabel

from med3d_r1.volume_med3d_r1 import CTVolume


def write_nifti(path: Path, volume: CTVolume) -> Path:
    """Store a volume as NIfTI, its axes in the order in which they are."""
    nibabel.save(nibabel.Nifti1Image(volume.voxels(), volume.affine), path)
    return path
