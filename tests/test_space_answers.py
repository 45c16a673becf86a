"""What the page says about an answer: while it is written, at its end, and about where it came from."""

import re

import numpy as np
import pytest

import answers
from med3d_r1.inference import Diagnosis, EvidenceMap, Region, parse_report

REGION = Region((60.0, 60.0, 60.0), (48.0, 48.0, 48.0), 1.25, "upper third, front, right side")
EVIDENCE = EvidenceMap(np.ones((2, 2, 2), np.float32), None, np.diag([-48.0, -48.0, 48.0, 1.0])[[2, 1, 0, 3]])


def diagnosis(**changes) -> Diagnosis:
    told = {
        "reasoning": "Dark holes.", "letter": "B", "answer": "Emphysema",
        "probabilities": {"Mass": 0.25, "Emphysema": 0.75}, "abstained": False, "valid": True,
        "regions": (REGION,), "text": "<think>Dark holes.</think><answer>B</answer>", "evidence": EVIDENCE,
    }  # fmt: skip
    return Diagnosis(**{**told, **changes})


def told(messages) -> list[tuple]:
    return [(message.get("metadata", {}).get("status"), message["content"]) for message in messages]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<thi", [("pending", "")]),
        ("<think>", [("pending", "")]),
        ("<think>The lungs", [("pending", "The lungs")]),
        ("<think>The lungs are clear.</thi", [("pending", "The lungs are clear.")]),
        ("<think>Clear.</think>", [("pending", "Clear.")]),
        ("<think>Clear.</think><answer>", [("done", "Clear.")]),
        ("<think>Clear.</think><answer>B</answ", [("done", "Clear."), (None, "B")]),
        ("no tags at all", [("pending", "")]),
    ],
)
def test_reasoning_stays_open_until_the_answer_begins(text, expected):
    assert told(answers.draft_messages(text, think=True)) == expected


def test_without_reasoning_there_is_no_fold():
    assert told(answers.draft_messages("<answer>B", think=False)) == [(None, "B")]


def test_a_report_grows_part_by_part():
    assert told(answers.draft_report("<finding>Clear lu")) == [(None, "Findings\nClear lu")]
    whole = "<finding>Clear lungs.</finding>\n<impression>Normal.</impression>"
    assert told(answers.report_messages(parse_report(whole))) == [
        (None, "Findings\nClear lungs.\n\nImpression\nNormal.")
    ]
    assert told(answers.report_messages(parse_report("mumble")))[-1][1].startswith("The output did not")


def test_the_answer_comes_with_its_probability():
    assert told(answers.diagnosis_messages(diagnosis(), 0.0)) == [("done", "Dark holes."), (None, "B) Emphysema, 75%")]


def test_what_a_reader_must_know_stands_below_the_answer():
    doubtful = diagnosis(letter="A", answer="Mass", abstained=True, valid=False)
    (_, said) = told(answers.diagnosis_messages(doubtful, 0.5))[-1]
    assert said.splitlines() == [
        "A) Mass, 25%",
        "This is what the model wrote; Emphysema is more probable by the numbers.",
        "Abstained: 25% is below 50%. Take it as no answer.",
        "The output did not have the layout that was asked for.",
    ]


def test_a_free_answer_has_no_letter():
    free = diagnosis(letter=None, probabilities={}, answer="Emphysema of both lungs", reasoning="")
    assert told(answers.diagnosis_messages(free, 0.0)) == [(None, "Emphysema of both lungs")]
    silent = diagnosis(letter=None, probabilities={}, answer="", reasoning="")
    assert told(answers.diagnosis_messages(silent, 0.0)) == [(None, "The model gave no answer.")]
    assert answers.bars(free, 0.0) == ""


def test_bars_are_as_long_as_the_shares_and_the_line_stands_where_the_bound_is():
    drawn = answers.bars(diagnosis(), 0.5)
    assert re.findall(r'class="bar" style="width:([\d.]+)%"', drawn) == ["25.0", "75.0"]
    assert re.findall(r'class="line" style="left:([\d.]+)%"', drawn) == ["50.0", "50.0"]
    assert re.findall(r'<li class="(\w*)">', drawn) == ["", "chosen"]
    assert 'class="line"' not in answers.bars(diagnosis(), 0.0)
    assert ", given the reasoning</h3>" in drawn
    assert "option</h3>" in answers.bars(diagnosis(reasoning=""), 0.0)


def test_texts_of_others_are_no_markup():
    hostile = diagnosis(answer="<img src=x>", probabilities={"<img src=x>": 1.0, "b": 0.0})
    for page in (answers.bars(hostile, 0.0), answers.where_it_looked(hostile)):
        assert "<img" not in page
        assert "&lt;img src=x&gt;" in page


def test_where_it_looked_says_what_the_map_is_and_is_not():
    page = answers.where_it_looked(diagnosis())
    assert 'data-region="0">upper third, front, right side<small>+1.2 log P' in page
    assert "48 x 48 x 48 mm" in page
    assert "It is not a finding" in page
    assert "Next to nothing" not in page
    faint = EvidenceMap(EVIDENCE.relevance * 2e-5, None, EVIDENCE.affine)
    assert "no cell moves log P by more than 2e-05" in answers.where_it_looked(diagnosis(evidence=faint))
    assert "no map" in answers.where_it_looked(diagnosis(evidence=None, regions=()))
    assert "No cell spoke" in answers.where_it_looked(diagnosis(regions=()))


def test_stopping_settles_what_was_pending():
    history = [answers.user_message("Which?"), *answers.draft_messages("<think>The lu", think=True)]
    assert told(answers.stopped_messages(history)) == [(None, "Which?"), ("done", "The lu"), (None, "Stopped.")]


def test_the_question_shows_its_options_lettered():
    assert answers.question_text("Which?", ["Mass", "Cyst"]) == "Which?\nA) Mass\nB) Cyst"
    assert answers.question_text("Why?", None) == "Why?"
