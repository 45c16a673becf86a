"""How sure a number is: intervals, paired tests, calibration. Numpy alone; the same data give the same numbers.

Questions on one scan are not independent, so intervals are over scans: whole clusters are drawn again, or the variance
is taken between them. Every result says from how many items and clusters it comes.

    share of right answers              `score_of`: Wilson's interval for as many independent items as the clusters hold
    a mean, or a difference of two      `bootstrap_mean`, `paired_bootstrap`
    precision, F1: a function of sums   `bootstrap_sums`
    a paired t-test                     `paired_t_test`, as in the paper's table 2
    two systems, right or wrong         `mcnemar`, exact
    many tests at once                  `holm`
    are probabilities what they say     `calibration`, `accuracy_by_coverage`

Sources: Wilson 1927; Efron 1979, Field and Welsh 2007 (clusters); Student 1908; McNemar 1947; Holm 1979; Naeini et al.
2015 (the calibration error); the incomplete beta function by Lentz's continued fraction (DLMF 8.17.22).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 10_000
BINS = 10
"""Of equal width, for the calibration error."""

_NORMAL_95 = 1.959964
_DRAWN_AT_ONCE = 1 << 22  # clusters; a few tens of megabytes


@dataclass(frozen=True)
class Score:
    """A share of right answers.

    Attributes:
        accuracy: the share.
        low, high: its 95 % interval, which takes into account that questions on one scan are not independent.
        items: questions.
        volumes: scans that they are about.
    """

    accuracy: float
    low: float
    high: float
    items: int
    volumes: int

    def __str__(self) -> str:
        return f"{self.accuracy:.1%} [{self.low:.1%}, {self.high:.1%}] of {self.items:,} on {self.volumes:,} scans"


def score_of(volumes: Iterable[str], right: Iterable[bool]) -> Score:
    """The share of right answers and its interval: Wilson's, for as many independent questions as would give the
    variance that is found between scans (a ratio estimator over clusters).

    Args:
        volumes: the scan of each question.
        right: whether its answer is.

    Raises:
        ValueError: there are no questions.
    """
    clusters, of_item = np.unique(list(volumes), return_inverse=True)
    right = np.array(list(right), dtype=float)
    if not right.size:
        raise ValueError("there are no questions to score")
    sizes, hits = np.bincount(of_item), np.bincount(of_item, right)
    accuracy = float(right.mean())
    independent = float(right.size)
    if len(clusters) > 1 and 0 < accuracy < 1:
        spread = len(clusters) / (len(clusters) - 1) * ((hits - accuracy * sizes) ** 2).sum() / right.size**2
        independent = float(min(independent, accuracy * (1 - accuracy) / spread)) if spread > 0 else independent
    return Score(accuracy, *_wilson(accuracy, independent), int(right.size), len(clusters))


def _wilson(share: float, count: float) -> tuple[float, float]:
    squared = _NORMAL_95**2 / count
    middle = share + squared / 2
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / count + squared / (4 * count))
    low, high = (middle - half) / (1 + squared), (middle + half) / (1 + squared)
    return min(share, max(0.0, low)), max(share, min(1.0, high))  # rounding puts ends beyond shares of 0 and 1


@dataclass(frozen=True)
class Estimate:
    """A number with a bootstrap interval.

    Attributes:
        value: of the items as they are; NaN where it is not defined (a precision of nothing).
        low, high: its 95 % interval, the percentiles of what clusters drawn again give.
        items, clusters: how many it comes from.
    """

    value: float
    low: float
    high: float
    items: int
    clusters: int

    def __str__(self) -> str:
        return f"{self.value:+.3f} [{self.low:+.3f}, {self.high:+.3f}] of {self.items:,} in {self.clusters:,} clusters"


def bootstrap_mean(
    values: Sequence[float], clusters: Sequence[Hashable] | None = None, *, resamples: int = RESAMPLES, seed: int = 0
) -> Estimate:
    """The mean and its interval.

    Args:
        values: one an item.
        clusters: what each item belongs to (its scan); None: each stands for itself.
        resamples, seed: as in `bootstrap_sums`.

    Raises: as `bootstrap_sums`.
    """
    values = np.asarray(values, dtype=float)
    columns = np.stack([values, np.ones_like(values)], axis=-1)
    return bootstrap_sums(columns, lambda sums: sums[:, 0] / sums[:, 1], clusters, resamples=resamples, seed=seed)


def paired_bootstrap(
    first: Sequence[float],
    second: Sequence[float],
    clusters: Sequence[Hashable] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The mean of first minus second, item by item, and its interval. Arguments and errors as of `bootstrap_mean`."""
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    _require_pairs(first, second)
    return bootstrap_mean(first - second, clusters, resamples=resamples, seed=seed)


