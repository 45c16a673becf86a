"""The parser under the name that evaluation uses: what models write around a letter, and what must not be one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1 import answers_med3d_r1
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.metrics import answers
from med3d_r1.metrics.answers import LETTERS, parse_answer

FORMS = (
    "{0}", "({0})", "{0}.", "{0}) {1}", "({0}) {1}", "{0}. {1}", "{0}: {1}", "{0} - {1}", "{1} ({0})", "{1}", "{1}.",
    "The answer is {0}.", "The answer is ({0}).", "The correct answer is option {0}", "Therefore the answer is {0}",
    "Answer: {0}", "answer={0}", "Final Answer: **{0}**", "The final answer is ${0}$.", "\\boxed{{{0}}}", "`{0}`",
    "$\\boxed{{\\text{{{0}}}}}$", "<{0}>", '"{0}"', "**{0}) {1}**", "Option {0}: {1}", "I choose {0}",
    "I think it's {0}", "It's {0}.", "The answer must be {0}", "{0} is the correct answer", "I'd pick {0}.",
    "{0}\n\nExplanation: it is seen on both sides.", "This scan shows {1}.", "My answer is therefore {0}",
    "{0} {1} present",
)  # fmt: skip
"""Forms that name one option by its letter, its text or both."""

WITH_LETTER = [form for form in FORMS if "{0}" in form]
MARKED = [form for form in WITH_LETTER if form != "{0} {1} present"]  # "A nodule present" may begin with an article
WITH_BOTH = [form for form in MARKED if "{1}" in form]

items = st.lists(st.sampled_from(CT_RATE_LABELS), min_size=4, max_size=4, unique=True)
places = st.integers(0, 3)


def test_there_is_one_parser():
    for name in answers.__all__:
        assert getattr(answers, name) is getattr(answers_med3d_r1, name)


@given(st.sampled_from(FORMS), items, places, st.sampled_from((str, str.lower)))
def test_every_form_gives_its_letter(form, options, place, case):
    said = form.format(LETTERS[place], case(options[place]))
    assert parse_answer(said, options).letter == LETTERS[place]
    parsed = parse_answer(f"<think>Seen {options[place]}.</think><answer>{said}</answer>", options)
    assert (parsed.letter, parsed.reasoning) == (LETTERS[place], f"Seen {options[place]}.")
    assert parsed.valid


@given(st.sampled_from(MARKED), st.sampled_from(MARKED), items, st.permutations(range(4)))
def test_two_different_letters_are_refused(first, second, options, order):
    one, other = order[:2]
    said = f"{first.format(LETTERS[one], options[one])}\n{second.format(LETTERS[other], options[other])}"
    assert parse_answer(said, options).letter is None


@given(st.sampled_from(WITH_BOTH), items, st.permutations(range(4)))
def test_a_letter_beside_the_text_of_another_option_is_refused(form, options, order):
    assert parse_answer(form.format(LETTERS[order[0]], options[order[1]]), options).letter is None


@given(st.sampled_from(WITH_LETTER), items, st.sampled_from(LETTERS[4:8]))
def test_a_letter_that_was_not_offered_is_refused(form, options, letter):
    assert parse_answer(form.format(letter, ""), options).letter is None


@pytest.mark.parametrize(
    "said", ["", "I cannot tell.", "Neither of them.", "All of the above.", "A and B", "Both (A) and (C).", "A or B?"]
)
def test_no_choice_is_no_letter(said):
    assert parse_answer(said, CT_RATE_LABELS[:4]).letter is None
