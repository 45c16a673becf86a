"""The area under the ROC curve, against the definition by pairs."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.metrics.auroc import auroc

LABELLED = st.lists(st.tuples(st.integers(-3, 3), st.sampled_from([0, 1, -1])), max_size=30)


def by_pairs(scores, truth):
    """The definition, in full: every positive against every negative."""
    positive, negative = ([score for score, label in zip(scores, truth, strict=True) if label == k] for k in (1, 0))
    pairs = [(a > b) + (a == b) / 2 for a in positive for b in negative]
    return sum(pairs) / len(pairs) if pairs else None


@given(LABELLED)
def test_it_is_the_share_of_pairs_in_order(labelled):
    """Scores are small integers, so that ties are frequent; -1 is "not known"."""
    scores, truth = [score for score, _ in labelled], [label for _, label in labelled]
    assert auroc(scores, truth) == pytest.approx(by_pairs(scores, truth))


def test_a_hand_made_case_with_ties():
    """Positives 3, 2, negatives 2, 1: 3 wins twice, 2 ties once (half) and wins once: 3.5 of 4."""
    assert auroc([3, 2, 2, 1], [1, 1, 0, 0]) == 3.5 / 4


@given(LABELLED)
def test_the_other_way_round_it_is_the_rest(labelled):
    scores, truth = np.array([score for score, _ in labelled]), [label for _, label in labelled]
    area = auroc(scores, truth)
    assert auroc(-scores, truth) == (None if area is None else pytest.approx(1 - area))


def test_only_the_order_counts():
    scores = np.random.default_rng(0).normal(size=50)
    truth = np.arange(50) % 3 == 0
    assert auroc(scores, truth) == auroc(np.exp(scores) * 1e6, truth)


@pytest.mark.parametrize(
    ("scores", "truth", "words"),
    [([1, 2], [1], "one length"), ([[1], [2]], [[1], [0]], "one length"), ([1, float("nan")], [1, 0], "1 of 2 scores")],
)
def test_what_has_no_rank_is_refused(scores, truth, words):
    with pytest.raises(ValueError, match=words):
        auroc(scores, truth)
