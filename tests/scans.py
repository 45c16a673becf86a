"""Scans for tests: synthetic chests, in memory and on disk."""

from collections.abc import Sequence
from pathlib import Path

import nibabel

from med3d_r1.data.phantom import make_phantom
from med3d_r1.volume_med3d_r1 import CTVolume


def synthetic_chest(shape: Sequence[int], spacing: Sequence[float] | None = None, seed: int = 0) -> CTVolume:
    """A synthetic chest (D, H, W) in canonical orientation."""
    return make_phantom(seed, shape, spacing=spacing).ct_volume()


def write_nifti(path: Path, volume: CTVolume) -> Path:
    """Store a volume (slices, rows, columns) as NIfTI does: columns, rows, slices."""
    nibabel.save(nibabel.Nifti1Image(volume.voxels().transpose(2, 1, 0), volume.affine[:, [2, 1, 0, 3]]), path)
    return path