def bootstrap_sums(
    columns: np.ndarray,
    statistic: Callable[[np.ndarray], np.ndarray],
    clusters: Sequence[Hashable] | None = None,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """Any function of sums over items, and its interval: whole clusters are drawn, as many as there are, many times.

    Args:
        columns: (items, k), what is summed: hits and ones for a mean, true and false positives for a precision.
        statistic: (n, k) sums -> (n,) values. Values that are not finite are left out of the interval.
        clusters: what each item belongs to; None: each stands for itself.
        resamples: how often is drawn.
        seed: of the draws.

    Raises:
        ValueError: there are no items, a number is not finite, or not each item has its cluster.
    """
    columns = np.asarray(columns, dtype=float)
    if not len(columns):
        raise ValueError("there is nothing to estimate from: no items")
    if not np.isfinite(columns).all():
        raise ValueError("an estimate needs numbers that are finite; some are NaN or infinite")
    sums = _by_cluster(columns, clusters)
    count = len(sums)
    rng = np.random.default_rng(seed)
    drawn = []
    with np.errstate(divide="ignore", invalid="ignore"):
        value = float(statistic(sums.sum(axis=0, keepdims=True))[0])
        left = resamples
        while left > 0:
            at_once = min(left, max(1, _DRAWN_AT_ONCE // count))
            drawn.append(statistic(sums[rng.integers(count, size=(at_once, count))].sum(axis=1)))
            left -= at_once
    found = np.concatenate(drawn)
    found = found[np.isfinite(found)]
    low, high = np.quantile(found, (0.025, 0.975)) if found.size else (math.nan, math.nan)
    return Estimate(value, float(low), float(high), len(columns), count)


def _by_cluster(columns: np.ndarray, clusters: Sequence[Hashable] | None) -> np.ndarray:
    """(clusters, k): sums within each cluster, in the order in which the clusters first appear."""
    if clusters is None:
        return columns
    if len(clusters) != len(columns):
        raise ValueError(f"each item has one cluster; there are {len(columns):,} items and {len(clusters):,} clusters")
    places: dict[Hashable, int] = {}
    of_item = [places.setdefault(cluster, len(places)) for cluster in clusters]
    sums = np.zeros((len(places), columns.shape[1]))
    np.add.at(sums, of_item, columns)
    return sums


@dataclass(frozen=True)
class TTest:
    """A paired t-test.

    Attributes:
        difference: mean of first minus second.
        t, freedom: the statistic and its degrees of freedom.
        p: two-sided.
        items: pairs.
    """

    difference: float
    t: float
    freedom: int
    p: float
    items: int


def paired_t_test(first: Sequence[float], second: Sequence[float]) -> TTest:
    """Whether two systems differ on the same items, by Student's t. Differences that are all alike have no spread to be
    compared with: p is 1 where they are 0, and else 0.

    Raises:
        ValueError: there are fewer than two pairs, the lengths differ, or a number is not finite.
    """
    first, second = np.asarray(first, dtype=float), np.asarray(second, dtype=float)
    _require_pairs(first, second)
    difference = first - second
    if len(difference) < 2:
        raise ValueError(f"a paired t-test needs two pairs or more; there are {len(difference)}")
    if not np.isfinite(difference).all():
        raise ValueError("a paired t-test needs numbers that are finite; some are NaN or infinite")
    mean, freedom = float(difference.mean()), len(difference) - 1
    error = float(difference.std(ddof=1)) / math.sqrt(len(difference))
    if error <= 1e-12 * max(1.0, float(np.abs(difference).max())):  # rounding alone, whatever the scale
        t = math.copysign(math.inf, mean) if mean else 0.0
    else:
        t = mean / error
    return TTest(mean, t, freedom, t_tail(t, freedom), len(difference))


def t_tail(t: float, freedom: float) -> float:
    """P(|T| >= |t|) of Student's distribution.

    >>> round(t_tail(2.228139, 10), 6)  # the 97.5 % point that tables print
    0.05
    """
    return 0.0 if math.isinf(t) else incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t))


def incomplete_beta(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function I_x(a, b), for a, b > 0 and 0 <= x <= 1."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the continued fraction converges fast on the other side
        return 1 - incomplete_beta(b, a, 1 - x)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    tiny, fraction, upper, lower = 1e-300, 1.0, 1.0, 0.0
    for step in range(10_000):
        m = step // 2
        if step == 0:
            term = 1.0
        elif step % 2:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        else:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        lower = 1 / (1 + term * lower or tiny)
        upper = 1 + term / upper or tiny
        fraction *= lower * upper
        if step and abs(1 - lower * upper) < 1e-15:
            break
    return front * (fraction - 1)


@dataclass(frozen=True)
class McNemar:
    """The exact test on the items on which two systems disagree. It takes items as independent: where several are on
    one scan, the interval by `paired_bootstrap` is the one to believe.

    Attributes:
        only_first, only_second: items that one alone has right.
        p: two-sided.
        items: all pairs.
    """

    only_first: int
    only_second: int
    p: float
    items: int


def mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """
    Args:
        first, second: whether each system has each item right.

    Raises:
        ValueError: there are no items, or the lengths differ.
    """
    first, second = np.asarray(first, dtype=bool), np.asarray(second, dtype=bool)
    _require_pairs(first, second)
    if not len(first):
        raise ValueError("there is nothing to compare: no items")
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    discordant, fewer = only_first + only_second, min(only_first, only_second)
    tail = sum(math.comb(discordant, count) for count in range(fewer + 1))
    p = min(1.0, 2 * tail / 2**discordant)  # whole numbers: exact however many there are
    return McNemar(only_first, only_second, p, len(first))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """p-values of several tests, corrected so that the chance of any false alarm stays below the level, in their order.

    >>> holm({"a": 0.01, "b": 0.04, "c": 0.03})
    {'a': 0.03, 'b': 0.06, 'c': 0.06}
    """
    corrected, highest = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[name]))
        corrected[name] = highest
    return {name: corrected[name] for name in p_values}


