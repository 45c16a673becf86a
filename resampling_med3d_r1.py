"""Linear resampling of one axis after the other, with anti-aliasing where it shrinks, a plane at a time.

The grid is that of `torch.nn.functional.interpolate(align_corners=False)`, which the release's CT-RATE step 1 uses: an
axis of n samples at spacing s becomes m = max(1, round(n * s / target)) samples over the same extent, and sample j is
centred at source index (j + 0.5) * n / m - 0.5. The true spacing is therefore s * n / m, close to the target.

The kernel is a triangle. Without anti-aliasing its half width is one source sample (linear interpolation). With it the
half width is n / m where that is larger, so that every voxel of a shrinking axis counts: the same weights as torch's
`antialias=True`, which exists there for two dimensions only.

Sums run over the taps in the order of the canonical axes, first D, then H, then W, in float32, one multiplication and
one addition at a time. So the result does not depend on the order in which the planes arrive, on the number of threads
or on a matrix library, and it is the same to the last bit.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AxisGrid:
    """One axis of the model's grid, laid over one axis of a scan.

    Attributes:
        source: n, samples of the scan along this axis.
        whole: m, samples of the whole scan after resampling.
        first: index on the resampled axis of the model's sample 0. Negative where the model sees more than the scan.
        length: samples that the model sees.
    """

    source: int
    whole: int
    first: int
    length: int

    @property
    def factor(self) -> float:
        """Source samples per resampled sample; above 1 the axis shrinks."""
        return self.source / self.whole

    @property
    def inside(self) -> slice:
        """The model's samples that lie on the scan; those outside are air."""
        return slice(max(0, -self.first), min(self.length, self.whole - self.first))

    @property
    def overhang(self) -> tuple[int, int]:
        """Resampled samples cut off before the first and after the last one; negative: samples of air added."""
        return self.first, self.whole - self.first - self.length

    def source_index(self, index: float) -> float:
        """Where along the scan's axis the model's sample `index` is centred."""
        return (index + self.first + 0.5) * self.factor - 0.5


def resampled_length(source: int, spacing: float, target: float) -> int:
    """m = max(1, round(n * s / target)), halves to the even number, as in the release.

    The quotient is first rounded to 1/1000, because 2.5 mm measured from DICOM positions (2.4999999) must give the
    same grid as 2.5 mm from a NIfTI header.

    >>> resampled_length(303, 2.4999999, 3.0), resampled_length(512, 0.7, 1.5), resampled_length(1, 0.5, 3.0)
    (252, 239, 1)
    """
    return max(1, round(round(source * spacing / target, 3)))


def model_axis(source: int, whole: int, field: int, size: int, margin: int = 0) -> AxisGrid:
    """Crop or pad a resampled axis to `field` samples about its centre, then crop to `size` plus a margin on each side.

    Where the difference is odd the release cuts the larger half at the lower side and pads the larger half at the
    upper side; both are ceil((whole - field) / 2).

    >>> model_axis(source=480, whole=260, field=256, size=224).first   # cuts 2, then 16
    18
    >>> model_axis(source=5, whole=5, field=8, size=8).overhang   # adds 1 before and 2 after
    (-1, -2)
    """
    first = math.ceil((whole - field) / 2) + math.ceil((field - size) / 2) - margin
    return AxisGrid(source, whole, first, size + 2 * margin)


@dataclass(frozen=True, eq=False)
class Taps:
    """Which source samples each output is a weighted sum of.

    Attributes:
        start: int (outputs,), index of the first tap.
        weights: float32 (outputs, width), 0 where an output has fewer taps. Each row sums to 1.
    """

    start: np.ndarray
    weights: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Taps of each output, int (outputs,)."""
        return (self.weights > 0).sum(axis=1)

    @property
    def window(self) -> slice:
        """The source samples that any output touches."""
        return slice(int(self.start.min()), int((self.start + self.counts).max()))

    def relative(self) -> Taps:
        """The same taps, counted from the window's first sample."""
        return Taps(self.start - self.window.start, self.weights)


