"""The HU guard: do these numbers look like Hounsfield units, and if not, what went wrong with them?

HU are fixed by physics: air is near -1000, aerated lung -950 to -600, fat near -100, water 0, soft tissue 0 to 100,
bone up to about 2000, and nothing is less dense than a vacuum. Scans reach us with the rescale slope and intercept
applied twice or not at all, as 8-bit exports, or as MR. The model would answer all the same: so they are checked.

What is looked at: a regular subsample of the scan's own voxels (before any resampling), about SAMPLES of them. Shares
are parts of the sample without constant padding: one value below LOWEST_HU which makes up PADDING_SHARE or more.

    air      -1200 to  -300 HU: air, lung            below    under -1200 HU: nothing physical
    soft      -300 to   300 HU: fat to muscle        above    over 4000 HU: metal at most

The rules, the first that applies:

     1 refuse  all values within 20 of 0 and not all the same: intensities in 0..1 or -1..1, z-scores, a binary mask
     2 warn    all values within 20 of each other: next to nothing to see
     3 accept  air >= 1 %, soft >= 5 %, above <= 10 %, below <= 30 % (the corners around a circular field of view are
               21 %): looks like HU. Warn when below > 2 %: padding with more than one value
     4 refuse  it looks like HU after adding 1024, 8192 or 32768, and 2 % lie under -1060 or there is no spread beside
               the padding: the rescale intercept was applied twice
     5 refuse  it looks like HU (soft >= 15 %) after taking 1024, 8192 or 32768 away and next to nothing (0.5 %) lies
               under -200: no rescale intercept was applied
     6 refuse  20 % lie within 5 of 0 and next to nothing (1 %) under -30: a background of 0, where CT has -1000: MR,
               PET, a mask, an exported picture
     7 refuse  the values fill 0..255 to both ends: an exported picture
     8 refuse  above > 5 %: cannot be HU
     9 refuse  below > 5 %: cannot be HU
    10 refuse  next to nothing (1 %) lies under -30 and 20 % over 300: no fat and no air, but much that is bright: MR
    11 refuse  air < 1 % and soft < 5 %: neither air nor tissue
    12 warn    air < 1 %: no air, hence no lung
    13 warn    soft < 5 %: hardly any tissue

`hu_guard="warn"` turns refusals into warnings, "off" skips the guard.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

SAMPLES = 250_000
LOWEST_HU, LUNG_HU, TISSUE_HU, HIGHEST_HU = -1200, -300, 300, 4000
PADDING_SHARE = 0.001
MIN_AIR, MIN_SOFT = 0.01, 0.05
NO_SPREAD = 20
OFFSETS = (1024, 8192, 32768)
"""Rescale intercepts met in the field, without their sign: CT-RATE's unfixed volumes have -1024 or -8192."""

GUARD_MODES = ("refuse", "warn", "off")

_APPLY = "Pass rescale=(slope, intercept) with the values of the scan's header, such as rescale=(1, -1024)."
_OVERRIDE = "If these are HU all the same, pass hu_guard='warn' or hu_guard='off'."


@dataclass(frozen=True)
class Finding:
    """What the guard has to say about a scan.

    Attributes:
        refuse: whether the numbers cannot be HU; otherwise they are doubtful.
        rule: what holds for HU.
        found: the numbers that say otherwise, and their likely cause.
        remedy: what to do.
    """

    refuse: bool
    rule: str
    found: str
    remedy: str


