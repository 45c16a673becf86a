"""The guesser that sees options alone: what it learns, and what it scores."""

import pytest

from med3d_r1.data.options_prior import OptionsOnlyGuesser, options_only_prior


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
