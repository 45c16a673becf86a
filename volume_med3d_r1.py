"""What a CT volume is here: voxels in Hounsfield units, an affine, and the two ways to complain about them.

Orientation, in one place
-------------------------
World coordinates are millimetres in RAS+, as in NIfTI: x grows towards the patient's Right, y towards the
front (Anterior), z towards the head (Superior).

The model sees every scan in one canonical orientation, a tensor (D, H, W):

    D  axial slices from the feet to the head      (index 0 = the most inferior slice)
    H  rows from the front to the back             (index 0 = anterior)
    W  columns from the patient's right to the left (index 0 = the patient's right)

    one slice, as a radiologist looks at it:            the stack:

              anterior                                    head   D - 1
         +--------------+                                  |  ...
       R |   (sternum)  | L   row H grows downwards        |  slice 1
         |  lung  lung  |     column W grows to the right  v  slice 0
         +----(spine)---+                                 feet
             posterior

In axis codes, (D, H, W) points to (S, P, L): the DICOM patient system LPS read from the slowest axis.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

CANONICAL_ORIENTATION = "SPL"
"""Directions in which the axes (D, H, W) of a canonical volume grow."""

AIR_HU = -1024
"""What lies outside a scan's field of view; everything below is set to it."""

_RAS_DIRECTION = {
    "R": (0, 1.0), "L": (0, -1.0), "A": (1, 1.0), "P": (1, -1.0), "S": (2, 1.0), "I": (2, -1.0),
}  # fmt: skip


class VolumeError(ValueError):
    """A CT volume was refused. The message names the file, the rule, the value found and the way out."""

    def __init__(self, name: str, rule: str, found: str, remedy: str):
        self.name, self.rule, self.found, self.remedy = str(name), rule, found, remedy
        super().__init__(f"{self.name}: {rule}; found {found}. {remedy}")

    def __reduce__(self):
        return type(self), (self.name, self.rule, self.found, self.remedy)


class VolumeWarning(UserWarning):
    """A CT volume was read, but something about it should be looked at by a person."""


@dataclass(frozen=True)
class CTVolume:
    """One CT scan on the grid it was stored on. Its voxels stay where they are until `blocks` is called.

    Attributes:
        name: how messages call the scan (its file name).
        shape: (n0, n1, n2), voxels along the stored axes. Axis 0 is the slowest in storage.
        affine: (4, 4) float64, maps (index0, index1, index2, 1) to millimetres, RAS+. Columns follow `shape`.
        blocks: returns a fresh iterator over consecutive slabs (n, n1, n2) along axis 0, in order and complete,
            in HU, each int16 or float32. Raises VolumeError where the storage turns out to be broken.
        notes: sentences about choices made while reading ("series 3 of 4 read: 'CHEST 1.0'").
        headers: a few facts worth showing (format, kernel, ...); never a patient's identity.
    """

    name: str
    shape: tuple[int, int, int]
    affine: np.ndarray
    blocks: Callable[[], Iterator[np.ndarray]]
    notes: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxel centres along the stored axes."""
        return tuple(float(s) for s in np.linalg.norm(self.affine[:3, :3], axis=0))

    def voxels(self) -> np.ndarray:
        """All voxels in HU, (n0, n1, n2). Takes the memory of the whole volume; `blocks` does not."""
        return np.concatenate(list(self.blocks()), axis=0)


def orientation_affine(orientation: str, spacing: tuple[float, float, float]) -> np.ndarray:
    """The affine (4, 4) of axes that grow in the given directions, origin at voxel (0, 0, 0).

    Args:
        orientation: three letters, one an axis in stored order, each the direction in which it grows: one of
            R/L, one of A/P, one of S/I ("SPL" is canonical).
        spacing: millimetres between voxel centres along the same axes.

    >>> orientation_affine("SPL", (3.0, 1.5, 1.5))[:3, :3].tolist()
    [[0.0, 0.0, -1.5], [0.0, -1.5, 0.0], [3.0, 0.0, 0.0]]
    """
    letters = orientation.upper()
    if len(letters) != 3 or {_RAS_DIRECTION.get(letter, (None,))[0] for letter in letters} != {0, 1, 2}:
        raise ValueError(
            f"orientation {orientation!r} is not three letters with one of R/L, one of A/P and one of S/I, as in 'SPL'"
        )
    affine = np.eye(4)
    affine[:3, :3] = 0.0
    for axis, letter in enumerate(letters):
        row, sign = _RAS_DIRECTION[letter]
        affine[row, axis] = sign * spacing[axis]
    return affine


def orientation_codes(affine: np.ndarray) -> str:
    """The direction in which each axis grows, as three letters: the signed axis permutation nearest to the affine.

    >>> orientation_codes(orientation_affine("IAR", (1.0, 2.0, 3.0)))
    'IAR'
    """
    directions = affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)
    codes = [""] * 3
    remaining = np.abs(directions)
    for _ in range(3):
        row, axis = np.unravel_index(np.argmax(remaining), remaining.shape)
        codes[axis] = ("RL", "AP", "SI")[row][int(directions[row, axis] < 0)]
        remaining[row, :] = remaining[:, axis] = -1.0
    return "".join(codes)


def coarse_affine(affine: np.ndarray, shape: tuple[int, ...], grid: tuple[int, ...]) -> np.ndarray:
    """The affine (4, 4) of a coarse grid that covers the same box: cell centres in the same millimetres.

    Args:
        affine: (4, 4), of the volume that went into the model (`PreparedVolume.affine`).
        shape: that volume's voxels, (D, H, W).
        grid: cells along the same axes, such as the pooled tokens (7, 7, 7).

    >>> coarse_affine(np.diag([3.0, 1.5, 1.5, 1.0]), (112, 224, 224), (7, 7, 7))[0].tolist()
    [48.0, 0.0, 0.0, 22.5]
    """
    step = np.asarray(shape, dtype=np.float64) / np.asarray(grid, dtype=np.float64)
    cell_to_voxel = np.eye(4)
    cell_to_voxel[:3, :3] = np.diag(step)
    cell_to_voxel[:3, 3] = (step - 1) / 2  # the centre of cell 0 lies between its first and its last voxel
    return affine @ cell_to_voxel


__all__ = ["AIR_HU", "CANONICAL_ORIENTATION", "CTVolume", "VolumeError", "VolumeWarning", "coarse_affine",
           "orientation_affine", "orientation_codes"]  # fmt: skip
