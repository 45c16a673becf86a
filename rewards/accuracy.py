"""Is the right option chosen? (arXiv 2602.01200, r_acc)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..answers_med3d_r1 import parse_answer
from .completions import Completion, column, offered_letter, texts_of


def accuracy_reward(
    completions: Sequence[Completion],
    answer: Sequence[str | None],
    options: Sequence[Sequence[str]] | None = None,
    **kwargs: Any,
) -> list[float | None]:
    """1 where the completion chooses the right option, 0 where it chooses another or none.

    What is chosen is read by the one parser that evaluation uses too, so an answer may be a letter in any of the usual
    forms or an option's text, and two different ones are none.

    Args:
        completions: texts, or lists of messages.
        answer: the right letter; None in a row that has no answer, whose reward is None.
        options: the texts of the options, A first.

    Raises:
        ValueError: an answer is not the letter of an option.

    >>> options = [["Emphysema", "Lung nodule"]] * 3
    >>> accuracy_reward(["<answer>B</answer>", "Lung nodule.", "A or B"], answer=["B", "B", "B"], options=options)
    [1.0, 1.0, 0.0]
    """
    rewards = []
    rows = zip(texts_of(completions), answer, column(options, completions), strict=True)
    for text, right, offered in rows:
        letter = offered_letter(right, offered)
        rewards.append(None if letter is None else float(parse_answer(text, offered).letter == letter))
    return rewards


__all__ = ["accuracy_reward"]
