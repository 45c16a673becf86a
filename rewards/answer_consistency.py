"""Does the reasoning support the answer that is given, and no other? (after Con-GRPO of MedAD-R1, arXiv 2602.01081)

MedAD-R1 asks that the reasoning be relevant to and coherent with the final answer, and a language model judges it. Here
rules do: the options are findings, so it can be read which of them the reasoning affirms. Whether the answer is right
plays no part.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from ..answers_med3d_r1 import LETTERS, parse_answer
from .completions import Completion, texts_of
from .findings import read_findings


def answer_consistency_reward(
    completions: Sequence[Completion], options: Sequence[Sequence[str]], **kwargs: Any
) -> list[float | None]:
    """One over the number of options that the reasoning supports, if the chosen one is among them; else 0.

    Supported are the options that the reasoning affirms; if it affirms none, those that it holds possible. So 1 means
    that the reasoning leads to the answer and to no other; 0 also stands for an answer that cannot be read and for
    reasoning that denies every option, or names none.

    None is given for rows of which an option is none of the 18 abnormalities, because the rules cannot read those. It
    depends on the row alone and never on what was written: silence must not be a way out.

    Args:
        completions: texts, or lists of messages.
        options: the texts of the options, A first.

    >>> options = [["Emphysema", "Lung nodule"]] * 3
    >>> said = ["Emphysema, no nodule.", "Emphysema and a nodule.", "A nodule."]
    >>> answer_consistency_reward([f"<think>{text}</think><answer>A</answer>" for text in said], options=options)
    [1.0, 0.5, 0.0]
    """
    return [_support(text, offered) for text, offered in zip(texts_of(completions), options, strict=True)]


def _support(text: str, options: Sequence[str]) -> float | None:
    labels = [_label_of(option) for option in options]
    if None in labels:
        return None
    parsed = parse_answer(text, options)
    findings = read_findings(parsed.reasoning)
    supported = findings.affirmed.intersection(labels) or findings.doubtful.intersection(labels)
    chosen = None if parsed.letter is None else labels[LETTERS.index(parsed.letter)]
    return 1 / len(supported) if chosen in supported else 0.0


@lru_cache(maxsize=1 << 10)
def _label_of(option: str) -> str | None:
    """The abnormality that an option names."""
    affirmed = read_findings(option).affirmed
    return next(iter(affirmed)) if len(affirmed) == 1 else None


__all__ = ["answer_consistency_reward"]
