"""CIDEr (Vedantam et al. 2015, eq. 1 to 3), in the variant that coco-caption computes and others report as CIDEr.

It is the paper's CIDEr-D: counts are clipped at the reference's, and a length that differs costs exp(-d^2 / 72) with d
in words, times 10. A number of its own kind: above 1 for good captions, and lower the fewer texts there are, because an
n-gram's weight is log(texts / texts with it) over the references of the very corpus that is scored. With one text all
weights are 0, and so is the score.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

ORDERS = (1, 2, 3, 4)
SIGMA = 6.0


def cider(hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]) -> list[float]:
    """The score of each text, of words; their mean is the corpus's.

    >>> cider([["a", "nodule"], ["no", "effusion"]], [[["a", "nodule"]], [["no", "effusion"]]])  # two orders of four
    [5.0, 5.0]
    """
    counted = [[_ngrams(words) for words in given] for given in references]
    containing = Counter(ngram for given in counted for ngram in set().union(*given))
    weights = {ngram: math.log(len(references) / count) for ngram, count in containing.items()}
    rarest = math.log(len(references))
    scores = []
    for words, given in zip(hypotheses, counted, strict=True):
        said = _Vector.of(_ngrams(words), weights, rarest)
        similarities = [_similarity(said, _Vector.of(ngrams, weights, rarest)) for ngrams in given]
        scores.append(10 * sum(similarities) / len(similarities))
    return scores


Ngrams = Counter[tuple[str, ...]]


def _ngrams(words: Sequence[str]) -> Ngrams:
    return Counter(tuple(words[at : at + order]) for order in ORDERS for at in range(len(words) - order + 1))


@dataclass(frozen=True)
class _Vector:
    """Weighted n-grams of a text, for each order, and the length of each such vector.

    `words` counts bigrams and not words, as coco-caption does.
    """

    values: tuple[dict[tuple[str, ...], float], ...]
    norms: tuple[float, ...]
    words: int

    @classmethod
    def of(cls, ngrams: Ngrams, weights: Mapping[tuple[str, ...], float], rarest: float) -> _Vector:
        values = tuple({} for _ in ORDERS)
        for ngram, count in ngrams.items():
            values[len(ngram) - 1][ngram] = count * weights.get(ngram, rarest)
        norms = tuple(math.sqrt(sum(value * value for value in order.values())) for order in values)
        return cls(values, norms, sum(count for ngram, count in ngrams.items() if len(ngram) == 2))


def _similarity(said: _Vector, reference: _Vector) -> float:
    """The mean over the orders of the clipped cosine, less for a length that differs."""
    total = 0.0
    for mine, theirs, norm, their_norm in zip(said.values, reference.values, said.norms, reference.norms, strict=True):
        if norm and their_norm:
            common = sum(min(value, theirs.get(ngram, 0.0)) * theirs.get(ngram, 0.0) for ngram, value in mine.items())
            total += common / (norm * their_norm)
    return total / len(ORDERS) * math.exp(-((said.words - reference.words) ** 2) / (2 * SIGMA**2))


__all__ = ["ORDERS", "SIGMA", "cider"]
