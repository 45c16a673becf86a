"""METEOR 1.5 (Denkowski and Lavie 2014) for English, without Java and its tables: a variant, stated here.

As in the original, with its parameters for English: each text is aligned with its reference, word by word; matched
words count by how they match, and content words three times as much as function words; F is weighted to recall; and an
alignment in many pieces costs. A corpus is scored by its summed counts, and of several references the best one counts.

Not as in the original: of its four kinds of matches this has the exact word (weight 1), the same stem (.6), and of the
paraphrases (.6) only forms of "to be" in one tense. WordNet's synonyms and the 60 MB of mined paraphrases are left out.
And where many words repeat, the original's search often misses the alignment that it defines as the best; this one
misses it more rarely. docs/metrics.md says how far all that moves the score.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from functools import cache, lru_cache
from typing import NamedTuple

from ._libraries import require

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
EXACT, STEM, PARAPHRASE = 1.0, 0.6, 0.6
"""The original's parameters for English: "rank", tuned on WMT 2009 and 2010."""

BEAM = 40
"""Partial alignments kept, as in the original."""

_FUNCTION_WORDS = """
    ' 's 't " $ , . : a about after all also an and are as at be been but by can could first for from had has have he
    her his i if in into is it its last lrb more new no not of on one or other out over people rrb s said she so some
    than that the their there they this time to two up was we were what when which who will with would year years you
"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that count a quarter of their weight in all: the original takes those above one in a thousand in news text."""

PARAPHRASES = (("was", "were", "has been", "have been", "had been"), ("is", "are"))
"""Sets of phrases that stand for each other."""


def meteor(
    hypotheses: Sequence[Sequence[str]], references: Sequence[Sequence[Sequence[str]]]
) -> tuple[float, list[float]]:
    """(score of the corpus, score of each text) of words, as fractions of 1.

    >>> meteor([["the", "heart", "is", "large"]], [[["the", "heart", "is", "large"]]])
    (1.0, [1.0])
    """
    best = [
        max((_count(_words(said), _words(reference)) for reference in given), key=_Counts.score)
        for said, given in zip(hypotheses, references, strict=True)
    ]
    total = _Counts(*map(sum, zip(*map(astuple, best), strict=True)))
    return total.score(), [counts.score() for counts in best]


def _words(words: Sequence[str]) -> tuple[str, ...]:
    """The original's own tokens: compounds are taken apart, signs stand alone."""
    text = re.sub(r"-(?![lr][rsc]b-)(?<!-[lr][rsc]b-)", " ", " ".join(words))
    text = re.sub(r"-([lr][rsc]b)-", r"\1", text)
    return tuple(re.findall(r"'[^\W_]+|[^\W_]+(?:[.,](?=[^\W_])[^\W_]+|\.(?=[^\W_]*\.))*|[^\s\w]|_", text))


@dataclass(frozen=True)
class _Counts:
    """What the score is made of; counts of several texts add up.

    `said`, `known`: matched words of the text and its reference by weight; `said_all`, `known_all`: all of them;
    `matched`: matched words, the mean of both sides; `chunks`: pieces of the alignment, 0 if it is one of everything.
    """

    said: float
    said_all: float
    known: float
    known_all: float
    matched: float
    chunks: float

    def score(self) -> float:
        if not self.said or not self.known:
            return 0.0
        precision, recall = self.said / self.said_all, self.known / self.known_all
        mean = precision * recall / (ALPHA * precision + (1 - ALPHA) * recall)
        return (1 - GAMMA * (self.chunks / self.matched) ** BETA) * mean


@lru_cache(maxsize=1 << 16)
def _worth(word: str) -> float:
    return 1 - DELTA if word in FUNCTION_WORDS else DELTA


@lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    return _stemmer().stem(word)


@cache
def _stemmer():
    return require("nltk.stem.snowball").EnglishStemmer(ignore_stopwords=False)


class _Match(NamedTuple):
    """Words [at, at + length) of the text for words [to, to + to_length) of the reference."""

    at: int
    length: int
    to: int
    to_length: int
    weight: float


