"""Two results of MMVQA on the same questions: what training has brought. `comparisons` prints several of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..metrics.statistics import Estimate, McNemar, bootstrap_sums, mcnemar, paired_bootstrap
from .mmvqa import MmvqaResult
from .mmvqa_numbers import OWN, SWAPPED, f1_of, overlap


@dataclass(frozen=True)
class Comparison:
    """Two results on the same questions, second minus first.

    Attributes:
        own: difference of the accuracies with the own scan.
        own_minus_swapped: difference of what the scan adds.
        f1: difference of the agreement of reasoning and report; None where one of them has none.
        mcnemar: on the own scans. It takes questions as independent.
    """

    own: Estimate
    own_minus_swapped: Estimate
    f1: Estimate | None
    mcnemar: McNemar


def compare(first: MmvqaResult, second: MmvqaResult, think: bool = True) -> Comparison:
    """How much better the second result is: S2 after S1, say.

    Raises:
        ValueError: the results are not of the same questions, or one was not measured in this way.
    """
    if first.protocol["data"]["sha256"] != second.protocol["data"]["sha256"]:
        raise ValueError("the two results are of different questions: measure both on the same rows")
    if first.protocol["seed"] != second.protocol["seed"]:
        raise ValueError("the two results swapped scans with different seeds: measure both with the same one")
    for name, result in (("first", first), ("second", second)):
        if think not in result.protocol["think"]:
            raise ValueError(f"the {name} result was not measured {'with' if think else 'without'} reasoning")
    by_key = [
        {(r["item"], r["condition"]): r for r in result.records if r["think"] == think} for result in (first, second)
    ]
    items = [item for item, condition in by_key[0] if condition == OWN]
    scans = [by_key[0][item, OWN]["volume"] for item in items]
    seed, resamples = first.protocol["seed"], first.protocol["resamples"]

    def right(which: int, condition: str) -> np.ndarray:
        records = (by_key[which][item, condition] for item in items)
        return np.array([record["letter"] == record["answer"] for record in records], dtype=float)

    own = [right(which, OWN) for which in (0, 1)]
    added = [right(which, OWN) - right(which, SWAPPED) for which in (0, 1)]
    return Comparison(
        own=paired_bootstrap(own[1], own[0], scans, seed=seed, resamples=resamples),
        own_minus_swapped=paired_bootstrap(added[1], added[0], scans, seed=seed, resamples=resamples),
        f1=_f1_difference(by_key, items, seed, resamples),
        mcnemar=mcnemar(own[1].astype(bool), own[0].astype(bool)),
    )


def _f1_difference(by_key: Sequence[Mapping], items: Sequence[str], seed: int, resamples: int) -> Estimate | None:
    pairs = [(by_key[0][item, OWN], by_key[1][item, OWN]) for item in items]
    pairs = [pair for pair in pairs if all(record["reported"] is not None for record in pair)]
    if not pairs:
        return None
    return bootstrap_sums(
        np.array([[*overlap(first), *overlap(second)] for first, second in pairs]),
        lambda sums: f1_of(sums[:, 3:]) - f1_of(sums[:, :3]),
        [pair[0]["volume"] for pair in pairs],
        seed=seed,
        resamples=resamples,
    )


__all__ = ["Comparison", "compare"]
