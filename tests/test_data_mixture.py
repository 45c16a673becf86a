"""Mixtures hold their shares, lose no row silently, and are the same each time."""

import warnings
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.data.mixture import apportion, draw, mix
from med3d_r1.data.rows import as_dataset
from med3d_r1.data.scans import DataWarning
from sft_rows import sft_rows

NAMES = st.sampled_from(["report", "vqa", "checklist", "list"])
KINDS = st.dictionaries(NAMES, st.tuples(st.integers(1, 30), st.integers(1, 9)), min_size=1)
"""Kind -> (rows, share)."""


def drawn(kinds, size=None, seed=0):
    """A mixture, and how many rows of each kind were said to be left out."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        lengths = {name: length for name, (length, _) in kinds.items()}
        picks = draw(lengths, {name: share for name, (_, share) in kinds.items()}, size, seed)
    assert all(issubclass(one.category, DataWarning) for one in told)
    words = [str(one.message).split() for one in told]
    return picks, {of[0].removesuffix(":"): int(of[1].replace(",", "")) for of in words}


@given(kinds=KINDS, size=st.integers(1, 200), seed=st.integers(0, 3))
def test_a_mixture_holds_its_shares(kinds, size, seed):
    picks, _ = drawn(kinds, size, seed)
    total = sum(share for _, share in kinds.values())
    assert len(picks) == size
    counts = Counter(name for name, _ in picks)
    for name, (_, share) in kinds.items():
        assert abs(counts[name] - size * share / total) < 1
        for end in range(size):
            begun = sum(kind == name for kind, _ in picks[:end])
            assert abs(begun - end * counts[name] / size) <= len(kinds)


@given(kinds=KINDS, size=st.integers(1, 200) | st.none(), seed=st.integers(0, 3))
def test_no_row_is_lost_or_favoured_silently(kinds, size, seed):
    """Rows of a kind come equally often, or once more; those that do not come are counted in a warning."""
    picks, left_out = drawn(kinds, size, seed)
    for name, (length, _) in kinds.items():
        times = Counter(row for kind, row in picks if kind == name)
        assert set(times) <= set(range(length))
        each = [times[row] for row in range(length)]
        assert max(each) - min(each) <= 1
        if sum(each):
            assert left_out.get(name, 0) == each.count(0)
        if size is None:
            assert max(each) <= 1


@given(kinds=KINDS)
def test_without_a_size_it_is_as_large_as_it_can_be(kinds):
    """One row more, and some row would come twice."""
    size = len(drawn(kinds)[0])
    more = apportion({name: share for name, (_, share) in kinds.items()}, size + 1)
    assert any(more[name] > length for name, (length, _) in kinds.items())


def test_without_a_size_by_hand():
    """136 rows are 20.4 reports and 115.6 questions, rounded by the larger remainder; 137 would be 20.55 and 116.45,
    and take a 21st report."""
    picks, left_out = drawn({"report": (20, 15), "vqa": (1000, 85)})
    assert Counter(name for name, _ in picks) == {"report": 20, "vqa": 116}
    assert left_out == {"vqa": 884}


def test_the_same_seed_the_same_mixture():
    kinds = {"report": (20, 1), "vqa": (40, 2)}
    assert drawn(kinds, 30) == drawn(kinds, 30)
    assert drawn(kinds, 30)[0] != drawn(kinds, 30, seed=1)[0]


def test_shares_are_relative_and_0_leaves_a_kind_out():
    """A kind that is left out on purpose is not warned of."""
    picks, left_out = drawn({"report": (4, 0.5), "vqa": (9, 0), "list": (4, 0.5)})
    assert Counter(name for name, _ in picks) == {"report": 4, "list": 4}
    assert left_out == {}


def test_remainders_go_to_the_largest():
    """7 rows by 2 : 1 : 1 are 3.5, 1.75, 1.75: three, one and one, and the two that are left to the two .75."""
    assert apportion({"a": 2, "b": 1, "c": 1}, 7) == {"a": 3, "b": 2, "c": 2}


def test_mixing_data_sets():
    rows = sft_rows(["a.npz", "b.npz"])
    reports, questions = as_dataset(rows[::2]), as_dataset(rows[1::2])
    with pytest.warns(DataWarning, match="vqa: 2 of 4 rows are left out of a mixture of 6 rows"):
        mixed = mix({"report": reports, "vqa": questions}, {"report": 2, "vqa": 1}, size=6)
    texts = [row["completion"][0]["content"] for row in mixed]
    assert [text.startswith("<finding>") for text in texts].count(True) == 4
    assert sorted(text for text in texts if text.startswith("<finding>")) == sorted(
        row["completion"][0]["content"] for row in rows[::2]
    )
    assert [row["abnormal_spans"] != [] for row in mixed] == [text.startswith("<finding>") for text in texts]


def test_columns_must_be_the_same():
    reports = as_dataset(sft_rows(["a.npz"], 1))
    with pytest.raises(ValueError, match="have the same columns and types: report has"):
        mix({"report": reports, "vqa": reports.remove_columns("abnormal_spans")}, {"report": 1, "vqa": 1})


@pytest.mark.parametrize(
    ("lengths", "shares", "size", "message"),
    [
        ({"report": 1, "vqa": 1}, {"report": 1}, None, "vqa is in one alone"),
        ({"report": 1}, {"report": 1, "vqa": 1}, None, "vqa is in one alone"),
        ({"report": 1}, {"report": -1}, None, "shares are not negative"),
        ({"report": 1}, {"report": 0}, None, "at least one is positive"),
        (
            {"report": 1, "vqa": 0},
            {"report": 1, "vqa": 2},
            None,
            "vqa has a share of 2 in the mixture, and not",
        ),
        ({"report": 1}, {"report": 1}, 0, "at least one row; got size 0"),
    ],
)
def test_what_makes_no_mixture_is_refused(lengths, shares, size, message):
    with pytest.raises(ValueError, match=message):
        draw(lengths, shares, size)
