"""How well written reports name the abnormalities: what they affirm against the labels of the data set.

Both are in the records of the report benchmark, `said_labels` and `labels`, in the order of the 18 labels. Each exam is
a cluster of its own, so records of several measurements may stand one behind the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..abnormalities import CT_RATE_LABELS
from ..metrics.labels import LabelScores, label_scores
from ..metrics.statistics import RESAMPLES, Estimate, bootstrap_sums

Record = Mapping[str, Any]
"""Of one exam, as in `report.ReportResult`."""


@dataclass(frozen=True)
class Findings:
    """How well reports name the abnormalities.

    Attributes:
        precision, recall, f1: over all labels of all exams; crg: see `metrics.crg`. Intervals over exams.
        labels: label by label.
    """

    precision: Estimate
    recall: Estimate
    f1: Estimate
    crg: Estimate
    labels: LabelScores


@dataclass(frozen=True)
class FindingsDifference:
    """Of two sets of reports on the same exams, second minus first. Intervals over exams."""

    precision: Estimate
    recall: Estimate
    f1: Estimate
    crg: Estimate


def findings_of(records: Sequence[Record], *, seed: int = 0, resamples: int = RESAMPLES) -> Findings | None:
    """Count the findings of reports.

    Args:
        records: of one condition. Exams whose labels are None are left out.
        seed, resamples: as in `bootstrap_sums`.

    Returns:
        None where no exam has labels.
    """
    labelled = [record for record in records if record["labels"] is not None]
    if not labelled:
        return None
    sums = _sums(labelled)
    estimates = {
        name: bootstrap_sums(sums, statistic, seed=seed, resamples=resamples) for name, statistic in _STATISTICS.items()
    }
    said, true = _tables(labelled)
    return Findings(**estimates, labels=label_scores(said, true, CT_RATE_LABELS))


def compare_findings(
    first: Sequence[Record],
    second: Sequence[Record],
    *,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> FindingsDifference:
    """How much better the second reports name the findings of the same exams.

    Args:
        first, second: records of one condition each, exam by exam in the same order.
        seed, resamples: as in `bootstrap_sums`.

    Raises:
        ValueError: they are of different exams, or no exam has labels.
    """
    if [(record["item"], record["labels"]) for record in first] != [
        (record["item"], record["labels"]) for record in second
    ]:
        raise ValueError("the two sets of reports are of different exams: measure both on the same rows")
    pairs = [pair for pair in zip(first, second, strict=True) if pair[0]["labels"] is not None]
    if not pairs:
        raise ValueError("no exam has labels, so there are no findings to compare")
    before, after = (_sums(records) for records in zip(*pairs, strict=True))
    width = before.shape[1]

    def difference(statistic: Statistic) -> Estimate:
        return bootstrap_sums(
            np.concatenate([before, after], axis=1),
            lambda sums: statistic(sums[:, width:]) - statistic(sums[:, :width]),
            seed=seed,
            resamples=resamples,
        )

    return FindingsDifference(**{name: difference(statistic) for name, statistic in _STATISTICS.items()})


def _tables(records: Sequence[Record]) -> tuple[np.ndarray, np.ndarray]:
    """(exams, labels) each: what is said, what is true."""
    return tuple(np.array([record[key] for record in records], dtype=bool) for key in ("said_labels", "labels"))


def _sums(records: Sequence[Record]) -> np.ndarray:
    """(exams, 4): labels that are rightly said, said, true, and all."""
    said, true = _tables(records)
    return np.stack([(said & true).sum(1), said.sum(1), true.sum(1), np.full(len(said), true.shape[1])], axis=1)


Statistic = Callable[[np.ndarray], np.ndarray]
"""(n, 4) sums as of `_sums` -> (n,) values."""


def _crg(sums: np.ndarray) -> np.ndarray:
    """`metrics.crg` of sums."""
    right, said, true, cells = sums.T
    worth, best = (cells - true) / (2 * true), (cells - true) / 2
    return best / (2 * best - (worth * right - worth * (true - right) - (said - right)))


_STATISTICS: dict[str, Statistic] = {
    "precision": lambda sums: sums[:, 0] / sums[:, 1],
    "recall": lambda sums: sums[:, 0] / sums[:, 2],
    "f1": lambda sums: 2 * sums[:, 0] / (sums[:, 1] + sums[:, 2]),
    "crg": _crg,
}

__all__ = ["Findings", "FindingsDifference", "compare_findings", "findings_of"]
