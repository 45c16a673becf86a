"""Precision, recall and F1 of labels, one by one and together. Where the labels come from is the caller's business:
`data.report_findings.label_row` reads them from the text of a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .crg import label_tables


@dataclass(frozen=True)
class LabelScore:
    """How well one label is found.

    Attributes:
        precision: None where the label was never said.
        recall: None where it was never true.
        f1: None where it was neither.
        said, true: how often it was.
    """

    precision: float | None
    recall: float | None
    f1: float | None
    said: int
    true: int

    @classmethod
    def of(cls, both: int, said: int, true: int) -> LabelScore:
        return cls(
            precision=both / said if said else None,
            recall=both / true if true else None,
            f1=2 * both / (said + true) if said + true else None,
            said=said,
            true=true,
        )


@dataclass(frozen=True)
class LabelScores:
    """Scores of all labels.

    Attributes:
        labels: label -> its score.
        micro: all decisions in one.
        macro_f1: the mean over those labels that have an F1; None where none has.
        exams: rows of the tables.
    """

    labels: dict[str, LabelScore]
    micro: LabelScore
    macro_f1: float | None
    exams: int


def label_scores(predicted: ArrayLike, reference: ArrayLike, names: Sequence[str]) -> LabelScores:
    """Scores of tables of labels, 0 or 1, exams x names.

    Raises:
        ValueError: as for `label_tables`, or there is not one name for each column.

    >>> scores = label_scores([[1, 0], [1, 0]], [[1, 0], [0, 0]], ["Emphysema", "Lung nodule"])
    >>> scores.labels["Emphysema"]
    LabelScore(precision=0.5, recall=1.0, f1=0.6666666666666666, said=2, true=1)
    >>> scores.labels["Lung nodule"].f1 is None, scores.macro_f1
    (True, 0.6666666666666666)
    """
    said, true = label_tables(predicted, reference)
    if said.ndim != 2 or said.shape[1] != len(names):
        raise ValueError(f"one column for each of {len(names)} names; got a table of the shape {said.shape}")
    counts = np.stack([(said & true).sum(0), said.sum(0), true.sum(0)])
    labels = {name: LabelScore.of(*map(int, column)) for name, column in zip(names, counts.T, strict=True)}
    known = [score.f1 for score in labels.values() if score.f1 is not None]
    return LabelScores(
        labels=labels,
        micro=LabelScore.of(*map(int, counts.sum(1))),
        macro_f1=sum(known) / len(known) if known else None,
        exams=len(said),
    )


__all__ = ["LabelScore", "LabelScores", "label_scores"]
