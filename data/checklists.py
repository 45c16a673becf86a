"""Labelled scans -> questions that go through the findings one by one: checklists, and conversations of yes and no.

Four options ask for one finding at a time and tell a model little about all others; a report says what a reader found
worth saying. Labels know the answer for every finding, and these rows ask for it. They need labels, no report, and take
any data set whose scans have them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..abnormalities import CHECKLIST_STEM, CT_RATE_LABELS, FULL_CHECKLIST_STEM, UNLABELLED, YES_NO_STEMS
from ..prompts_med3d_r1 import question_messages
from .rows import Images, Row, Which, own_paths
from .scans import DataWarning, Scan

TURNS = 6
CHECKLIST_NAMES = (6, 12)
"""A short checklist asks for at least and at most so many findings."""


def checklist_rows(
    scans: Iterable[Scan],
    *,
    full_share: float = 1.0,
    per_volume: int = 1,
    seed: int = 0,
    volumes: Which = "all",
    images: Images | None = None,
) -> list[Row]:
    """One question a row: which findings are present, and which are not.

    A full checklist goes through all of them in official order. A short one names some; about half of them are there,
    as far as the scan has so many.

    Args:
        scans: those without labels are left out, with a `DataWarning`.
        full_share: of the checklists that are full ones.
        per_volume: rows for each volume, with different findings.
        seed: another seed, other questions.
        volumes, images: as in `report_rows`.

    Raises:
        ValueError: volumes cannot be read by their path alone, and `images` is not given.
    """
    rows = []
    for scan, path, rng in _asked(scans, per_volume, [seed, 2], volumes, images):
        names, question = [*_statuses(scan)], FULL_CHECKLIST_STEM
        if rng.random() >= full_share:
            names = draw_short_checklist(_statuses(scan), rng)
            question = checklist_question(names)
        completion = [{"role": "assistant", "content": checklist_answer(names, {*scan.present})}]
        prompt = question_messages(question, think=False)
        rows.append({"images": [path], "prompt": prompt, "completion": completion, "abnormal_spans": []})
    return rows


def yes_no_rows(
    scans: Iterable[Scan],
    *,
    turns: int = TURNS,
    per_volume: int = 1,
    seed: int = 0,
    volumes: Which = "all",
    images: Images | None = None,
) -> list[Row]:
    """One conversation a row: several findings, each asked for by itself and answered with yes or no.

    The first question is the prompt. The completion is all that follows, question by question and answer by answer, so
    that one pass over the scan trains every answer.

    Args:
        turns: questions in a conversation.

    The others, and the errors, are those of `checklist_rows`.
    """
    rows = []
    for scan, path, rng in _asked(scans, per_volume, [seed, 3], volumes, images):
        present = {*scan.present}
        names = draw_names(_statuses(scan), turns, rng)
        stems = [YES_NO_STEMS[index] for index in rng.integers(len(YES_NO_STEMS), size=len(names))]
        questions = [stem.format(finding=name.lower()) for stem, name in zip(stems, names, strict=True)]
        answers = [{"role": "assistant", "content": yes_no_answer(name in present)} for name in names]
        follow_ups = [_text_message(question) for question in questions[1:]]
        completion = [answers[0], *(message for pair in zip(follow_ups, answers[1:], strict=True) for message in pair)]
        prompt = question_messages(questions[0], think=False)
        rows.append({"images": [path], "prompt": prompt, "completion": completion, "abnormal_spans": []})
    return rows


def checklist_question(names: Sequence[str]) -> str:
    """
    >>> checklist_question(["Emphysema", "Lung nodule"])
    'Say of each of these findings whether it is present in this scan: emphysema, lung nodule.'
    """
    return f"{CHECKLIST_STEM} {', '.join(name.lower() for name in names)}."


def checklist_answer(names: Sequence[str], present: set[str]) -> str:
    """
    >>> checklist_answer(["Emphysema", "Lung nodule"], {"Lung nodule"})
    '<answer>Emphysema absent, lung nodule present.</answer>'
    """
    verdicts = ", ".join(f"{name.lower()} {'present' if name in present else 'absent'}" for name in names)
    return f"<answer>{verdicts[0].upper()}{verdicts[1:]}.</answer>"


def yes_no_answer(present: bool) -> str:
    return f"<answer>{'Yes' if present else 'No'}.</answer>"


def draw_names(statuses: dict[str, bool], count: int, rng: np.random.Generator) -> list[str]:
    """Different findings in random order, each from those that are there or from those that are not with equal
    probability, as long as there are any of its kind left.

    Args:
        statuses: finding -> whether it is there.
        count: fewer where there are not so many.
    """
    kinds = [
        [str(name) for name in rng.permutation([name for name, there in statuses.items() if there is kind])]
        for kind in (True, False)
    ]
    names = []
    for choice in rng.integers(2, size=min(count, len(statuses))):
        names.append((kinds[choice] or kinds[1 - choice]).pop())
    return names


def draw_short_checklist(statuses: dict[str, bool], rng: np.random.Generator) -> list[str]:
    """The findings of a short checklist; `statuses` as in `draw_names`."""
    fewest, most = CHECKLIST_NAMES
    return draw_names(statuses, int(rng.integers(fewest, most + 1)), rng)


def _statuses(scan: Scan) -> dict[str, bool]:
    unlabelled = UNLABELLED.get(scan.dataset, ())
    named = zip(CT_RATE_LABELS, scan.labels, strict=True)
    return {name: bool(label) for name, label in named if name not in unlabelled}


def _text_message(question: str) -> dict[str, str]:
    """A later question of a conversation, as plain text: completions hold texts alone."""
    (message,) = question_messages(question, think=False, volumes=[])
    return {"role": message["role"], "content": message["content"][0]["text"]}


def _asked(
    scans: Iterable[Scan], per_volume: int, seed: list[int], volumes: Which, images: Images | None
) -> Iterator[tuple[Scan, str, np.random.Generator]]:
    """(scan, path of a volume, random numbers) of each row."""
    scans = list(scans)
    labelled = [scan for scan in scans if scan.labels is not None]
    if len(labelled) < len(scans):
        warnings.warn(f"{len(scans) - len(labelled):,} of {len(scans):,} scans have no labels", DataWarning, 3)
    pairs = [(scan, volume) for scan in labelled for volume in (scan.volumes if volumes == "all" else scan.volumes[:1])]
    path_of = images or own_paths(volume for _, volume in pairs)
    rng = np.random.default_rng(seed)
    for scan, volume in pairs:
        for _ in range(per_volume):
            yield scan, path_of(volume), rng


__all__ = [
    "checklist_answer",
    "checklist_question",
    "checklist_rows",
    "draw_names",
    "draw_short_checklist",
    "yes_no_answer",
    "yes_no_rows",
]
