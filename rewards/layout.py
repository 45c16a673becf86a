"""Is the output laid out as it was asked for? (arXiv 2602.01200, r_fmt)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..answers_med3d_r1 import has_layout
from .completions import Completion, texts_of


def format_reward(completions: Sequence[Completion], **kwargs: Any) -> list[float]:
    """1 for exactly one non-empty think block and one non-empty answer block, in order, with nothing else; else 0.

    >>> format_reward(["<think>Wide airways.</think><answer>B</answer>", "<answer>B</answer>"])
    [1.0, 0.0]
    """
    return [float(has_layout(text)) for text in texts_of(completions)]


__all__ = ["format_reward"]
