"""The answer parser: forms that models write, what is refused, and properties of both."""

import string
from time import process_time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.answers_med3d_r1 import LETTERS, find_letter, has_layout, parse_answer

OPTIONS = ("Lung nodule", "Emphysema", "Atelectasis", "Pleural effusion")

SAID_WITH_LETTER = (
    "{}", "({})", "[{}]", "{}.", "{})", "**{}**", "“{}”", "'{}'", "\\boxed{{{}}}", "{} is correct",
    "The answer is {}.", "The answer is: {}", "**Answer:** {}", "Option {}", "Final answer: ({})",
    "I would go with {} because of the cysts.",
)  # fmt: skip
"""Forms that name one option by its letter alone."""

SAID_WITH_LETTER_AND_TEXT = ("{0}) {1}", "{0}. {1}", "{0}: {1}", "({0}) {1}", "{0} {1}", "{0} - {1}", "{1} ({0})")
SAID_WITH_TEXT = ("{}", "{}.", "It is {}", "There are {}s", "I see {} on both sides.", "the scan shows\n{}")

letters = st.sampled_from(LETTERS[: len(OPTIONS)])
words = st.text(string.ascii_lowercase + string.digits + " .,\n", min_size=1).filter(str.strip)


@given(st.sampled_from(SAID_WITH_LETTER), letters, st.booleans())
def test_a_letter_is_read_in_every_form(form, letter, with_options):
    assert find_letter(form.format(letter), OPTIONS if with_options else None) == letter


@given(st.sampled_from(SAID_WITH_LETTER_AND_TEXT), letters)
def test_a_letter_with_its_text_is_read(form, letter):
    assert find_letter(form.format(letter, OPTIONS[LETTERS.index(letter)]), OPTIONS) == letter


@given(st.sampled_from(SAID_WITH_TEXT), letters, st.sampled_from((str, str.lower, str.upper)))
def test_the_text_of_an_option_stands_for_its_letter(form, letter, case):
    assert find_letter(form.format(case(OPTIONS[LETTERS.index(letter)])), OPTIONS) == letter


@given(st.sampled_from(("{}", "{}.", "({})", "{}) emphysema", "the answer is {}.")))
def test_small_letters_are_read_where_they_cannot_be_words(form):
    assert find_letter(form.format("b"), OPTIONS) == "B"


@given(
    st.sampled_from(SAID_WITH_LETTER),
    st.sampled_from(SAID_WITH_LETTER),
    st.lists(st.sampled_from(LETTERS), min_size=2, max_size=2, unique=True),
    st.sampled_from(("\n", ", ", ". No: ")),
)
def test_two_different_letters_are_no_answer(first, second, pair, between):
    assert find_letter(first.format(pair[0]) + between + second.format(pair[1])) is None


@pytest.mark.parametrize(
    "answer", ["B or C", "A and C", "A B", "A, B", "A/C", "B) Atelectasis", "Lung nodule, emphysema"]
)
def test_two_options_are_no_answer(answer):
    assert find_letter(answer, OPTIONS) is None


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("A pleural effusion is seen.", "D"),  # an article
        ("I see emphysema.", "B"),  # a pronoun
        ("A finding in the left lung", None),
        ("Kerley B lines", None),
        ("B-cell lymphoma", None),
        ("Nodule(s)", None),
        ("E", None),  # not offered
        ("", None),
    ],
)
def test_single_letters_that_are_words_are_no_options(answer, letter):
    assert find_letter(answer, OPTIONS) == letter


@pytest.mark.parametrize(
    ("answer", "letter"),
    [
        ("B. Emphysema, not atelectasis", "B"),
        ("Pleural effusion without emphysema", "D"),
        ("There is no emphysema.", None),
        ("Not A but C", "C"),
        ("The answer is not B.", None),
        ("The answer isn't A, it's B.", "B"),
        ("Not A, B or C but D", "D"),
        ("I rule out A, C and D. The answer is B.", "B"),
        ("A is wrong. B is right.", "B"),
        ("A is incorrect.", None),
        ("Option A is not present; option B is.", "B"),
        ("B because A is absent", "B"),
        ("Atelectasis is absent. Emphysema is present.", "B"),
        ("Emphysema isn\u2019t seen.", None),
    ],
)
def test_what_is_denied_is_not_chosen(answer, letter):
    assert find_letter(answer, OPTIONS) == letter


def test_a_text_inside_another_is_the_longer_one():
    options = ["Calcification", "Coronary artery wall calcification", "Hepatitis B"]
    assert find_letter("Coronary artery wall calcification", options) == "B"
    assert find_letter("hepatitis B", options) == "C"
    assert find_letter("Calcifications", options) == "A"
    assert find_letter("Calcification, and coronary artery wall calcification", options) is None