def axis_taps(grid: AxisGrid, antialias: bool) -> Taps:
    """The taps of the model's samples that lie on the scan (`grid.inside`)."""
    outputs = np.arange(grid.inside.start, grid.inside.stop)
    centre = grid.source_index(outputs)
    half_width = max(grid.factor, 1.0) if antialias else 1.0
    start = np.maximum(np.floor(centre - half_width) + 1, 0).astype(int)
    stop = np.minimum(np.ceil(centre + half_width), grid.source).astype(int)
    taps = start[:, None] + np.arange((stop - start).max())
    weights = np.maximum(1 - np.abs(taps - centre[:, None]) / half_width, 0)
    weights[taps >= stop[:, None]] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    return Taps(start, weights.astype(np.float32))


def resample_planes(
    planes: Iterable[tuple[int, np.ndarray]], depth: Taps, rows: Taps, columns: Taps
) -> Iterator[tuple[int, np.ndarray]]:
    """Resample a volume that arrives a plane at a time, holding only the planes that are still needed.

    Args:
        planes: (index along D, int16 or float32 (H, W)) in any order, each index of `depth.window` once.
        depth, rows, columns: the taps along D, H and W, counted from the planes' first row and column.

    Yields:
        (output index along D, float32 (outputs of rows, outputs of columns)), as soon as the last of its planes came.
        The array is overwritten by the next one.
    """
    counts = depth.counts
    users: dict[int, list[int]] = defaultdict(list)
    for output, (start, count) in enumerate(zip(depth.start, counts, strict=True)):
        for index in range(start, start + count):
            users[index].append(output)
    waits_for = counts.copy()
    needed_by = {index: len(outputs) for index, outputs in users.items()}
    held: dict[int, np.ndarray] = {}
    resample_plane = None
    for index, plane in planes:
        resample_plane = resample_plane or _PlaneResampler(plane.shape, rows, columns)
        held[index] = plane
        for output in users[index]:
            waits_for[output] -= 1
            if waits_for[output] == 0:
                taps = range(depth.start[output], depth.start[output] + counts[output])
                yield output, resample_plane([held[tap] for tap in taps], depth.weights[output])
                for tap in taps:
                    needed_by[tap] -= 1
                    if needed_by[tap] == 0:
                        del held[tap]


class _PlaneResampler:
    """Blends neighbouring planes (H, W), then resamples the rows, then the columns of the blend.

    Called for every output plane: the memory it works in is taken once, which saves a tenth of the time.
    """

    def __init__(self, shape: tuple[int, int], rows: Taps, columns: Taps):
        self._blend, self._term = np.empty((2, *shape), dtype=np.float32)
        self._turned = np.empty((shape[1], len(rows.start)), dtype=np.float32)
        self._resample_rows = _RowResampler(rows, shape[1])
        self._resample_columns = _RowResampler(columns, len(rows.start))

    def __call__(self, planes: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
        np.multiply(planes[0], weights[0], out=self._blend)
        for plane, weight in zip(planes[1:], weights[1:], strict=False):
            self._blend += np.multiply(plane, weight, out=self._term)
        self._turned[:] = self._resample_rows(self._blend).T
        return self._resample_columns(self._turned).T


class _RowResampler:
    """float32 (rows, width) -> (outputs, width), in memory of its own."""

    def __init__(self, taps: Taps, width: int):
        self._taps = [(taps.start + tap, weights[:, None]) for tap, weights in enumerate(taps.weights.T)]
        self._result, self._term = np.empty((2, len(taps.start), width), dtype=np.float32)

    def __call__(self, plane: np.ndarray) -> np.ndarray:
        for number, (rows, weights) in enumerate(self._taps):
            term = self._term if number else self._result
            np.take(plane, rows, axis=0, out=term, mode="clip")  # beyond the last row the weight is 0
            term *= weights
            if number:
                self._result += term
        return self._result


__all__ = ["AxisGrid", "Taps", "axis_taps", "model_axis", "resample_planes", "resampled_length"]