@dataclass(frozen=True)
class Bin:
    """Items whose confidence lies in (low, high].

    Attributes:
        low, high: of the confidence.
        items: how many.
        confidence, accuracy: their means.
    """

    low: float
    high: float
    items: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Whether a system is right as often as it says.

    Attributes:
        error: the expected calibration error, mean distance of confidence and accuracy over the bins, each weighted by
            its items.
        bins: those with items.
        items: all of them.
    """

    error: float
    bins: tuple[Bin, ...]
    items: int


def calibration(confidence: Sequence[float], right: Sequence[bool], bins: int = BINS) -> Calibration:
    """
    Args:
        confidence: probability of the chosen answer, 0 to 1.
        right: whether it is.
        bins: of equal width.

    Raises:
        ValueError: there are no items, the lengths differ, or a confidence is not from 0 to 1.
    """
    confidence, right = _confident(confidence, right)
    place = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    filled = []
    for index in np.unique(place):
        of_bin = place == index
        filled.append(
            Bin(
                float(index) / bins,
                (float(index) + 1) / bins,
                int(of_bin.sum()),
                float(confidence[of_bin].mean()),
                float(right[of_bin].mean()),
            )
        )
    error = sum(one.items * abs(one.confidence - one.accuracy) for one in filled) / len(confidence)
    return Calibration(float(error), tuple(filled), len(confidence))


def accuracy_by_coverage(confidence: Sequence[float], right: Sequence[bool]) -> list[tuple[float, float]]:
    """(coverage, accuracy): the share of the items answered if only the surest are, and how often these are right.
    Items of one confidence come together. Arguments and errors as of `calibration`.

    >>> accuracy_by_coverage([0.9, 0.5, 0.5, 0.3], [True, True, False, False])
    [(0.25, 1.0), (0.75, 0.6666666666666666), (1.0, 0.5)]
    """
    confidence, right = _confident(confidence, right)
    order = np.argsort(-confidence, kind="stable")
    answered, hits = np.arange(1, len(order) + 1), np.cumsum(right[order])
    last = np.append(np.diff(confidence[order]) != 0, True)
    return [(float(n / len(order)), float(h / n)) for n, h in zip(answered[last], hits[last], strict=True)]


def _confident(confidence: Sequence[float], right: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    confidence, right = np.asarray(confidence, dtype=float), np.asarray(right, dtype=float)
    _require_pairs(confidence, right)
    if not len(confidence):
        raise ValueError("there are no items to calibrate on")
    if not ((confidence >= 0) & (confidence <= 1)).all():
        raise ValueError("a confidence is a probability from 0 to 1")
    return confidence, right


def _require_pairs(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(f"pairs are of two lists of one length; got {first.shape} and {second.shape}")


__all__ = [
    "Bin",
    "Calibration",
    "Estimate",
    "McNemar",
    "Score",
    "TTest",
    "accuracy_by_coverage",
    "bootstrap_mean",
    "bootstrap_sums",
    "calibration",
    "holm",
    "incomplete_beta",
    "mcnemar",
    "paired_bootstrap",
    "paired_t_test",
    "score_of",
    "t_tail",
]
