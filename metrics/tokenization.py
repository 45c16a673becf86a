"""Words of a text as coco-caption counts them: split as in the Penn Treebank, in lower case, without punctuation.

coco-caption runs Stanford's PTBTokenizer (CoreNLP 3.4.1, Java, with -preserveLines -lowerCase) and drops punctuation.
These rules give the same words for the text of radiology reports; docs/metrics.md says on how many lines that was
compared. Like the original, they keep brackets as the words "-lrb-" and "-rrb-".
"""

from __future__ import annotations

import re

PUNCTUATION = frozenset({"''", "'", "``", "`", '"', ".", "?", "!", ",", ":", "-", "--", ";"})
"""Tokens that are no words, and rows of dots. coco-caption also lists brackets, in capitals that never occur."""

_BRACKETS = {"(": "-lrb-", ")": "-rrb-", "[": "-lsb-", "]": "-rsb-", "{": "-lcb-", "}": "-rcb-"}
_ABBREVIATIONS = (
    r"dr|drs|mr|mrs|ms|prof|messrs|rev|hon|gen|maj|col|lt|capt|sgt|sr|jr|st|mt|ft|ave|blvd|rd|inc|co|corp|ltd|dept|univ"
    r"|bros|rep|sen|gov|pres|vs|etc|al|cf|est|ct|jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec|mon|tue|tues|wed|thu"
    r"|thurs|fri|nos|ph\.d"
)
_SENTENCE = r"\s+(?:The|There|This|These|That|It|In|No|A|An|Both)\b"
_PART = r"(?:(?!n't\b)\w)+"
_TOKEN = re.compile(
    rf"""
      (?i:can(?=not\b) | (?:gon|wan)(?=na\b) | got(?=ta\b) | (?:lem|gim)(?=me\b))   # can not
    | <[A-Za-z/][^<>\s]*>                                                           # tags
    | (?<!\w)(?:[A-Za-z]\.){{2,}}                                                   # p.m., J.K.
    | (?<![\w'])[A-Za-z]\.(?!\w|{_SENTENCE})                                        # E. coli
    | (?<!\w)(?i:{_ABBREVIATIONS})\.(?!\w)
    | (?<!\w)(?i:no|figs?|pp|art)\.(?=\s+\d)
    | (?i:n't|'(?:s|re|ve|ll|d|m))\b                                                # what contractions leave behind
    | (?<![\w.])[+-]?\d+(?:[.,:/]\d+)+(?:-\d+)* | \.\d+ | (?<![\w.])[+-]\d+         # 1.5, 1/2, -5
    | {_PART}(?:(?:[-/]|(?<!\d)\.)(?=\w){_PART})*                                   # words, ground-glass, and/or
    | \.\.+ | -+ | \S
    """,
    re.VERBOSE,
)


def tokenize(text: str) -> list[str]:
    """The words of a text.

    >>> tokenize("No change in the patient's chest (1.5 x 2 cm).")
    ['no', 'change', 'in', 'the', 'patient', "'s", 'chest', '-lrb-', '1.5', 'x', '2', 'cm', '-rrb-']
    """
    found = (_BRACKETS.get(token, token.lower()) for token in _TOKEN.findall(text))
    return [token for token in found if token not in PUNCTUATION and not token.startswith("..")]


__all__ = ["PUNCTUATION", "tokenize"]
