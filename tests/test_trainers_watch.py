"""What is watched in GRPO: shares of the completions of a step, and held-out questions with own and swapped scans."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.prompts_med3d_r1 import question_messages
from med3d_r1.trainers.watch import HeldOutAccuracy, asks_for_reasoning, completion_shares, swapped_images

OPTIONS = ["Emphysema", "Lung nodule"]
REASONED = question_messages("Which?", OPTIONS)
DIRECT = question_messages("Which?", OPTIONS, think=False)


def shares(*texts, prompt=REASONED):
    return completion_shares(texts, [prompt] * len(texts), [OPTIONS] * len(texts))


def test_the_prompt_says_whether_reasoning_is_asked_for():
    assert asks_for_reasoning(REASONED)
    assert asks_for_reasoning("Say <think> first.")
    assert not asks_for_reasoning(DIRECT)


def test_findings_are_counted_by_completion():
    """Two affirmed and one denied in the first, one affirmed in the second, none in the third: 3 of 4 mentions."""
    found = shares(
        "<think>Seen emphysema, lung nodule.\nA cardiomegaly absent</think><answer>A</answer>",
        "<think>Seen emphysema.</think><answer>A</answer>",
        "<think>Seen nothing.</think><answer>A</answer>",
    )
    assert found["findings/affirmed"] == 1.0
    assert found["findings/affirmation_rate"] == 0.75
    assert found["completions/invalid"] == 0


def test_without_a_mention_there_is_no_rate():
    assert "findings/affirmation_rate" not in shares("<think>Seen nothing.</think><answer>A</answer>")


def test_the_layout_is_the_one_that_was_asked_for():
    """Of three: an answer alone, a cut-off, and one whose letter was not offered."""
    texts = "<answer>B</answer>", "<think>Seen", "<think>a</think><answer>C</answer>"
    reasoned, direct = shares(*texts), shares(*texts, prompt=DIRECT)
    assert reasoned["completions/invalid"] == pytest.approx(2 / 3)
    assert direct["completions/invalid"] == pytest.approx(2 / 3)
    assert reasoned["completions/no_letter"] == direct["completions/no_letter"] == pytest.approx(2 / 3)
    assert shares("<answer>B</answer>", prompt=DIRECT)["completions/invalid"] == 0


def row(scan, answer="A"):
    return {"images": [scan], "prompt": REASONED, "options": OPTIONS, "answer": answer}


def held_out(rows, answer, every=5, items=64):
    logged = []
    callback = HeldOutAccuracy(rows, answer, lambda name, value: logged.append((name, value)), every, items)
    return callback, logged


def step(callback, number, last=100):
    callback.on_step_end(None, SimpleNamespace(global_step=number, max_steps=last), None)


def test_own_and_swapped_scans_are_told_apart():
    """A policy that answers A to scan 1 and B to any other is right on its own scans, and wrong on the swapped ones.
    Two of its four own answers lack the layout."""

    def look(prompts, images):
        assert prompts == [REASONED] * 4
        said = {"1": "<answer>A</answer>", "2": "<think>x</think><answer>B</answer>"}
        return [said[of[0]] for of in images]

    callback, logged = held_out([row("1"), row("2", "B"), row("1"), row("2", "B")], look)
    step(callback, 5)
    assert logged == [("held_out/accuracy", 1.0), ("held_out/invalid", 0.5), ("held_out/accuracy_swapped", 0.0)]


def test_an_answer_that_names_no_option_is_wrong():
    callback, logged = held_out([row("1"), row("2")], lambda prompts, images: ["<answer>A or B</answer>"] * 2)
    step(callback, 5)
    assert dict(logged)["held_out/accuracy"] == 0


def test_it_measures_before_the_first_step_every_few_and_after_the_last():
    calls = []

    def count(prompts, images):
        calls.append(1)
        return ["<answer>A</answer>"] * len(prompts)

    callback, _ = held_out([row("1"), row("2")], count)
    callback.on_train_begin(None, SimpleNamespace(global_step=0), None)
    for number in range(1, 13):
        step(callback, number, last=12)
    assert len(calls) == 2 * (1 + 2 + 1)  # twice: own and swapped
    callback.on_train_begin(None, SimpleNamespace(global_step=12), None)  # a run that resumes
    assert len(calls) == 8


@given(rows=st.integers(2, 40), items=st.integers(2, 50))
def test_the_questions_are_spread_evenly(rows, items):
    callback, _ = held_out([row(str(number)) for number in range(rows)], None, items=items)
    taken = [int(one["images"][0]) for one in callback.rows]
    assert len(taken) == len(set(taken)) == min(rows, items)
    gaps = [after - before for before, after in pairwise(taken)]
    assert max(gaps) - min(gaps) <= 1


def test_questions_that_cannot_be_checked_are_refused():
    with pytest.raises(ValueError, match="1 of 2 held-out rows have no 'answer'"):
        held_out([row("1"), row("2", None)], None)
    with pytest.raises(ValueError, match="on the same one"):
        held_out([row("1"), row("1")], None)


@given(st.lists(st.sampled_from("abcd"), min_size=2).filter(lambda names: len(set(names)) > 1))
def test_swapped_scans_are_never_the_own_ones(names):
    swapped = swapped_images([[name] for name in names])
    assert all([name] != other for name, other in zip(names, swapped, strict=True))
    assert {other[0] for other in swapped} == set(names)
