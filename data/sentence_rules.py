"""Normal or abnormal, by rules that need no model and no key: a vocabulary and the scopes of negations.

The scopes follow NegEx (Chapman et al., J Biomed Inform 34, 2001): a cue such as "no" or "without" denies what follows
it, one such as "was not seen" or "has resolved" what precedes it, both as far as the clause reaches. A clause ends at
"but", at a semicolon, or where a comma, an "and" or a "with" begins a new statement, and not inside a list ("no
effusion, consolidation or mass").

A sentence is abnormal if it affirms a finding, however small, old, stable or uncertain, and normal if it affirms none
and says that something is normal, unchanged, gone or denied, or only how the scan was made. One that does none of this
(a limitation, advice, a word that the vocabulary lacks) is abnormal: what a radiologist mentions without calling it
normal mostly is. Devices, marks of surgery, degenerative changes and variants count as findings, as in the labels of
SARLE (github.com/rachellea/sarle-labeler) that the rules are measured against in docs/sentence-labels.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from . import sentence_lexicon as words
from .sentence_denials import FORWARD, GIVEN_BACK, HEADING, LEFT_OPEN, MISLEADING, TAKEN_BACK, denied
from .sentence_lexicon import NO, SEEN, VERDICT_ENDS, YES, word_pattern


@dataclass(frozen=True, slots=True)
class Clause:
    """One statement of a sentence.

    Attributes:
        text: lower-case, of the same length as in the sentence. Phrases that would mislead are filled up with signs:
            `=` what speaks for normal ("no change"), `^` what leaves something open ("cannot be excluded"), `~` others.
        denied: stretches [start, end) of the text that a negation reaches.
    """

    text: str
    denied: tuple[tuple[int, int], ...]

    def affirms(self, pattern: re.Pattern[str]) -> bool:
        """Whether the pattern is found outside of what is denied."""
        return any(not self.denies(found.start()) for found in pattern.finditer(self.text))

    def denies(self, position: int) -> bool:
        return any(start <= position < end for start, end in self.denied)


def label_sentence(sentence: str) -> str:
    """Whether one sentence of a report is "normal" or "abnormal", by the rules above.

    >>> label_sentence("No effusion, consolidation or mass."), label_sentence("No effusion, mild scoliosis.")
    ('normal', 'abnormal')
    """
    if _PREAMBLE.match(sentence):
        return "normal"
    reassured = not _LETTER.search(sentence)
    for clause in read_clauses(sentence):
        if LEFT_OPEN in clause.text or clause.affirms(_FINDING):
            return "abnormal"
        normal = _NORMAL.search(clause.text) is not None
        if not normal and clause.affirms(_WEAK_FINDING):
            return "abnormal"
        harmless = normal or bool(clause.denied) or _HARMLESS.search(clause.text) is not None
        if not harmless and _EXCEPTION.match(clause.text):
            return "abnormal"
        reassured = reassured or harmless
    return "normal" if reassured else "abnormal"


def read_clauses(sentence: str) -> list[Clause]:
    """The statements of a sentence in order, with the reach of their negations. Their texts make up the sentence."""
    text = _lowered(sentence)
    for phrase, sign in MISLEADING:
        text = phrase.sub(lambda found, sign=sign: sign * len(found[0]), text)
    clauses: list[Clause] = []
    for part in _divide(text):
        if clauses and TAKEN_BACK.match(part):
            clauses[-1] = Clause(clauses[-1].text, ((0, len(clauses[-1].text)),))
        elif clauses and clauses[-1].denied and GIVEN_BACK.match(part):
            clauses[-1] = Clause(clauses[-1].text, ())
        clauses.append(Clause(part, tuple(denied(part))))
    return clauses


_LETTER = re.compile(r"[^\W\d_]")
_PREAMBLE = re.compile(  # why and how the scan was made
    r"\W*(?:(?:clinical )?(?:history|indications?|information|details|data|question)|reason for (?:the )?\w+"
    r"|comparisons?|techniques?|protocol|procedure) ?:",
    re.IGNORECASE,
)
_NORMAL = re.compile(
    word_pattern(words.NORMAL) + rf"|\b(?:is|are|was|were) (?:not|neither)\b(?! (?:\w+ )?(?:be |been )?(?:{SEEN})\b)"
)
_HARMLESS = re.compile("=|" + word_pattern(words.STABLE, words.TECHNIQUE))
_FINDING = re.compile(
    word_pattern(
        words.LUNGS,
        words.HEART_AND_VESSELS,
        words.MEDIASTINUM_AND_PLEURA,
        words.BONES,
        words.DEVICES,
        words.OPERATIONS,
        words.ABDOMEN,
        words.GENERAL,
        words.BEYOND_NORMAL,
    )
)
_WEAK_FINDING = re.compile(word_pattern(words.WEAK))

# What is lowered keeps its length, so that positions stay those of the sentence; "non-" becomes a part of its word.
_PLAIN = str.maketrans(
    {
        "\u2018": "'",
        "\u2019": "'",
        "\u2013": "-",
        "\u2014": "-",
        "\u2192": ">",
        "=": ":",
        **dict.fromkeys("\n\r\t\u00a0^~", " "),
    }
)
_NON = re.compile(r"\bnon[\s-](?=\w)")


def _lowered(sentence: str) -> str:
    lowered = sentence.lower()
    if len(lowered) != len(sentence):  # of some letters, such as the Turkish dotted capital I
        lowered = "".join(small if len(small := letter.lower()) == 1 else letter for letter in sentence)
    return _NON.sub("non_", lowered.translate(_PLAIN))


_EXCEPT = r"(?:except\w*|apart from|aside from|other than|besides|beyond|save for)"
_EXCEPTION = re.compile(_EXCEPT)
_THERE = r"there (?:is|are|was|were|has|have|had|appears?|may|does|do|remains?)\b"
_BOUNDARY = re.compile(
    rf"(?P<strong>;|\.\s|\s-\s(?!{NO}\b{VERDICT_ENDS})|(?<=\?)\s(?!\s*(?:{NO}|{YES})\b{VERDICT_ENDS})"
    rf"|\b(?:but|however|although|though|nevertheless|whereas|while|yet|otherwise"
    rf"|accompanied by|associated with|along with|together with|in addition|{_EXCEPT})\b|\b(?={_THERE}))"
    r"|(?P<weak>,(?:\s*(?:and|or|with)\b)?|\b(?:and|with)\b)"
)


def _divide(text: str) -> Iterator[str]:
    """The texts of the clauses."""
    start = 0
    boundaries = list(_BOUNDARY.finditer(text))
    ends = [*(found.start() for found in boundaries), len(text)][1:]
    for found, end in zip(boundaries, ends, strict=False):
        before = text[start : found.start()]
        if found["strong"] or (not _UNFINISHED.search(before) and _divides(found, before, text[found.start() : end])):
            yield before
            start = found.start()
    yield text[start:]


def _divides(boundary: re.Match[str], before: str, after: str) -> bool:
    """Whether "there is", or else a comma, an "and" or a "with", begins a statement here."""
    return boundary["strong"] is not None or _begins_statement(before, after)


_UNFINISHED = re.compile(r"\b(?:(?:if|unless)\b|(?:but|however|although|though|while|yet) \Z)")
"""What goes on whatever follows: "if the lungs are dark, there is", "but there are"."""
_PREDICATE = re.compile(r",\s*(?:is|are|was|were)(?:n't)? ")
_HAS_VERDICT = re.compile(rf"(?:\b(?:{NO}|{YES})|: ?[01])\W*$")
_ASSERTIVE = re.compile(r"\W*(?:and |with |also |an? )*" + word_pattern(words.ASSERTIVE))
_VERB = re.compile(
    r"\b(?:(?:is|are|was|were|has|have|had)(?:n't)?|shows?|showed|demonstrates?|reveals?|appears?|remains?|measures?|contains?|seems?"
    r"|became|continues?)\b"
)
_WITH = re.compile(r",\s*with (?!(?:or without|no|neither|exception|contrast)\b)")
_DEVICE = re.compile(word_pattern(words.DEVICES))
_SHARED_VERB = re.compile(rf"\b(?:is|are|was|were|has been|have been)(?: not)?(?: \w+)? (?:{SEEN})\b")
_MEASURED = re.compile(r"\W*(?:and |with )?(?:an? |the )?(?:\w+ ){0,2}\d[\d.,]*(?: ?x ?\d[\d.,]*)*[ -]?(?:mm|cm)\b")
_IN_PLACE = re.compile(
    r"\bin (?:\w+ ){0,2}(?:place|situ|position)\b"
    r"|\b(?:tip|ends?|terminat\w+|project\w*) (?:\w+ ){0,4}(?:in|at|above|over)\b"
)
_ARTICLE = re.compile(r"\W*(?:and |with )?(?:an?|the|this|it|these) ")


def _begins_statement(before: str, after: str) -> bool:
    """Whether `after`, which a comma, an "and" or a "with" divides from `before`, says something of its own."""
    if _PREDICATE.match(after):  # "option A, emphysema, is wrong"
        return False
    if _ASSERTIVE.match(after) or _MEASURED.match(after) or HEADING.match(after):
        return True
    if GIVEN_BACK.match(after) or (_HAS_VERDICT.search(before) and _HAS_VERDICT.search(after)):
        return True
    if _IN_PLACE.search(after) and _DEVICE.search(after):
        return True
    if after.startswith(",") and _WITH.match(after) and FORWARD.search(before):
        return True
    if after.startswith("with") or not _VERB.search(after):
        return False
    if _VERB.search(before) or _NORMAL.search(before) or _ASSERTIVE.match(before):
        return True
    ends_list = _SHARED_VERB.search(after) and not _ARTICLE.match(after)  # "no nodule, mass or effusion is seen"
    return FORWARD.search(before) is not None and not ends_list
