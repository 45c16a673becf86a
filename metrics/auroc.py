"""The area under the ROC curve of scores, by ranks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def auroc(scores: Sequence[float], truth: Sequence[int]) -> float | None:
    """The share of pairs of a positive and a negative in which the positive has the higher score; equal scores count
    half. None where there are no positives or no negatives.

    Args:
        scores: (N,), higher for what is more likely present.
        truth: (N,), 1 or 0; any other value, such as -1, is "not known" and left out.

    Raises:
        ValueError: the lengths differ, or a score is not a number.

    >>> auroc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), auroc([1, 1, 1], [0, 1, 1]), auroc([0.2, 0.7], [1, 1])
    (0.75, 0.5, None)
    """
    scores, truth = np.asarray(scores, dtype=np.float64), np.asarray(truth)
    if scores.shape != truth.shape or scores.ndim != 1:
        raise ValueError(f"scores and truth need one length; they are {scores.shape} and {truth.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"{np.isnan(scores).sum()} of {len(scores)} scores are not a number: they have no rank")
    known = (truth == 0) | (truth == 1)
    scores, positive = scores[known], truth[known] == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        return None
    _, place, count = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(count) - (count - 1) / 2  # of equal scores the mean of their ranks, the first being 1
    wins = ranks[place][positive].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * negatives))


__all__ = ["auroc"]