@pytest.mark.parametrize(
    ("answer", "letter"),
    [("Lung opacities", "A"), ("bronchiectases", "B"), ("Pleural\u00a0effusions", "C"), ("hiatal  hernias", "D")],
)
def test_plurals_and_spaces_do_not_hide_a_text(answer, letter):
    assert find_letter(answer, ["Lung opacity", "Bronchiectasis", "Pleural effusion", "Hiatal hernia"]) == letter


@given(st.sampled_from(("{}", "\uff08{}\uff09", "\u3010{}\u3011", "answer\uff1a{}", "{}\u3001emphysema")))
def test_wide_letters_are_letters(form):
    assert find_letter(form.format("\uff22"), OPTIONS) == find_letter(form.format("B"), OPTIONS) == "B"


@pytest.mark.parametrize(
    "piece", ["A ", "A, ", "(", "the answer is ", "not A, ", "<think>", "<answer>", "no ", "Emphysema ", "*", "A is "]
)
def test_the_time_grows_with_the_length_and_no_faster(piece):
    """Ten times the text may take thirty times as long, on a busy machine; what backtracks takes a hundred times."""

    def seconds(text):
        start = process_time()
        parse_answer(text, OPTIONS)
        return process_time() - start

    seconds(piece)  # the patterns of the options are made on first use
    assert seconds(piece * 10_000) < 30 * max(min(seconds(piece * 1_000) for _ in range(3)), 1e-3)


@given(words, words)
def test_the_layout_is_valid_and_read_back(reasoning, answer):
    parsed = parse_answer(f"<think>{reasoning}</think>\n<answer>{answer}</answer>")
    assert (parsed.reasoning, parsed.answer, parsed.valid) == (reasoning.strip(), answer.strip(), True)


@given(words, letters)
def test_text_outside_the_blocks_is_invalid_but_the_letter_counts(junk, letter):
    think, answer = "<think>Seen.</think>", f"<answer>{letter}</answer>"
    for text in (junk + think + answer, think + junk + answer, think + answer + junk):
        assert not has_layout(text)
        assert parse_answer(text).letter == letter


@pytest.mark.parametrize(
    "text",
    [
        "<think> </think><answer>B</answer>",
        "<think>Seen.</think><answer>\n</answer>",
        "<answer>B</answer><think>Seen.</think>",
        "<think>Seen.</think><think>More.</think><answer>B</answer>",
        "<think>Seen.</think><answer>B</answer><answer>B</answer>",
        "<think>Seen.<answer>B</answer></think>",
        "<think>Seen.</think><answer>B",
        "<THINK>Seen.</THINK><ANSWER>B</ANSWER>",
        "<answer>B</answer>",
        "B",
    ],
)
def test_what_departs_from_the_layout_is_invalid(text):
    assert not has_layout(text)


def test_without_reasoning_the_layout_is_the_answer_block_alone():
    assert has_layout("<answer>B</answer>", think=False)
    assert not has_layout("<think>Seen.</think><answer>B</answer>", think=False)


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think>Seen.<answer>B</answer>", "Seen.", "B"),  # think block not closed
        ("Seen.</think><answer>B</answer>", "Seen.", "B"),  # not opened
        ("<think>Seen.</think> B", "Seen.", "B"),  # no answer block
        ("<think>Seen.</think><answer>B", "Seen.", "B"),  # cut off in the answer
        ("<think>A is absent, B", "A is absent, B", ""),  # cut off while reasoning: nothing was answered
        ("The answer is B.", "", "The answer is B."),  # no layout at all
        ("<answer>A</answer><answer>B</answer>", "", "A\nB"),  # both count, so no letter
        ("<think>Not <answer>A</answer>.</think><answer>B</answer>", "Not", "B"),  # a draft within the reasoning
        ("<think>Seen.<answer>B</answer></think>", "Seen.", "B"),  # the only answer, if in a wrong place
        ("<THINK>Seen.</THINK>\n< Answer >B</ANSWER>", "Seen.", "B"),
    ],
)
def test_broken_layouts_are_taken_apart(text, reasoning, answer):
    parsed = parse_answer(text)
    assert (parsed.reasoning, parsed.answer) == (reasoning, answer)


@given(st.lists(st.sampled_from([*"ABab ().:'\n", "<think>", "</think>", "<answer>", "</answer>", "Emphysema", "is"])))
def test_any_text_gives_an_offered_letter_or_none(pieces):
    text = "".join(pieces)
    parsed = parse_answer(text, OPTIONS)
    assert parsed.letter in (None, "A", "B", "C", "D")
    assert parsed.reasoning in text
    assert not parsed.valid or (parsed.reasoning and parsed.answer)


@given(letters)
def test_the_reasoning_is_never_the_answer(letter):
    """Letters that the reasoning weighs are not chosen."""
    others = LETTERS[: len(OPTIONS)].replace(letter, "")
    weighed = " ".join(f"Option {other} is absent." for other in others)
    assert parse_answer(f"<think>{weighed}</think><answer>{letter}</answer>", OPTIONS).letter == letter
