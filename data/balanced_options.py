"""Sets of options that tell nothing about which of them is right.

A question is a scan, a label that it has (the true one), and a set S of four labels: the true one and three that the
scan has not. Let a(j, S) be how often, in some way of drawing questions, S are the options and j is the true one. Who
knows these frequencies and sees no scan picks the j with the largest a(j, S); only where all four are equal is nothing
gained, for each set and not only on average over the sets in which a label stands. Of all ways to draw that have this
property the one nearest to the given way (in Kullback-Leibler divergence) takes the scan as before, given S and j, and

    q(j, S) = c(S),   c(S) proportional to the geometric mean of a(j, S) over the four j in S:

the divergence is the sum over S of 4 c(S) log(c(S) / mean), which is smallest when c follows the means. Nothing is
iterated. A set of which one label is never true when it stands is not used at all.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import combinations

import numpy as np

OPTIONS = 4


def draw_balanced(
    labels: np.ndarray,
    scan_weights: np.ndarray,
    label_weights: np.ndarray,
    count: int,
    rng: np.random.Generator,
    *,
    never: Collection[int] = (),
    apart: Collection[tuple[int, int]] = (),
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw questions whose options tell nothing.

    A scan is asked with the same options twice only where too few scans fit to ask all different ones.

    Args:
        labels: bool (scans, labels).
        scan_weights, label_weights: (scans,), (labels,); the given way draws a scan, a true label of it and three
            labels that it has not with a frequency proportional to the product of both.
        count: of questions.
        never: labels that are no options.
        apart: pairs of labels that are not options together.

    Returns:
        For each question the scan, the true label and the other three options: int (count,), (count,), (count, 3).

    Raises:
        ValueError: there is no set of which each label is true in some scan that has none of the others.
    """
    bits = 1 << np.arange(labels.shape[1], dtype=np.int64)
    patterns = labels @ bits
    sets = _sets(labels.shape[1], never, apart)
    masses = _masses(patterns, scan_weights, label_weights, sets, bits)
    usable = masses.min(axis=1, initial=np.inf) > 0
    if not usable.any():
        raise ValueError(
            f"among {len(labels):,} scans there are no four abnormalities of which each is present in a scan that has "
            "none of the other three, so that no balanced question can be asked: use more scans, or other distractors"
        )
    sets, means = sets[usable], np.exp(np.log(masses[usable]).mean(axis=1))
    chosen = rng.choice(len(sets), size=count, p=means / means.sum())
    places = rng.integers(OPTIONS, size=count)
    cells, scans = chosen * OPTIONS + places, np.empty(count, dtype=np.int64)
    order = cells.argsort(kind="stable")
    kinds, starts = np.unique(cells[order], return_index=True)
    for cell, questions in zip(kinds, np.split(order, starts[1:]), strict=True):
        options = sets[cell // OPTIONS]
        fitting = np.flatnonzero((patterns & bits[options].sum()) == bits[options[cell % OPTIONS]])
        weights = scan_weights[fitting] / scan_weights[fitting].sum()
        again = len(questions) > np.count_nonzero(weights)
        scans[questions] = rng.choice(fitting, size=len(questions), replace=again, p=weights)
    true = np.take_along_axis(sets[chosen], places[:, None], axis=1)[:, 0]
    others = sets[chosen][np.arange(OPTIONS) != places[:, None]].reshape(count, OPTIONS - 1)
    return scans, true, others


def _sets(labels: int, never: Collection[int], apart: Collection[tuple[int, int]]) -> np.ndarray:
    """All sets of options: int (sets, 4)."""
    allowed = [label for label in range(labels) if label not in never]
    sets = [options for options in combinations(allowed, OPTIONS) if not any({*pair} <= {*options} for pair in apart)]
    return np.array(sets, dtype=np.int64).reshape(-1, OPTIONS)


def _masses(patterns, scan_weights, label_weights, sets: np.ndarray, bits: np.ndarray) -> np.ndarray:
    """a(j, S) up to a factor, (sets, 4)."""
    kinds, kind_of_scan = np.unique(patterns, return_inverse=True)
    weights = np.bincount(kind_of_scan, scan_weights)
    masses = np.empty(sets.shape)
    for index, options in enumerate(sets):
        seen = kinds & bits[options].sum()
        masses[index] = [weights[seen == bit].sum() for bit in bits[options]]
    return masses * label_weights[sets]


__all__ = ["OPTIONS", "draw_balanced"]
