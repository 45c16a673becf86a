"""What Med3D-R1 is asked: questions on a chest CT and the report task, as chat messages. Text only, no torch.

The words are this project's own; the layouts that they ask for are the paper's (arXiv 2602.01200):

    <think>reasoning</think><answer>B</answer>         a question, with reasoning
    <answer>B</answer>                                 a question, without
    <finding>...</finding>\\n<impression>...</impression>   a report
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .answers_med3d_r1 import LETTERS

SYSTEM_PROMPT = "You read chest CT scans for research."
"""What the chat template puts first when a conversation has no system message of its own."""

THINK_INSTRUCTION = "First reason about the scan between <think> and </think>."
LETTER_INSTRUCTION = "Write the letter of the one correct option, and nothing else, between <answer> and </answer>."
ANSWER_INSTRUCTION = "Write the answer, and nothing else, between <answer> and </answer>."
REPORT_INSTRUCTION = (
    "Write the radiology report of this scan: the findings between <finding> and </finding>, "
    "then on a new line the impression between <impression> and </impression>."
)

Messages = list[dict[str, Any]]


def question_messages(
    question: str,
    options: Sequence[str] | None = None,
    *,
    think: bool = True,
    volumes: Any = None,
) -> Messages:
    """The prompt of a question on a scan.

    Args:
        question: the question alone, without options and instructions.
        options: texts of 2 to 26 options, which become A, B, ...; None for a question answered in words.
        think: ask for the reasoning too.
        volumes: the scan: anything that the image processor reads, or None for a bare placeholder whose scan comes in
            a dataset's `images` column. A list of such for several scans, in order; an empty list for none.

    Raises:
        ValueError: fewer than 2 or more than 26 options, or an empty one.

    >>> question_messages("What is seen?", ["Cyst", "Mass"], think=False)[0]["content"][1]["text"].splitlines()[:3]
    ['What is seen?', 'A) Cyst', 'B) Mass']
    """
    lines = [question.strip()]
    if options is not None:
        lines += _option_lines(options)
    instruction = ANSWER_INSTRUCTION if options is None else LETTER_INSTRUCTION
    lines.append(f"{THINK_INSTRUCTION} {instruction}" if think else instruction)
    return _user_messages("\n".join(lines), volumes)


def report_messages(*, volumes: Any = None) -> Messages:
    """The prompt of the report task. `volumes` as in `question_messages`."""
    return _user_messages(REPORT_INSTRUCTION, volumes)


def _option_lines(options: Sequence[str]) -> list[str]:
    if not 2 <= len(options) <= len(LETTERS):
        raise ValueError(f"a question has 2 to {len(LETTERS)} options, not {len(options)}")
    if blank := [letter for letter, option in zip(LETTERS, options, strict=False) if not option.strip()]:
        raise ValueError(f"option {', '.join(blank)} is empty")
    return [f"{letter}) {option.strip()}" for letter, option in zip(LETTERS, options, strict=False)]


def _user_messages(text: str, volumes: Any) -> Messages:
    """One user turn, the scans before the text: where TRL puts them too when a prompt is a plain string."""
    volumes = volumes if isinstance(volumes, (list, tuple)) else [volumes]
    blocks = [{"type": "image"} if volume is None else {"type": "image", "image": volume} for volume in volumes]
    return [{"role": "user", "content": [*blocks, {"type": "text", "text": text}]}]


__all__ = ["SYSTEM_PROMPT", "Messages", "question_messages", "report_messages"]