def _count(said: tuple[str, ...], known: tuple[str, ...]) -> _Counts:
    matches = _align(_matches(said, known), len(said))
    chunks, behind = 0, None
    for match in matches:
        chunks += (match.at, match.to) != behind
        behind = (match.at + match.length, match.to + match.to_length)
    matched = sum(match.length + match.to_length for match in matches)
    return _Counts(
        said=sum(m.weight * sum(map(_worth, said[m.at : m.at + m.length])) for m in matches),
        said_all=sum(map(_worth, said)),
        known=sum(m.weight * sum(map(_worth, known[m.to : m.to + m.to_length])) for m in matches),
        known_all=sum(map(_worth, known)),
        matched=matched / 2,
        chunks=0 if chunks == 1 and matched == len(said) + len(known) else chunks,
    )


def _matches(said: tuple[str, ...], known: tuple[str, ...]) -> list[list[_Match]]:
    """All that could be matched, by the place in the text where it begins."""
    found: list[dict[tuple[int, int, int], float]] = [{} for _ in said]
    stems = [_stem(word) for word in known]
    for at, word in enumerate(said):
        stem = _stem(word)
        for to, other in enumerate(known):
            if word == other:
                found[at][1, to, 1] = EXACT
            elif stem == stems[to]:
                found[at][1, to, 1] = STEM
    of_known = _phrases(known)
    for at, length, group in _phrases(said):
        for to, to_length, other in of_known:
            if group == other and said[at : at + length] != known[to : to + to_length]:
                found[at].setdefault((length, to, to_length), PARAPHRASE)
    return [[_Match(at, *place, weight) for place, weight in places.items()] for at, places in enumerate(found)]


def _phrases(words: tuple[str, ...]) -> list[tuple[int, int, int]]:
    """(place, length, number of its set) of the phrases of PARAPHRASES."""
    return [
        (at, length, _PHRASES[phrase])
        for length in (1, 2)
        for at in range(len(words) - length + 1)
        if (phrase := words[at : at + length]) in _PHRASES
    ]


_PHRASES = {tuple(phrase.split()): number for number, phrases in enumerate(PARAPHRASES) for phrase in phrases}


def _align(matches: Sequence[Sequence[_Match]], length: int) -> list[_Match]:
    """The alignment that covers most words, then has the fewest pieces, then moves words the least: a beam search."""
    # a partial alignment: words covered, -pieces, -distance, mask of the reference, its end, matches as linked pairs
    beams: list[dict[tuple[int, int], tuple]] = [{} for _ in range(length + 1)]
    beams[0][0, -1] = (0, 0, 0, None)
    for at in range(length):
        ahead = beams[at]
        if len(ahead) > BEAM:
            ahead = dict(sorted(ahead.items(), key=lambda item: item[1][:3], reverse=True)[:BEAM])
        for (used, end), (covered, pieces, distance, chain) in ahead.items():
            _keep(beams[at + 1], (used, -1), (covered, pieces, distance, chain))
            for match in matches[at]:
                mask = ((1 << match.to_length) - 1) << match.to
                if not used & mask:
                    state = (
                        covered + match.length + match.to_length,
                        pieces - (match.to != end),
                        distance - abs(match.at - match.to),
                        (chain, match),
                    )
                    _keep(beams[at + match.length], (used | mask, match.to + match.to_length), state)
    chain = max(beams[length].values(), key=lambda state: state[:3])[3]
    chosen = []
    while chain is not None:
        chain, match = chain
        chosen.append(match)
    return chosen[::-1]


def _keep(beam: dict[tuple[int, int], tuple], key: tuple[int, int], state: tuple) -> None:
    """Of partial alignments that leave the same words free and end at the same place the better one."""
    known = beam.get(key)
    if known is None or state[:3] > known[:3]:
        beam[key] = state


__all__ = ["FUNCTION_WORDS", "PARAPHRASES", "meteor"]
