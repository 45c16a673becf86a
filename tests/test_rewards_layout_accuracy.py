"""The two rewards of rules alone: what they give, and what they take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.answers_med3d_r1 import LETTERS
from med3d_r1.rewards import accuracy_reward, format_reward
from med3d_r1.rewards.completions import texts_of
from thinks import as_messages, completion, option_lists

OPTIONS = ["Emphysema", "Lung nodule", "Atelectasis", "Cardiomegaly"]
BLOCKS = [{"type": "text", "text": "<answer>"}, {"type": "image"}, {"type": "text", "text": "B</answer>"}]


@pytest.mark.parametrize(
    ("completion", "text"),
    [
        ("B", "B"),
        ([{"role": "assistant", "content": "B"}], "B"),
        ([{"content": "B"}], "B"),
        ([{"role": "assistant", "content": BLOCKS}], "<answer>B</answer>"),
        ([{"role": "assistant", "content": "A"}, {"role": "tool", "content": "B"}, {"content": "C"}], "A\nC"),
        ([], ""),
    ],
)
def test_completions_of_both_kinds_are_texts(completion, text):
    assert texts_of([completion]) == [text]


@pytest.mark.parametrize("completion", [None, 3, [{"role": "assistant"}], ["B"], [{"content": None}]])
def test_other_completions_are_refused(completion):
    with pytest.raises(ValueError, match="a completion is a text or a list of messages"):
        format_reward([completion])


@pytest.mark.parametrize(
    ("text", "reward"),
    [
        ("<think>Wide airways.</think><answer>B</answer>", 1.0),
        ("\n<think>Wide\nairways.</think>\n\n<answer>B</answer>\n", 1.0),
        ("<think>Wide airways.</think><answer>no letter at all</answer>", 1.0),  # accuracy's business
        ("<think> </think><answer>B</answer>", 0.0),
        ("<think>Wide airways.</think><answer></answer>", 0.0),
        ("<think>Wide airways.</think><answer>B</answer>.", 0.0),
        ("<answer>B</answer><think>Wide airways.</think>", 0.0),
        ("<think>One.</think><think>Two.</think><answer>B</answer>", 0.0),
        ("<think>One.</think><answer>B</answer><answer>B</answer>", 0.0),
        ("<think><think>One.</think></think><answer>B</answer>", 0.0),
        ("<think>cut off", 0.0),
        ("B", 0.0),
        ("", 0.0),
    ],
)
def test_the_format_is_right_or_wrong(text, reward):
    assert format_reward([text], prompts=[""], answer=["B"]) == [reward]
    assert format_reward(as_messages([text])) == [reward]


@pytest.mark.parametrize(
    ("said", "reward"),
    [
        ("<answer>B</answer>", 1.0),
        ("<think>A nodule.</think><answer>(B) Lung nodule</answer>", 1.0),
        ("<think>Emphysema, so A.</think><answer>Lung nodule</answer>", 1.0),  # the reasoning is another's business
        ("The answer is b.", 1.0),
        ("<answer>A</answer>", 0.0),
        ("<answer>B or C</answer>", 0.0),
        ("<answer>B) Emphysema</answer>", 0.0),
        ("<answer>F</answer>", 0.0),
        ("<think>B", 0.0),
        ("", 0.0),
    ],
)
def test_accuracy_is_that_of_the_chosen_option(said, reward):
    assert accuracy_reward([said], answer=["B"], options=[OPTIONS]) == [reward]
    assert accuracy_reward(as_messages([said]), answer=["B"], options=[OPTIONS]) == [reward]


@given(option_lists, st.integers(0, 3), st.integers(0, 3))
def test_a_correct_letter_earns_and_so_does_its_text(options, right, chosen):
    said = [completion("Seen.", LETTERS[chosen]), completion("Seen.", options[chosen])]
    rewards = accuracy_reward(said, answer=[LETTERS[right]] * 2, options=[options] * 2)
    assert rewards == [float(chosen == right)] * 2


def test_only_a_row_without_an_answer_has_no_reward():
    assert accuracy_reward(["<answer>B</answer>", "", "B"], answer=[None, "B", "B"]) == [None, 0.0, 1.0]


@pytest.mark.parametrize("answer", ["Lung nodule", "b", "", "E", "AB"])
def test_an_answer_that_nobody_can_give_is_refused(answer):
    with pytest.raises(ValueError, match=r"the letter of an option \(A to D\)"):
        accuracy_reward(["<answer>B</answer>"], answer=[answer], options=[OPTIONS])


@pytest.mark.parametrize("columns", [{"answer": []}, {"answer": ["A"], "options": []}])
def test_columns_of_another_length_are_refused(columns):
    with pytest.raises(ValueError, match="argument"):
        accuracy_reward(["A"], **columns)
