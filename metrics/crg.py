"""CRG, the score of the VLM3D challenge: how much the findings of reports are worth, against saying nothing.

With X labels x exams of which A are positive, true positives TP, false negatives FN and false positives FP,

    r = (X - A) / 2A        a found abnormality is worth r, a missed one costs r, a false alarm costs 1
    s = r TP - r FN - FP,   U = (X - A) / 2,   CRG = U / (2U - s)

Perfect reports score 1, reports that find nothing 1/3, and it goes towards 0 with false alarms.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def crg(predicted: ArrayLike, reference: ArrayLike) -> float:
    """The score of labels, 0 or 1, exams x labels in both tables.

    Raises:
        ValueError: the tables differ in shape, hold other numbers, or the reference holds only one of the two.

    >>> crg([[1, 0], [0, 0]], [[1, 0], [0, 0]]), crg([[0, 0], [0, 0]], [[1, 0], [0, 0]])
    (1.0, 0.3333333333333333)
    """
    said, true = label_tables(predicted, reference)
    cells, positives = true.size, int(true.sum())
    if not 0 < positives < cells:
        raise ValueError(
            f"CRG needs positive and negative labels in the reference; {positives} of {cells} are positive"
        )
    worth = (cells - positives) / (2 * positives)
    found, missed, false = (said & true).sum(), (~said & true).sum(), (said & ~true).sum()
    best = (cells - positives) / 2
    return float(best / (2 * best - (worth * found - worth * missed - false)))


def label_tables(predicted: ArrayLike, reference: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Two tables of labels as bool.

    Raises:
        ValueError: they differ in shape, are empty, or hold other numbers than 0 and 1.
    """
    said, true = np.asarray(predicted), np.asarray(reference)
    if said.shape != true.shape or not true.size:
        raise ValueError(f"both tables have one row for each exam; got the shapes {said.shape} and {true.shape}")
    for table in (said, true):
        if not np.isin(table, (0, 1)).all():
            raise ValueError(f"labels are 0 or 1; got {sorted({*np.unique(table).tolist()} - {0, 1})[:3]}")
    return said.astype(bool), true.astype(bool)


__all__ = ["crg", "label_tables"]
