"""Where the sentences of a radiology report begin and end. Text only.

A full stop ends a sentence unless it belongs to a number ("1.5 cm"), an abbreviation ("approx.", "Dr.", "e.g."), an
ordinal ("4. rib") or stands in brackets. Reports are dictated and break the rules of print: the stop may lack its space
("opacity.There is") or be missing altogether, before "There is" or before a new line or a gap of two spaces that leads
on to a capital. A line that is merely wrapped goes on. A line of a checklist stands for itself ("B nodule absent"). A
question keeps the word that answers it ("Effusion? No."): neither says anything without the other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from .sentence_lexicon import NO, VERDICT_ENDS, YES

_NEVER_LAST = {"dr", "drs", "prof", "mr", "mrs", "ms", "vs", "cf", "viz", "e.g", "i.e", "eg", "ie"}
_BEFORE_NUMBER = {"no", "nos", "nr", "fig", "figs", "im", "img", "se", "ser"}
_BEFORE_MORE = {"approx", "appr", "ca", "max", "min", "diam", "incl", "resp", "lat", "ant", "post", "inf", "sup", "al"}
_UNITS = {"cm", "mm", "ml", "cc", "hu", "kg", "sec"}
_UNFINISHED = {"a", "an", "and", "are", "as", "at", "by", "for", "from", "in", "into", "is", "of", "on", "or", "than"}
_UNFINISHED |= {"the", "to", "was", "were", "which", "with"}

_STOP = re.compile(r"[.!?]+[\"'\u201d\u2019)\]]*")
_ANSWER = re.compile(rf"(?i:{NO}|{YES})\b{VERDICT_ENDS}")
_WHOLE = re.compile(  # brackets, and names with their titles and initials
    r"\([^()\n]*\)|\[[^\[\]\n]*\]|\b(?:Drs?|Prof|Mrs?|Ms)\.?(?: [A-Z]\.)* [A-Z][\w'-]*"
)
_LAST_TOKEN = re.compile(r"[^\s()\[\],;:/]*\Z")
_ORDINAL = re.compile(r"\s+(?:ribs?|thoracic|cervical|lumbar|vertebra\w*|intercostal|costal|segment\w*)\b")
_BULLET = "\u2022\u2023\u25aa\u25cf\u00b7*"
_MARKER = re.compile(
    rf"(?:[{_BULLET}]+|[-\u2013\u2014>]+(?=\s|[A-Za-z]|\Z)|\(?\d{{1,2}}[.)]+(?!\d)(?!{_ORDINAL.pattern})|\(?[A-Ha-h]\))\s*"
)
_LIST_NUMBER = re.compile(r"(?<!\S)\(?(\d{1,2})[.)]+\s*(?=[A-Z])")
_LIST_START = re.compile(r"(?:\A|\n|[.!?:;])\s*\Z")
_LINE_END = re.compile(r"\n\s*")
_CAPITALISED = re.compile(r"[A-Z][a-z]|A\s|[A-Z][A-Z /]+:")
_VERDICT = re.compile(rf"[A-Z] [^\n]*(?:\b(?:present|absent)|[:=] ?(?:{NO}|{YES}))[ \t]*(?:\n|\Z)")
_GAP = re.compile(r"(?<=[a-z0-9)])(?: +(?=There (?:is|are|was|were|has|have)\b)|  +(?=[A-Z][a-z]+ [a-z]))")


def split_sentences(text: str) -> list[tuple[int, int]]:
    """Spans [start, end) of the sentences of a report, in order, without white space at their ends.

    Every character lies in a span but white space and what only marks an item of a list at the start of a sentence:
    bullets, dashes, "1.", "2)", "(3)", "a)". What is cut out of the text along a span is one sentence again.

    >>> text = "1. Nodule of 1.5 x 2 cm.There is no effusion.  2. No change"
    >>> [text[start:end] for start, end in split_sentences(text)]
    ['Nodule of 1.5 x 2 cm.', 'There is no effusion.', 'No change']
    """
    whole = [found.span() for found in _WHOLE.finditer(text)]
    cuts = {*_stops(text), *_line_ends(text), *_list_numbers(text), *(found.end() for found in _GAP.finditer(text))}
    cuts = {cut for cut in cuts if not any(start < cut < end for start, end in whole)}
    spans = (_trim(text, start, end) for start, end in pairwise(sorted({0, len(text), *cuts})))
    return [(start, end) for start, end in spans if start < end]


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    """The span without white space and without the marks of a list."""
    end -= len(text[start:end]) - len(text[start:end].rstrip())
    while start < end:
        if text[start].isspace():
            start += 1
        elif marker := _MARKER.match(text, start, end):
            start = marker.end()
        else:
            break
    return start, end


def _stops(text: str) -> Iterator[int]:
    """Positions behind the stops that end a sentence."""
    for stop in _STOP.finditer(text):
        before = _LAST_TOKEN.search(text, max(0, stop.start() - 30), stop.start())[0]
        if _ends_sentence(before, stop[0], text[stop.end() : stop.end() + 40]):
            yield stop.end()


def _ends_sentence(before: str, stop: str, after: str) -> bool:
    """Whether a stop between a token and the text `after` ends the sentence."""
    following = after.lstrip()
    if not following:
        return True
    if after == following:
        return stop == "." and _lacks_space(before, after)
    token, continues = before.lower(), following[0].islower()
    if stop != ".":
        return not continues and not (stop.startswith("?") and _ANSWER.match(following))
    if token in _NEVER_LAST:
        return False
    if token in _BEFORE_NUMBER:
        return not following[0].isdigit()
    if token in _BEFORE_MORE:
        return not continues and not following[0].isdigit()
    if token in _UNITS or (len(token) == 1 and token.isalpha()):
        return not continues  # "2 cm. in size", "E. coli"
    return not (token.isdigit() and _ORDINAL.match(after))


def _lacks_space(before: str, after: str) -> bool:
    """Whether a stop with no space behind it still ends a sentence: "opacity.There", "2 cm.No", "effusion.no mass"."""
    if before.lower() in _NEVER_LAST | _BEFORE_NUMBER | _BEFORE_MORE or not before[-1:].isalnum():
        return False
    word = before.rpartition(".")[2]  # of "1.Emphysema", whose number lacks its space too
    if re.match(r"[A-Z][a-z]|[A-Z] ", after):
        return word.isdigit() or (len(word) > 1 and not word[-1].isupper())
    return len(word) > 3 and word.isalpha() and re.match(r"[a-z]{2,} |\d", after) is not None


def _line_ends(text: str) -> Iterator[int]:
    """Positions where a new line begins a new sentence."""
    for end in _LINE_END.finditer(text):
        before = text[max(0, end.start() - 30) : end.start()].rstrip()
        unfinished = _LAST_TOKEN.search(before)[0].lower() in _UNFINISHED or before.endswith((",", "-", "/", "("))
        capitalised = _CAPITALISED.match(text, end.end()) and not before.endswith(".")  # a stop is judged elsewhere
        begins = _MARKER.match(text, end.end()) or _VERDICT.match(text, end.end())
        if end[0].count("\n") > 1 or begins or (capitalised and not unfinished):
            yield end.end()


def _list_numbers(text: str) -> Iterator[int]:
    """Positions of the numbers of a list that runs on without line breaks: "1. Emphysema 2. Small effusion"."""
    expected = 1
    for number in _LIST_NUMBER.finditer(text):
        if int(number[1]) == 1 and _LIST_START.search(text, max(0, number.start() - 30), number.start()):
            expected = 1
        elif expected == 1:
            continue
        if int(number[1]) == expected:
            yield number.start()
            expected += 1
