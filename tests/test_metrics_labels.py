"""CRG, and precision, recall and F1 of labels: by hand, and what must hold for any table."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.data.report_findings import label_row
from med3d_r1.metrics import crg as crg_module
from med3d_r1.metrics.labels import label_scores
from med3d_r1.metrics.reports import crg

tables = st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=5)


def test_crg_by_hand():
    """X = 8, A = 2, TP = 1, FN = 1, FP = 2: r = 6/4 = 1.5, U = 3, s = 1.5 - 1.5 - 2 = -2, CRG = 3 / (6 + 2)."""
    reference = [[1, 0, 0, 0], [1, 0, 0, 0]]
    predicted = [[1, 1, 0, 0], [0, 0, 0, 1]]
    assert crg(predicted, reference) == pytest.approx(3 / 8)


@given(tables)
def test_crg_of_perfect_empty_and_full_reports(reference):
    """Full: s = r A - (X - A) = -(X - A)/2 = -U, so 1/3 too: saying everything is worth what saying nothing is."""
    assume(0 < np.sum(reference) < np.size(reference))
    assert crg(reference, reference) == pytest.approx(1)
    assert crg(np.zeros_like(reference), reference) == pytest.approx(1 / 3)
    assert crg(np.ones_like(reference), reference) == pytest.approx(1 / 3)


@given(tables, st.data())
def test_crg_is_bounded_and_falls_with_each_error(reference, data):
    reference = np.array(reference)
    assume(0 < reference.sum() < reference.size)
    predicted = np.array(data.draw(st.lists(st.integers(0, 1), min_size=reference.size, max_size=reference.size)))
    predicted = predicted.reshape(reference.shape)
    score = crg(predicted, reference)
    assert 0 < score <= 1
    for place in np.argwhere(predicted == reference):
        worse = predicted.copy()
        worse[tuple(place)] ^= 1
        assert crg(worse, reference) < score


@pytest.mark.parametrize(
    ("predicted", "reference", "message"),
    [
        ([[0, 1]], [[0, 0]], "0 of 2 are positive"),
        ([[0, 1]], [[1, 1]], "2 of 2 are positive"),
        ([[0, 1]], [[0, 1, 0]], r"shapes \(1, 2\) and \(1, 3\)"),
        ([], [], r"shapes \(0,\)"),
        ([[0, 2]], [[0, 1]], r"labels are 0 or 1; got \[2\]"),
        ([[0, 1]], [[0.5, 1]], r"got \[0.5\]"),
    ],
)
def test_tables_that_are_no_labels_are_refused(predicted, reference, message):
    with pytest.raises(ValueError, match=message):
        crg(predicted, reference)


def test_bool_tables_are_labels():
    assert crg_module.crg(np.array([[True, False]]), np.array([[True, False]])) == 1


def test_label_scores_by_hand():
    """Three exams. a: said 2, true 2, both 1. b: never said, true once. c: said once, never true. d: neither."""
    scores = label_scores(
        [[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 0]], [[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]], "abcd"
    )
    a, b, c, d = scores.labels.values()
    assert (a.precision, a.recall, a.f1, a.said, a.true) == (0.5, 0.5, 0.5, 2, 2)
    assert (b.precision, b.recall, b.f1, b.said, b.true) == (None, 0, 0, 0, 1)
    assert (c.precision, c.recall, c.f1, c.said, c.true) == (0, None, 0, 1, 0)
    assert (d.precision, d.recall, d.f1) == (None, None, None)
    assert (scores.micro.precision, scores.micro.recall, scores.micro.f1) == pytest.approx((1 / 3, 1 / 3, 1 / 3))
    assert scores.macro_f1 == pytest.approx((0.5 + 0 + 0) / 3)
    assert scores.exams == 3


@given(tables, st.data())
def test_f1_lies_between_precision_and_recall(reference, data):
    predicted = data.draw(st.permutations(reference))
    for score in label_scores(predicted, reference, "abc").labels.values():
        if score.precision is not None and score.recall is not None:
            low, high = sorted((score.precision, score.recall))
            assert low - 1e-9 <= score.f1 <= high + 1e-9


def test_no_label_at_all_has_no_mean():
    assert label_scores([[0, 0]], [[0, 0]], "ab").macro_f1 is None


def test_names_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"one column for each of 3 names; got a table of the shape \(1, 2\)"):
        label_scores([[0, 0]], [[0, 0]], "abc")


def test_labels_are_read_from_the_text_of_reports():
    said = ["Emphysema. A nodule in the left lung.", "Possible atelectasis. No nodule."]
    known = ["Emphysematous changes. No nodule.", "Atelectasis. Pleural effusion."]
    rows = [label_row(text) for text in known]
    scores = label_scores([label_row(text) for text in said], rows, CT_RATE_LABELS)
    assert scores.labels["Emphysema"].f1 == 1
    assert scores.labels["Lung nodule"].precision == 0
    assert scores.labels["Atelectasis"].recall == 0  # what is only possible is not said
    doubts = label_scores([label_row(text, uncertain=True) for text in said], rows, CT_RATE_LABELS)
    assert doubts.labels["Atelectasis"].recall == 1
