"""The guesser that sees options alone: what it learns, and how sure its score is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.data.options_prior import OptionsOnlyGuesser, options_only_prior, score_of


def item(answer, options, volume="v"):
    return {"volume": volume, "options": list(options), "answer": "ABCD"[options.index(answer)]}


def test_it_learns_which_labels_are_often_right():
    guesser = OptionsOnlyGuesser([item("a", "abcd"), item("a", "badc"), item("b", "bcde"), item("c", "cdef")])
    assert guesser.answers([item("a", "dcba"), item("b", "fbed"), item("f", "fdec")]) == ["D", "B", "D"]


def turned(right, options):
    """The same question four times, each letter being right once."""
    return [item(right, options[turn:] + options[:turn]) for turn in range(4)]


def test_it_learns_what_depends_on_the_others():
    """Of x and y, x is right beside e, and y beside f: nothing that a label alone could tell."""
    guesser = OptionsOnlyGuesser((turned("x", "xyeg") + turned("y", "xyfg")) * 20)
    assert guesser.answers([item("x", "gexy"), item("y", "fgyx")]) == ["C", "C"]


def test_it_learns_letters_only_where_they_are_uneven():
    options = ("abcd", "efgh", "ijkl", "mnop")
    uneven = [item(o[0], o) for o in options] * 5
    assert OptionsOnlyGuesser(uneven).answers([item("q", "rsqt")]) == ["A"]
    even = [item(o[place], o) for o in options for place in range(4)] * 3
    nearly = [*even, item("b", "abcd")]
    assert not OptionsOnlyGuesser(nearly)._letters.any()


def test_labels_that_were_never_seen_are_guessed_at():
    guesser = OptionsOnlyGuesser(turned("a", "abcd") * 3)
    assert guesser.answers([item("y", "xyza")]) == ["D"]
    assert guesser.answers([]) == []


def test_the_score_on_others():
    train = [item("a", "abcd", "v1"), item("a", "abce", "v2")] * 5
    score = options_only_prior(train, [item("a", "abcd", "v3"), item("b", "abcd", "v4")])
    assert (score.accuracy, score.items, score.volumes) == (0.5, 2, 2)


@pytest.mark.parametrize("parts", [([], [item("a", "abcd")]), ([item("a", "abcd")], [])])
def test_without_questions_there_is_no_score(parts):
    with pytest.raises(ValueError, match="no questions"):
        options_only_prior(*parts)


class TestScore:
    def test_of_independent_questions_is_wilsons(self):
        """40 of 100: (0.4 + z^2/200 -+ z sqrt(0.24/100 + z^2/40000)) / (1 + z^2/100) = 0.3094, 0.4980 for z = 1.96; a
        little wider, because the variance is estimated from 99 degrees of freedom."""
        score = score_of(map(str, range(100)), [index < 40 for index in range(100)])
        assert (score.low, score.high) == (pytest.approx(0.3094, abs=6e-4), pytest.approx(0.4980, abs=6e-4))
        assert str(score) == "40.0% [30.9%, 49.8%] of 100 on 100 scans"

    def test_of_questions_that_stand_or_fall_with_their_scan_counts_scans(self):
        """Ten questions on each of 40 scans, all right or all wrong: as 40 questions, less one as above."""
        clustered = score_of(
            [str(i) for i in range(40) for _ in range(10)], [i < 16 for i in range(40) for _ in range(10)]
        )
        scans = score_of(map(str, range(39)), [i < 16 for i in range(39)])
        assert clustered.high - clustered.low == pytest.approx(scans.high - scans.low, rel=0.02)

    @given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), min_size=1))
    def test_lies_in_its_interval(self, answered):
        score = score_of(*zip(*answered, strict=True))
        assert 0 <= score.low <= score.accuracy <= score.high <= 1
        assert score.low < score.high

    def test_of_nothing_is_refused(self):
        with pytest.raises(ValueError, match="no questions"):
            score_of([], [])
