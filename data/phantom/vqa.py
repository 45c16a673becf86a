"""Questions about a synthetic chest and their answers, as conversations of CT-RATE's JSON files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...abnormalities import CHOICE_STEMS, CT_RATE_LABELS, YES_NO_STEMS
from .chest import Chest
from .report import Report

_QUESTION_STREAM = 8


def conversations(volume: str, chest: Chest, report: Report) -> Iterator[dict[str, Any]]:
    """One of each of three kinds; a multiple choice only where something is there and three others are not.

    Args:
        volume: the name of the file that they are about.
    """
    rng = np.random.default_rng((chest.seed, _QUESTION_STREAM))
    asked = str(rng.choice(CT_RATE_LABELS))
    question = str(rng.choice(YES_NO_STEMS)).format(finding=asked.lower())
    yield _conversation(volume, "free_response", question, "Yes." if chest.labels[asked] else "No.")
    there = [label for label, present in chest.labels.items() if present]
    absent = [label for label, present in chest.labels.items() if not present]
    if there and len(absent) >= 3:
        options = [str(rng.choice(there)), *(str(label) for label in rng.choice(absent, 3, replace=False))]
        order = rng.permutation(4).tolist()
        lettered = [f"({letter}) {options[index]}" for letter, index in zip("abcd", order, strict=True)]
        question = f"{rng.choice(CHOICE_STEMS)} {' '.join(lettered)}"
        yield _conversation(volume, "multiple_choice", question, lettered[order.index(0)])
    text = f"Findings: {report.findings} Impression: {report.impression}"
    yield _conversation(volume, "report_generation", "Write the report of this chest CT.", text)


def _conversation(volume: str, kind: str, question: str, answer: str) -> dict[str, Any]:
    return {
        "image": volume,
        "conversations": [
            {"from": "human", "value": f"<image>\n{question}", "type": kind},
            {"from": "gpt", "value": answer, "type": kind},
        ],
    }


__all__ = ["conversations"]
