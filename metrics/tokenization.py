"""Words of a text as coco-caption counts them: split as in the Penn Treebank, in lower case, without punctuation.

coco-caption runs Stanford's PTBTokenizer (CoreNLP 3.4.1, Java, with -preserveLines -lowerCase) and drops punctuation.
These rules give the same words for the text of radiology reports; docs/metrics.md says on how many lines that was
compared. Like the original, they keep brackets as the words "-lrb-" and "-rrb-".
"""

from __future__ import annotations

import re

PUNCTUATION = frozenset({"''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "\u2010", "\u2011", "--", ";"})
"""Tokens that are no words, and rows of dots or dashes. coco-caption also lists brackets, in capitals that never
occur."""

_TYPOGRAPHY = str.maketrans(
    {
        **dict.fromkeys("\u2018\u2019\u2039\u203a", "'"),
        **dict.fromkeys("\u201c\u201d\u00ab\u00bb", '"'),
        **dict.fromkeys("\u2012\u2013\u2014\u2015", " -- "),
        **dict.fromkeys("\u200b\ufeff", " "),
        **{sign: f" {sign} " for sign in "\u00b9\u00b2\u00b3"},
        "\u2026": "...",
        "\u00bd": " 1/2 ",
        "\u00bc": " 1/4 ",
        "\u00be": " 3/4 ",
        "\u2153": " 1/3 ",
        "\u2154": " 2/3 ",
        "\u20ac": " $ ",
        "\u00a3": " # ",
    }
)
"""Quotes, dashes, dots, fractions and money as the original writes them."""

_UNKNOWN = re.compile("[\U00010000-\U0010ffff]")
"""What the original drops: emoji and whatever else needs more than 16 bits."""

_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_ABBREVIATIONS = (
    r"dr|drs|mr|mrs|ms|prof|messrs|rev|hon|gen|maj|col|lt|capt|sgt|sr|jr|st|mt|ft|ave|blvd|rd|inc|co|corp|ltd|dept|univ"
    r"|bros|rep|sen|gov|pres|vs|etc|al|cf|est|ct|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|mon|tue|tues|wed|thu"
    r"|thurs|fri|ph\.d"
)
_SENTENCE = r"\s+(?:The|There|This|These|That|It|In|No|A|An|Both)\b"
_PART = r"(?:(?!(?i:n't)\b)\w)+"
_TOKEN = re.compile(
    rf"""
      (?i:can(?=not\b) | (?:gon|wan)(?=na\b) | got(?=ta\b) | (?:lem|gim)(?=me\b))   # can not
    | (?<!\w)(?i:o'clock\b | 't(?=(?:is|was)\b))
    | <[A-Za-z/][^<>\s]*>                                                           # tags
    | (?<!\w)(?:[A-Za-z]\.){{2,}}                                                   # p.m., J.K.
    | (?<![\w'])[A-Za-z]\.(?!\w|{_SENTENCE})                                        # E. coli
    | (?<!\w)(?i:{_ABBREVIATIONS})\.(?!\w)
    | (?<!\w)(?i:nos?|figs?|pp|art)\.(?=\s*\d)
    | (?i:n't|'(?:s|re|ve|ll|d|m))\b                                                # what contractions leave behind
    | (?<![\w.])[+-]?\d+(?:[.,:/]\d+)+(?:-\w+)* | [.:,]\d+ | (?<![\w.])-\d+ | \+\d+  # 1.5, 1/2, -5, 1.5-cm
    | (?:[#@](?=[A-Za-z]))?{_PART}(?:(?:[-\u2010\u2011/@](?=\w)|(?<!\d)[.!?](?=[^\W\d])){_PART})*  # and/or, A-B
    | \.\.+ | -+ | \*+ | [?!]+ | \S
    """,
    re.VERBOSE,
)


def tokenize(text: str) -> list[str]:
    """The words of a text.

    >>> tokenize("No change in the patient's chest (1.5 x 2 cm).")
    ['no', 'change', 'in', 'the', 'patient', "'s", 'chest', '-lrb-', '1.5', 'x', '2', 'cm', '-rrb-']
    """
    plain = _UNKNOWN.sub(" ", text.translate(_TYPOGRAPHY))
    found = (_BRACKETS.get(token, token.lower()) for token in _TOKEN.findall(plain))
    return [token for token in found if token not in PUNCTUATION and not token.startswith(("..", "--"))]


__all__ = ["PUNCTUATION", "tokenize"]
