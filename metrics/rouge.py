"""ROUGE (Lin 2004): n-grams by Google's rouge-score, the longest common subsequence as coco-caption counts it.

The two differ in more than what they count. rouge-score takes words of letters and digits alone and gives the balanced
F1. coco-caption takes the words of the Penn Treebank and weighs recall with beta = 1.2. With several references,
rouge-score takes the best one; coco-caption the best precision and the best recall, be they of different ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from ._libraries import require

BETA = 1.2
"""How much more recall weighs than precision in ROUGE-L (coco-caption)."""


def rouge_n(hypothesis: str, references: Sequence[str]) -> tuple[float, float]:
    """ROUGE-1 and ROUGE-2 of a text as F1, the best over the references."""
    scores = _scorer().score_multi(list(references), hypothesis)
    return scores["rouge1"].fmeasure, scores["rouge2"].fmeasure


@cache
def _scorer() -> Any:
    return require("rouge_score.rouge_scorer").RougeScorer(["rouge1", "rouge2"], use_stemmer=False)


def rouge_l(hypothesis: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """ROUGE-L of words.

    >>> round(rouge_l(["a", "small", "nodule"], [["a", "nodule"]]), 6)  # precision 2/3, recall 1
    0.829932
    """
    common = [_common_subsequence(hypothesis, reference) for reference in references]
    if not any(common):
        return 0.0
    precision = max(common) / len(hypothesis)
    recall = max(count / len(reference) for count, reference in zip(common, references, strict=True) if reference)
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence, by the bit-parallel method of Hyyro (2004)."""
    places: dict[str, int] = {}
    for place, word in enumerate(one):
        places[word] = places.get(word, 0) | 1 << place
    full = (1 << len(one)) - 1
    rows = full
    for word in other:
        hits = rows & places.get(word, 0)
        rows = ((rows + hits) | (rows - hits)) & full
    return (full & ~rows).bit_count()


__all__ = ["BETA", "rouge_l", "rouge_n"]