class VoxelStatistics:
    """What the guard needs to know of a scan, noted while it streams by.

    Args:
        shape: stored voxels of the scan.

    Attributes:
        lowest, highest: over all voxels.
        samples: float32, every so many voxels along each axis.
    """

    def __init__(self, shape: tuple[int, int, int]):
        self.lowest, self.highest = math.inf, -math.inf
        self.stride = max(1, int((math.prod(shape) / SAMPLES) ** (1 / 3)))
        self.shape = shape
        self.samples = np.empty([math.ceil(length / self.stride) for length in shape], dtype=np.float32)

    def watch(self, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
        """Pass slabs along and take note of them.

        Raises:
            ValueError: after the last one, where they do not make up the shape.
        """
        position = noted = 0
        for block in blocks:
            self.lowest = min(self.lowest, float(block.min()))
            self.highest = max(self.highest, float(block.max()))
            sampled = block[-position % self.stride :: self.stride, :: self.stride, :: self.stride]
            self.samples[noted : noted + len(sampled)] = sampled
            position, noted = position + len(block), noted + len(sampled)
            yield block
        if position != self.shape[0]:
            raise ValueError(f"a scan of shape {self.shape} handed out {position} slices")


def examine(values: np.ndarray, lowest: float, highest: float) -> Finding | None:
    """Apply the rules of this module.

    Args:
        values: float32, voxels of a scan, taken to be HU.
        lowest, highest: the extremes over all voxels of the scan.

    Returns:
        The first rule that has something to say, or None where the values look like HU.
    """
    if lowest < highest and max(-lowest, highest) <= NO_SPREAD:
        return _refusal(
            "HU of a scan span hundreds of units",
            f"values from {lowest:g} to {highest:g}: normalised intensities, or a mask",
            "Pass the scan as it was before it was normalised.",
        )
    if highest - lowest <= NO_SPREAD:
        return _doubt(
            "HU of a scan span hundreds of units",
            f"values from {lowest:g} to {highest:g}",
            "Check how it was exported.",
        )
    scan, padding = _without_padding(values)
    if _looks_like_hu(scan):
        return _uneven_padding(scan)
    finding = _intercept(values, scan, padding) or _not_hu(scan, lowest, highest)
    return finding or _unusual(scan)


def _intercept(values: np.ndarray, scan: np.ndarray, padding: float | None) -> Finding | None:
    """Rules 4 and 5: the rescale intercept was applied twice, or not at all."""
    for offset in OFFSETS:
        no_spread = padding is not None and np.ptp(np.percentile(scan, (10, 90))) < 50
        if _looks_like_hu(_without_padding(values + offset)[0]) and (_share(scan, high=-1060) > 0.02 or no_spread):
            return _refusal(
                "air is near -1000 HU and soft tissue between 0 and 100 HU",
                f"both about {offset} lower (half of all voxels are below {np.median(values):.0f}): "
                "the rescale slope and intercept seem to have been applied twice",
                f"Use the scan before the second rescaling, or undo it with rescale=(1, {offset}).",
            )
        if _share(scan, high=-200) < 0.005 and _looks_like_hu(scan - offset, soft=0.15):
            return _refusal(
                "air is near -1000 HU and soft tissue between 0 and 100 HU",
                f"both about {offset} higher (half of all voxels are above {np.median(scan):.0f}): "
                "the rescale slope and intercept seem not to have been applied",
                f"Pass rescale=(slope, intercept) from the scan's metadata, here most likely rescale=(1, -{offset}).",
            )
    return None


def _not_hu(scan: np.ndarray, lowest: float, highest: float) -> Finding | None:
    """Rules 6 to 11: numbers that no CT has."""
    darker_than_water = _share(scan, high=-30)
    background = _share(scan, -5, 5)
    if background >= 0.2 and darker_than_water < 0.01:
        return _refusal(
            "the background of a CT is air, near -1000 HU",
            f"{background:.0%} of the voxels near 0 and next to none below: MR, PET, a mask or an exported picture",
            "Pass a CT in HU.",
        )
    if lowest == 0 and highest == 255:
        return _refusal(
            "HU reach from -1000 to above 1000",
            "values that fill 0 to 255: a picture, not HU",
            "Pass the CT from which the picture was made.",
        )
    if (above := _share(scan, low=HIGHEST_HU)) > 0.05:
        return _refusal(f"hardly any voxel of a CT is above {HIGHEST_HU} HU", f"{above:.0%}, up to {highest:g}", _APPLY)
    if (below := _share(scan, high=LOWEST_HU)) > 0.05:
        return _refusal(
            f"beside padding with one value nothing is below {LOWEST_HU} HU", f"{below:.0%}, down to {lowest:g}", _APPLY
        )
    bright = _share(scan, low=TISSUE_HU)
    if darker_than_water < 0.01 and bright >= 0.2:
        return _refusal(
            "a CT of the chest shows air and fat, darker than water",
            f"next to nothing below -30 and {bright:.0%} of the voxels above {TISSUE_HU}: MR, or not in HU",
            "Pass a CT in HU.",
        )
    if _air(scan) < MIN_AIR and _soft(scan) < MIN_SOFT:
        return _refusal(
            "a CT of the chest shows air near -1000 HU and soft tissue between 0 and 100 HU",
            f"neither (half of all voxels are between {np.percentile(scan, 25):.0f} and {np.percentile(scan, 75):.0f})",
            _APPLY,
        )
    return None


def _unusual(scan: np.ndarray) -> Finding | None:
    """Rules 12 and 13: possible, but not a whole chest."""
    if (air := _air(scan)) < MIN_AIR:
        return _doubt(
            "a CT of the chest shows lung and air",
            f"{air:.1%} of the voxels below {LUNG_HU} HU (values from {scan.min():g} to {scan.max():g})",
            "Check that this is a CT of the chest in HU.",
        )
    return _doubt(
        "a CT of the chest shows soft tissue, 0 to 100 HU",
        f"{_soft(scan):.1%} of the voxels within {LUNG_HU} and {TISSUE_HU} HU",
        "Check that this is a CT of the chest in HU.",
    )


def _uneven_padding(scan: np.ndarray) -> Finding | None:
    below = _share(scan, high=LOWEST_HU)
    if below <= 0.02:
        return None
    return _doubt(
        f"beside padding with one value nothing is below {LOWEST_HU} HU",
        f"{below:.0%} of the voxels, down to {scan.min():g}",
        "They are read as air; check that they are padding.",
    )


def _without_padding(values: np.ndarray) -> tuple[np.ndarray, float | None]:
    """The voxels of the scan, and the one value below LOWEST_HU that the rest has been filled with."""
    lowest = values.min()
    filled = values == lowest
    if lowest < LOWEST_HU and PADDING_SHARE <= filled.mean() < 1:
        return values[~filled], float(lowest)
    return values, None


def _looks_like_hu(values: np.ndarray, soft: float = MIN_SOFT) -> bool:
    extremes = _share(values, low=HIGHEST_HU) <= 0.1 and _share(values, high=LOWEST_HU) <= 0.3
    return extremes and _air(values) >= MIN_AIR and _soft(values) >= soft


def _air(values: np.ndarray) -> float:
    return _share(values, LOWEST_HU, LUNG_HU)


def _soft(values: np.ndarray) -> float:
    return _share(values, LUNG_HU, TISSUE_HU)


def _share(values: np.ndarray, low: float = -np.inf, high: float = np.inf) -> float:
    """The part of the values in [low, high]."""
    return float(((values >= low) & (values <= high)).mean())


def _refusal(rule: str, found: str, remedy: str) -> Finding:
    return Finding(True, rule, found, f"{remedy} {_OVERRIDE}")


def _doubt(rule: str, found: str, remedy: str) -> Finding:
    return Finding(False, rule, found, remedy)


__all__ = ["GUARD_MODES", "Finding", "VoxelStatistics", "examine"]
