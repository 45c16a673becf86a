"""What TRL hands to a reward, whether the data set is conversational or not, as plain texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..answers_med3d_r1 import LETTERS

Completion = str | Sequence[Mapping[str, Any]]
"""A text, or the messages `[{"role": "assistant", "content": text}]`."""


def texts_of(completions: Iterable[Completion]) -> list[str]:
    """The text of each completion. Of several messages those of the assistant count, of several blocks those of text.

    Raises:
        ValueError: a completion is neither a text nor a list of messages.

    >>> texts_of(["B", [{"role": "assistant", "content": "B"}]])
    ['B', 'B']
    """
    return [_text(completion) for completion in completions]


def _text(completion: Completion) -> str:
    if isinstance(completion, str):
        return completion
    try:
        said = [message["content"] for message in completion if message.get("role", "assistant") == "assistant"]
        return "\n".join(content if isinstance(content, str) else _joined(content) for content in said)
    except (AttributeError, KeyError, TypeError):
        raise ValueError(
            'a completion is a text or a list of messages {"role": ..., "content": ...}; '
            f"got {type(completion).__name__}: {completion!r:.80}"
        ) from None


def _joined(blocks: Iterable[Mapping[str, Any]]) -> str:
    return "".join(block["text"] for block in blocks if block["type"] == "text")


def offered_letter(answer: str | None, options: Sequence[str] | None) -> str | None:
    """A row's right letter, made sure that a completion can give it; None where the row has none.

    An answer of another form, such as the option's text, would never be met, and every reward would silently be 0.

    Raises:
        ValueError: the answer is not the letter of an option.
    """
    if answer is None:
        return None
    letters = LETTERS if options is None else LETTERS[: len(options)]
    if len(answer) != 1 or answer not in letters:
        raise ValueError(
            f"the column `answer` holds the letter of an option ({letters[0]} to {letters[-1]}), not {answer!r}"
        )
    return answer


def column(values: Sequence[Any] | None, completions: Sequence[Any]) -> Sequence[Any]:
    """A column of the data set, or one of None where the data set lacks it."""
    return [None] * len(completions) if values is None else values


__all__ = ["Completion", "column", "offered_letter", "texts_of"]
