"""Agreement of a reasoning with a report, finding by finding. No model, no network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from .findings import Measure, agreement, read_findings


class FindingScorer:
    """Scores by the findings that both texts affirm, see `findings.agreement`.

    Args:
        measure: "f1"; "precision", which a short list of what is certain maximises; or "recall", which a list of all 18
            maximises. The last two are for looking, not for training.

    Raises:
        ValueError: there is no such measure.

    >>> FindingScorer()(["Seen emphysema, nodule."], ["Emphysematous changes. No nodule. Hiatal hernia."])
    [0.5]
    """

    bounded = True

    def __init__(self, measure: Measure = "f1"):
        if measure not in get_args(Measure):
            raise ValueError(f"measure is one of {', '.join(get_args(Measure))}; got {measure!r}")
        self.measure = measure

    def __call__(self, reasonings: Sequence[str], reports: Sequence[str]) -> list[float]:
        """One score in [0, 1] for each pair."""
        return [
            agreement(read_findings(reasoning), read_findings(report), self.measure)
            for reasoning, report in zip(reasonings, reports, strict=True)
        ]


__all__ = ["FindingScorer"]
