"""BLEU-1 to 4 of a corpus (Papineni et al. 2002), by sacrebleu.

As in coco-caption: n-gram counts are summed over the corpus before they are divided, and each text is held against the
reference whose length is closest (the shorter of two). Where no n-gram of some length is right coco-caption gives a
number near 0.0001 instead of 0, by the tiny constants that keep it from dividing by zero; here it is 0.
"""

from __future__ import annotations

from collections.abc import Sequence

from ._libraries import require


def bleu(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """BLEU-1, 2, 3 and 4 as fractions of 1, of words.

    >>> scores = bleu([["a", "small", "nodule"]], [[["a", "nodule"], ["one", "small", "nodule", "more"]]])
    >>> [round(score, 6) for score in scores]  # all words, and one of two bigrams: (1 x 1/2) ** 1/2
    [1.0, 0.707107, 0.0, 0.0]
    """
    metrics = require("sacrebleu.metrics")
    texts = [" ".join(words) for words in hypotheses]
    most = max(map(len, references))
    columns = [[" ".join(given[n]) if n < len(given) else None for given in references] for n in range(most)]
    return [
        metrics.BLEU(tokenize="none", force=True, smooth_method="none", max_ngram_order=order)
        .corpus_score(texts, columns)
        .score
        / 100
        for order in (1, 2, 3, 4)
    ]


__all__ = ["bleu"]
