"""Lessons in reading, for a language model that starts from nothing: notes on a chest, and questions on the notes.

A decoder of half a million weights cannot be taken ready-made, so it learns the project's own language here: the
prompts, the layouts of the answers, the names. Where a scan's tokens will stand in a prompt there stand notes, the
names of what is present, and the questions are those that are asked about scans. Who answers them all right reads what
stands there; to make scans say the same is then the bridge's task. Only labels and reports are drawn, no chest is
painted.

A lesson is a row of

    notes        names of the findings that are present
    messages     one conversation; its first message has the place for the notes, an image
    decisions    for each answer, [[start, end), ...] in its characters: what cannot be known without the notes
    copies       as decisions: names of findings that were asked for, repeated before the verdict

The reasoning about a question with options begins with all that is seen, goes on with the options, and then answers:

    <think>Seen emphysema, lung nodule.
    A emphysema present
    B lung opacity absent
    C cardiomegaly absent
    D hiatal hernia absent</think><answer>A</answer>
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...abnormalities import CHOICE_STEMS, CT_RATE_LABELS, FULL_CHECKLIST_STEM, LIST_STEM, YES_NO_STEMS
from ...answers_med3d_r1 import LETTERS
from ...prompts_med3d_r1 import Messages, question_messages, report_messages
from ..checklists import checklist_answer, draw_names, yes_no_answer
from ..reports import report_target
from .chest import Chest, draw_chest
from .report import write_report

Lesson = dict[str, Any]

TURNS = 3
KINDS = {"checklist": 0.15, "think": 0.40, "direct": 0.08, "report": 0.15, "yes_no": 0.14, "list": 0.08}
"""A lesson has so many questions. Kind of question -> share."""

_FEWEST, _MOST = 0.05, 0.45
"""How often a finding is drawn: as often as any other, so that nothing is learnt about which are frequent, but more
often in one lesson than in the next."""

_STREAM = 9
_DISTRACTORS = 3


@dataclass(frozen=True)
class _Notes:
    """What a lesson is about."""

    chest: Chest
    rng: np.random.Generator

    @property
    def statuses(self) -> dict[str, bool]:
        return self.chest.labels

    @property
    def present(self) -> list[str]:
        return [name for name, there in self.statuses.items() if there]

    @property
    def absent(self) -> list[str]:
        return [name for name, there in self.statuses.items() if not there]


_Turn = tuple[Messages, str]


def draw_checklist(seed: int) -> Lesson:
    """A lesson of one checklist of all findings in random order; the same seed gives the same lesson.

    The question lists no names: they would stand between the notes and the verdicts, and be mistaken for notes.
    """
    notes = _draw(seed)
    names = notes.rng.permutation(CT_RATE_LABELS).tolist()
    question = question_messages(FULL_CHECKLIST_STEM, think=False)
    lesson = _lesson(notes, [(question, checklist_answer(names, {*notes.present}))])
    return lesson | {"copies": [[]]}  # nobody can know which name comes next


def draw_lesson(seed: int) -> Lesson:
    """A lesson of several questions."""
    notes = _draw(seed)
    kinds = notes.rng.choice([*KINDS], size=TURNS, p=[*KINDS.values()])
    return _lesson(notes, [_TURNS[kind](notes) for kind in kinds])


def draw_question(seed: int) -> Lesson:
    """A lesson of one question with four options and its reasoning; of yes and no where there are no such options."""
    notes = _draw(seed)
    return _lesson(notes, [_choice(notes, True)])


def reasoning(present: Sequence[str], options: Sequence[str]) -> str:
    """What is seen, in the labels' official order, then of each option whether it is there.

    >>> print(reasoning(["Emphysema"], ["Lung nodule", "Emphysema"]))
    Seen emphysema.
    A lung nodule absent
    B emphysema present
    """
    seen = ", ".join(name.lower() for name in CT_RATE_LABELS if name in present) or "nothing"
    verdicts = [
        f"{letter} {option.lower()} {'present' if option in present else 'absent'}"
        for letter, option in zip(LETTERS, options, strict=False)
    ]
    return "\n".join([f"Seen {seen}.", *verdicts])


def _draw(seed: int) -> _Notes:
    rng = np.random.default_rng((seed, _STREAM))
    chest = draw_chest(seed, prevalence=float(rng.uniform(_FEWEST, _MOST)))
    return _Notes(chest, rng)


def _lesson(notes: _Notes, turns: Sequence[_Turn]) -> Lesson:
    messages: Messages = []
    for asked, said in turns:
        if messages:  # the notes stand in the first question alone
            asked = [{**asked[0], "content": [block for block in asked[0]["content"] if block["type"] == "text"]}]
        messages += [*asked, {"role": "assistant", "content": [{"type": "text", "text": said}]}]
    answers = [said for _, said in turns]
    return {
        "notes": notes.present,
        "messages": messages,
        "decisions": [decisions(answer) for answer in answers],
        "copies": [copies(answer) for answer in answers],
    }


_NAMES = "|".join(sorted(CT_RATE_LABELS, key=len, reverse=True))
_DECIDED = re.compile(
    rf"\b(?:present|absent|yes|no|nothing)\b|(?<=<answer>)[A-D](?=<)|\b(?:{_NAMES})\b(?! present| absent)",
    re.IGNORECASE,
)
_COPIED = re.compile(rf"\b(?:{_NAMES})\b(?= present| absent)", re.IGNORECASE)


def decisions(answer: str) -> list[list[int]]:
    """[start, end) of the words of an answer that rest on the notes: verdicts, letters, and names that are affirmed.

    >>> answer = "<think>Seen nothing.\\nA emphysema absent</think><answer>A</answer>"
    >>> [answer[start:end] for start, end in decisions(answer)]
    ['nothing', 'absent', 'A']
    """
    return [[*found.span()] for found in _DECIDED.finditer(answer)]


def copies(answer: str) -> list[list[int]]:
    """[start, end) of the names that stand before a verdict.

    >>> answer = "<think>Seen nothing.\\nA emphysema absent</think><answer>A</answer>"
    >>> [answer[start:end] for start, end in copies(answer)]
    ['emphysema']
    """
    return [[*found.span()] for found in _COPIED.finditer(answer)]


def _checklist(notes: _Notes) -> _Turn:
    answer = checklist_answer(CT_RATE_LABELS, {*notes.present})
    return question_messages(FULL_CHECKLIST_STEM, think=False), answer


def _choice(notes: _Notes, think: bool) -> _Turn:
    if not notes.present or len(notes.absent) < _DISTRACTORS:
        return _yes_no(notes)
    rng = notes.rng
    options = [str(rng.choice(notes.present)), *rng.permutation(notes.absent)[:_DISTRACTORS].tolist()]
    order = rng.permutation(len(options)).tolist()
    options, letter = [options[index] for index in order], LETTERS[order.index(0)]
    thought = f"<think>{reasoning(notes.present, options)}</think>" if think else ""
    stem = str(rng.choice(CHOICE_STEMS))
    return question_messages(stem, options, think=think), f"{thought}<answer>{letter}</answer>"


def _yes_no(notes: _Notes) -> _Turn:
    (name,) = draw_names(notes.statuses, 1, notes.rng)
    question = str(notes.rng.choice(YES_NO_STEMS)).format(finding=name.lower())
    return question_messages(question, think=False), yes_no_answer(notes.statuses[name])


def _list(notes: _Notes) -> _Turn:
    listed = ", ".join(name.lower() for name in notes.present) or "nothing"
    return question_messages(LIST_STEM, think=False), f"<answer>{listed[0].upper()}{listed[1:]}.</answer>"


def _report(notes: _Notes) -> _Turn:
    report = write_report(notes.chest, "plain")
    return report_messages(), report_target(report.findings, report.impression).text


_TURNS: dict[str, Callable[[_Notes], _Turn]] = {
    "checklist": _checklist,
    "think": lambda notes: _choice(notes, True),
    "direct": lambda notes: _choice(notes, False),
    "report": _report,
    "yes_no": _yes_no,
    "list": _list,
}

__all__ = ["KINDS", "Lesson", "copies", "decisions", "draw_checklist", "draw_lesson", "draw_question", "reasoning"]
