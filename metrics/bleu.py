"""BLEU-1 to 4 of a corpus (Papineni et al. 2002) as coco-caption gives it; sacrebleu counts the n-grams.

N-gram counts are summed over the corpus before they are divided, and each text is held against the reference whose
length is closest (the shorter of two). Two tiny constants keep coco-caption from dividing by zero, and are a part of
its numbers: a text in which no four words in a row are right has a BLEU-4 near 0.0001 instead of 0, and one of fewer
than four words, of which nothing of that order could be asked, has up to 0.03.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ._libraries import require

ORDERS = (1, 2, 3, 4)
TINY, SMALL = 1e-15, 1e-9
"""coco-caption adds them to numerators and denominators."""


def bleu(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """BLEU-1, 2, 3 and 4 as fractions of 1, of words.

    >>> scores = bleu([["a", "small", "nodule"]], [[["a", "nodule"], ["one", "small", "nodule", "more"]]])
    >>> [round(score, 6) for score in scores]  # all words, and one of two bigrams: (1 x 1/2) ** 1/2
    [1.0, 0.707107, 8e-06, 5e-06]
    """
    metrics = require("sacrebleu.metrics")
    texts = [" ".join(words) for words in hypotheses]
    most = max(map(len, references))
    columns = [[" ".join(given[n]) if n < len(given) else None for given in references] for n in range(most)]
    scorer = metrics.BLEU(tokenize="none", force=True, smooth_method="none", max_ngram_order=max(ORDERS))
    found = scorer.corpus_score(texts, columns)
    ratio = (found.sys_len + TINY) / (found.ref_len + SMALL)
    brevity = math.exp(min(0.0, 1 - 1 / ratio))
    product, scores = 1.0, []
    for order, right, possible in zip(ORDERS, found.counts, found.totals, strict=True):
        product *= (right + TINY) / (possible + SMALL)
        scores.append(brevity * product ** (1 / order))
    return scores


__all__ = ["bleu"]
