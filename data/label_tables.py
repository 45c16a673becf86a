"""Invented label tables: what can be shown with numbers alone is shown without a patient's row.

Abnormalities of a table go together as in patients, but by a few made-up common causes: each scan has one severity for
all and one for each of three groups (heart and vessels, lungs, chronic change, say), and an abnormality is present
where the sum of these and chance passes the threshold that belongs to its prevalence (a Gaussian copula).
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from ..abnormalities import CT_RATE_LABELS

PREVALENCES = (
    0.09, 0.28, 0.50, 0.16, 0.37, 0.07, 0.25, 0.47, 0.14, 0.34, 0.05, 0.22, 0.43, 0.11, 0.31, 0.03, 0.19, 0.40,
)  # fmt: skip
"""Invented, one for each of the 18: 3 % to 50 %, 4.4 abnormalities a scan on average."""

GROUPS = 3


def invented_labels(
    scans: int,
    seed: int = 0,
    *,
    prevalences: Sequence[float] = PREVALENCES,
    shared: float = 0.1,
    grouped: float = 0.2,
) -> dict[str, tuple[int, ...]]:
    """A table of the 18 labels: name of a volume that does not exist -> 0 or 1 for each.

    Args:
        scans: rows.
        seed: of the table; the same seed gives the same one.
        prevalences: of each label, strictly between 0 and 1.
        shared: the part of an abnormality's variance that all have in common.
        grouped: the part that those of one group (every third label) have in common besides.
    """
    rng = np.random.default_rng(seed)
    labels = len(CT_RATE_LABELS)
    common = rng.normal(size=(scans, 1)) * np.sqrt(shared)
    of_group = rng.normal(size=(scans, GROUPS))[:, np.arange(labels) % GROUPS] * np.sqrt(grouped)
    own = rng.normal(size=(scans, labels)) * np.sqrt(1 - shared - grouped)
    thresholds = np.array([NormalDist().inv_cdf(1 - prevalence) for prevalence in prevalences])
    present = (common + of_group + own > thresholds).astype(int)
    return {f"invented_{index}_a_1": tuple(row) for index, row in enumerate(present.tolist(), start=1)}


__all__ = ["PREVALENCES", "invented_labels"]
