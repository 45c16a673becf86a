"""Is what the model says it sees there? (after the perception reward of CAPO)

It differs from the consistency reward in three ways. It reads only what is said before the options are weighed, so the
prompt's options cannot be read back for a reward and the list of what is seen has to come from the scan. It is the
agreement itself and not a level. And it takes labels where there is no report, as in RAD-ChestCT.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from ..answers_med3d_r1 import parse_answer
from .completions import Completion, column, texts_of
from .findings import agreement, labelled_findings, read_findings

_WEIGHING = re.compile(
    r"^[ \t]*(?:[-*][ \t]+)?\(?[A-Z][).:]"  # A) emphysema, (A) emphysema, A: emphysema
    r"|^[ \t]*[A-Z] [^\n]*\b(?:present|absent)[ \t.]*$"  # A emphysema present
    r"|\b[Oo]ptions?\b",
    re.MULTILINE,
)


def perception_reward(
    completions: Sequence[Completion],
    report: Sequence[str | None] | None = None,
    labels: Sequence[Sequence[int] | None] | None = None,
    **kwargs: Any,
) -> list[float | None]:
    """F1 of the findings affirmed before the options are weighed, against the labels or else the report.

    Args:
        completions: texts, or lists of messages.
        report: the radiology report; None where there is none.
        labels: the 18 labels as 0 or 1, which go before the report; None where there are none. Without either the
            reward is None.

    Raises:
        ValueError: labels are not 18 times 0 or 1.

    >>> said = "<think>Seen emphysema.\\nA emphysema present\\nB lung nodule present</think><answer>A</answer>"
    >>> perception_reward([said, said], report=["There is emphysema.", None])
    [1.0, None]
    """
    rows = zip(texts_of(completions), column(report, completions), column(labels, completions), strict=True)
    return [_fidelity(text, said, known) for text, said, known in rows]


def _fidelity(text: str, report: str | None, labels: Sequence[int] | None) -> float | None:
    if labels is None and not (report and report.strip()):
        return None
    true = read_findings(report.strip()) if labels is None else labelled_findings(labels)
    reasoning = parse_answer(text).reasoning
    return agreement(read_findings(perception_of(reasoning)), true) if reasoning else 0.0


def perception_of(reasoning: str) -> str:
    """What a reasoning says before it comes to the options: all of it, if it never does.

    >>> perception_of("Seen a nodule.\\nA emphysema absent\\nB lung nodule present")
    'Seen a nodule.'
    """
    weighing = _WEIGHING.search(reasoning)
    return (reasoning[: weighing.start()] if weighing else reasoning).strip()


__all__ = ["perception_of", "perception_reward"]
