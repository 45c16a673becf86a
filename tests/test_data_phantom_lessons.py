"""Lessons: what they ask follows from the notes, and the spans say what rests on what."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.answers_med3d_r1 import LETTERS, parse_answer
from med3d_r1.data.phantom.lessons import (
    KINDS,
    TURNS,
    copies,
    decisions,
    draw_checklist,
    draw_lesson,
    draw_question,
    reasoning,
)
from med3d_r1.data.report_findings import findings_in

seeds = st.integers(0, 10**6)


def asked_and_said(lesson):
    texts = [message["content"][-1]["text"] for message in lesson["messages"]]
    return list(zip(texts[::2], texts[1::2], strict=True))


def test_the_layout_of_the_reasoning():
    text = reasoning(["Lung nodule", "Emphysema"], ["Lung opacity", "Emphysema", "Cardiomegaly", "Hiatal hernia"])
    assert text == (
        "Seen emphysema, lung nodule.\n"
        "A lung opacity absent\n"
        "B emphysema present\n"
        "C cardiomegaly absent\n"
        "D hiatal hernia absent"
    )
    found = findings_in(text)
    assert {name for name, status in found.items() if status == "present"} == {"Emphysema", "Lung nodule"}
    assert {name for name, status in found.items() if status == "absent"} == {
        "Lung opacity", "Cardiomegaly", "Hiatal hernia",
    }  # fmt: skip
    assert reasoning([], ["Emphysema"]) == "Seen nothing.\nA emphysema absent"


@given(seeds)
def test_a_question_has_one_right_answer_which_follows_from_the_notes(seed):
    lesson = draw_question(seed)
    ((question, answer),) = asked_and_said(lesson)
    options = re.findall(r"^[A-D]\) (.*)$", question, re.MULTILINE)
    if not options:  # too few findings are there, or too few are not
        assert answer in ("<answer>Yes.</answer>", "<answer>No.</answer>")
        return
    parsed = parse_answer(answer, options)
    assert parsed.valid
    assert [option in lesson["notes"] for option in options].count(True) == 1
    assert options[LETTERS.index(parsed.letter)] in lesson["notes"]
    affirmed = {name for name, status in findings_in(parsed.reasoning).items() if status == "present"}
    assert affirmed == {*lesson["notes"]}


@given(seeds)
def test_a_checklist_names_every_finding_once_and_calls_no_name_a_copy(seed):
    lesson = draw_checklist(seed)
    ((_, answer),) = asked_and_said(lesson)
    verdicts = dict(re.findall(r"([a-z ]+?) (present|absent)[,.]", answer.lower().removeprefix("<answer>")))
    verdicts = {name.strip(): verdict for name, verdict in verdicts.items()}
    assert {*verdicts} == {label.lower() for label in CT_RATE_LABELS}
    assert {name for name, verdict in verdicts.items() if verdict == "present"} == {
        name.lower() for name in lesson["notes"]
    }
    assert lesson["copies"] == [[]]


@given(seeds)
def test_a_lesson_is_one_conversation_about_one_set_of_notes(seed):
    lesson = draw_lesson(seed)
    assert lesson == draw_lesson(seed)
    assert [message["role"] for message in lesson["messages"]] == ["user", "assistant"] * TURNS
    blocks = [block["type"] for message in lesson["messages"] for block in message["content"]]
    assert blocks.count("image") == 1
    assert blocks[0] == "image"
    assert len(lesson["decisions"]) == len(lesson["copies"]) == TURNS
    for (question, answer), decided in zip(asked_and_said(lesson), lesson["decisions"], strict=True):
        assert decided, question
        assert all(0 <= start < end <= len(answer) for start, end in decided)


def test_a_report_affirms_what_the_notes_say():
    reports = 0
    for seed in range(40):
        lesson = draw_lesson(seed)
        for _, answer in asked_and_said(lesson):
            if answer.startswith("<finding>"):
                reports += 1
                affirmed = {name for name, status in findings_in(answer).items() if status == "present"}
                assert affirmed == {*lesson["notes"]}
    assert reports > 5


def test_kinds_are_drawn_in_their_shares():
    """300 lessons of three questions: the share of reports is .15 with a standard error of .012."""
    answers = [answer for seed in range(300) for _, answer in asked_and_said(draw_lesson(seed))]
    assert sum(KINDS.values()) == pytest.approx(1)
    assert sum(answer.startswith("<finding>") for answer in answers) / len(answers) == pytest.approx(0.15, abs=0.048)


@pytest.mark.parametrize(
    ("answer", "decided", "copied"),
    [
        (
            "<think>Seen lung nodule.\nA lung nodule present\nB emphysema absent</think><answer>A</answer>",
            ["lung nodule", "present", "absent", "A"],
            ["lung nodule", "emphysema"],
        ),
        (
            "<answer>Emphysema absent, lung nodule present.</answer>",
            ["absent", "present"],
            ["Emphysema", "lung nodule"],
        ),
        ("<answer>Yes.</answer>", ["Yes"], []),
        ("<answer>Emphysema, consolidation.</answer>", ["Emphysema", "consolidation"], []),
        (
            "<finding>There is emphysema. The heart is of normal size.</finding>\n<impression>Emphysema.</impression>",
            ["emphysema", "Emphysema"],
            [],
        ),
    ],
    ids=["reasoning", "checklist", "yes-no", "list", "report"],
)
def test_spans_by_hand(answer, decided, copied):
    assert [answer[start:end] for start, end in decisions(answer)] == decided
    assert [answer[start:end] for start, end in copies(answer)] == copied
