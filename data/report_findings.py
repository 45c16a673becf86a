"""Which of CT-RATE's 18 abnormalities a free text affirms, denies or leaves open.

Mentions are the labels' synonyms, also where a text joins two of them ("pleural or pericardial effusion"), and for some
labels a change and its place in one clause ("the walls of the bronchi are thickened"). Denials are read as in
`sentence_rules`. A finding that is only listed among the options of a question is not spoken of. A silver standard,
meant for the model's own texts as well as for reports.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import zip_longest

from ..abnormalities import CT_RATE_LABELS, SYNONYMS
from .sentence_denials import HEADING, LEFT_OPEN
from .sentence_lexicon import SEEN, YES
from .sentence_rules import Clause, read_clauses
from .sentence_spans import split_sentences

STATUSES = ("absent", "uncertain", "present")
"""From the weakest to the strongest: of several mentions of a label the strongest counts."""


def findings_in(text: str) -> dict[str, str]:
    """The labels that a report, or any text in a report's words, speaks of, each with its status.

    Returns:
        label -> "present", "uncertain" ("possible", "may represent", "cannot be excluded") or "absent" (denied or
        resolved), in the labels' official order. Labels that are not mentioned are not in it.

    >>> findings_in("Small pleural effusion, possibly with atelectasis. No nodule or consolidation.")
    {'Atelectasis': 'uncertain', 'Lung nodule': 'absent', 'Pleural effusion': 'present', 'Consolidation': 'absent'}
    """
    found: dict[str, str] = {}
    for sentence in _with_headings(text):
        for label, status in _findings_of(sentence):
            found[label] = max(found.get(label, status), status, key=STATUSES.index)
    return {label: found[label] for label in CT_RATE_LABELS if label in found}


def _with_headings(text: str) -> Iterator[str]:
    """The sentences of a text; the items of a list under a verdict ("Not seen:") or "Options:" begin with it."""
    heading, last = "", 0
    for start, end in split_sentences(text):
        sentence = text[start:end]
        if not _ITEM.fullmatch(text, last, start):
            leads_list = sentence.endswith(":") and any(lead.fullmatch(sentence.lower()) for lead in (HEADING, _OFFER))
            heading = sentence if leads_list else ""
            yield sentence
        else:
            yield f"{heading} {sentence}" if heading else sentence
        last = end


_ITEM = re.compile(r"[ \t]*\n[ \t]*\S+\s*")
"""What stands before an item of a list: the end of a line, and a mark."""


@lru_cache(maxsize=1 << 14)
def _findings_of(sentence: str) -> tuple[tuple[str, str], ...]:
    """Each mention in a sentence. Kept, because the lines of a checklist and the sentences of reports come again."""
    return tuple(mention for clause in _statements(sentence) for mention in _mentions(clause))


def _statements(sentence: str) -> Iterator[Clause]:
    """The clauses of a sentence without those that only list options: "the options are emphysema and nodule"."""
    clauses = read_clauses(sentence)
    listing = False
    for clause, behind in zip_longest(clauses, clauses[1:]):
        lead = (_NEXT_OPTION if listing else _OFFER).match(clause.text)
        listing = lead is not None and not clause.denied and not _STATED.search(clause.text, lead.end())
        if not listing or (behind and _STATED_BEHIND.match(behind.text)):
            yield clause


_OFFER = re.compile(
    r"\W*(?:(?:so|now|and|here|there|are|these|the|those|my|our|among|we|i|need|have|must|can|to|question|following|given"
    r"|possible|available|answer|two|three|four|five|\d) )*"
    r"(?:(?:options(?: (?:[a-h]|and|or),?)*|option [a-h]|choices|candidates|alternatives|(?<=possible )answers)"
    r"(?: (?:given|offered|listed|available|here|to choose from))* ?(?::|(?:are|were|is|include)\b ?:?)"
    r"|(?:choose|decide) (?:between|among|from)\b|(?:offers|asks about)\b)"
)
"""What leads a list of options. Not "the right option is", which answers."""
_NEXT_OPTION = re.compile(r"\W*(?:(?:and|or) )?[a-h]\)")
_STATED = re.compile(rf"\b(?:{SEEN}|{YES}|is|are|was|were|has|have|shows?|fits?|appl(?:y|ies))\b")
"""Words with which a clause says something of the options that it lists."""
_STATED_BEHIND = re.compile(rf"\W*(?:which|that) (?:is|are) (?:\w+ly )?(?:{SEEN}|{YES})\b")


def _mentions(clause: Clause) -> Iterator[tuple[str, str]]:
    """The labels that a clause names, and how."""
    doubt = _DOUBT_BEFORE.search(clause.text)
    doubted_from = doubt.end() if doubt else len(clause.text)
    doubted_to = max((found.start() for found in _DOUBT_BEHIND.finditer(clause.text)), default=0)
    for start, label in _named(clause.text):
        if clause.denies(start):
            yield label, "absent"
        else:
            yield label, "uncertain" if start >= doubted_from or start < doubted_to else "present"


_DOUBT_BEFORE = re.compile(
    rf"{re.escape(LEFT_OPEN)}+|\b(?:possib\w+|probab\w+|likely|suspicious for|suspected|suspicion of|question of"
    r"|questionable|may|might|could|suggest\w*|favou?r\w*|concern\w* for|versus|vs|potential\w*|would|unless"
    r"|should there be|if(?! anything\b| (?:you|we|one|i)\b))\b|\?(?=\w)"
)
_DOUBT_BEHIND = re.compile(
    rf"{re.escape(LEFT_OPEN)}|\b(?:versus|vs|(?<!that )(?<!which )would)\b|\?(?! *{YES}\b)(?!\w)"
    r"|\b(?:is|are|was|were|be|remains?) (?:\w+ly )?"
    r"(?:possible|probable|likely|suspected|questionable|considered|equivocal|characteri[sz]ed by|defined)\b"
    r"|\b(?:may|might|could) be present\b"
)


def _named(text: str) -> Iterator[tuple[int, str]]:
    """The labels that the text of a clause names, and where."""
    begun = {label for word in _WORD.findall(text) for label in _BEGUN_BY.get(word, ())}
    named = [(found.span(), label) for label in SYNONYMS if label in begun for found in _SYNONYMS[label].finditer(text)]
    phrases = [span for span, _ in named if not _JOINT.search(text[slice(*span)])]
    named = [  # not "opacity" in "nodular opacity"
        (span, label)
        for span, label in named
        if not any(a <= span[0] and span[1] <= b and (a, b) != span for a, b in phrases)
    ]
    for label, (change, place) in _CHANGES.items():
        if place is None or place.search(text):
            named += [(found.span(found.lastindex or 0), label) for found in change.finditer(text)]
    for (start, _), label in named:
        other, own = _PLACES.get(label, (None, None))
        if other is None or not other.search(text) or own.search(text):
            yield start, label


_JOINT = re.compile(r"[,/]|\b(?:and|or|nor)\b")
_ANOTHER_BEFORE = r"(?: ?(?:,|/|-| and | or | nor | and/or ) ?\w+){0,2}[\s-]+"
_ANOTHER_BEHIND = r"(?:\w+(?: and | or |/|-|, ?))?"


_SIDE = r"(?:(?:left|right|both|bilateral)[\s-]+)?"
_PLURALS = (("y", "(?:y|ies)"), ("sis", "s[ie]s"))
"""Ends of words that change, and their pattern; to all others -s or -es is added."""


def _synonym_pattern(synonym: str) -> str:
    """Of "pleural effusion" also "pleural and pericardial effusion" and "pleural thickening or effusions", of "fluid in
    the pleural space" also "fluid in the left pleural space"."""
    words = [re.escape(word) for word in re.split(r"[\s-]+", synonym.lower())]
    gap = _ANOTHER_BEFORE + _ANOTHER_BEHIND if len(words) == 2 else r"[\s-]+" + _SIDE
    phrase = gap.join(words)
    for end, plural in _PLURALS:
        if phrase.endswith(end):
            return phrase.removesuffix(end) + plural
    return phrase + r"(?:e?s)?"


_SYNONYMS = {
    label: re.compile(r"\b(?:" + "|".join(map(_synonym_pattern, sorted(synonyms, key=len, reverse=True))) + r")\b")
    for label, synonyms in SYNONYMS.items()
}

_WORD = re.compile(r"\w+")
_BEGUN_BY: dict[str, set[str]] = {}
"""A word -> the labels of which a synonym begins with it. Most labels need not be looked for in most clauses."""

for _label, _synonyms in SYNONYMS.items():
    for _first in {_WORD.match(synonym)[0] for synonym in _synonyms}:
        for _form in (_first, _first + "s", _first + "es", _first.removesuffix("y") + "ies", _first[:-2] + "es"):
            _BEGUN_BY.setdefault(_form, set()).add(_label)

_CALCIFIED = re.compile(r"\b(?:calcif\w*|calcium|atheroma\w*|atheroscl\w*|plaques?)\b")
_CORONARY = r"(?:coronar\w*|circumflex|anterior descending|lad|rca)"
_THICKENED = re.compile(r"\bthick(?!ness)\w*")
_BRONCHI = re.compile(r"\b(?:peri)?bronch\w*")
_HEART = (
    r"(?:heart|cardiac (?:silhouette|shadow|contour|size)|cardiothoracic (?:ratio|index))"
    r"(?: (?:sizes?|silhouette|shadow|dimensions|diameters?))?"
)
_CHANGES = {
    "Cardiomegaly": (
        re.compile(
            rf"\b{_HEART}(?: (?:is|was|are|were|has|have|does|do|been|appears?|remains?|seems?|shows?|again|not|to|be"
            r"|\w+ly|mild|moderate|marked|severe))*"
            r" (enlarged|enlargement|increased|dilated|larger? than)\b"
            rf"|\b(enlarged|enlargement|increased?|dilat\w+)(?: (?:in|of|the|size|overall))* {_HEART}\b"
        ),
        None,
    ),
    "Arterial wall calcification": (
        _CALCIFIED,
        re.compile(r"\b(?:aort\w*|(?<!coronary )arterial walls?|vascular|carotid|subclavian|brachiocephalic)\b"),
    ),
    "Coronary artery wall calcification": (_CALCIFIED, re.compile(rf"\b{_CORONARY}\b")),
    "Peribronchial thickening": (_THICKENED, _BRONCHI),
    "Interlobular septal thickening": (_THICKENED, re.compile(r"\b(?:interlobular|septal|septa)\b")),
    "Bronchiectasis": (re.compile(r"\bdilat\w*"), _BRONCHI),
    "Lymphadenopathy": (re.compile(r"\b(?:enlarg\w*|patholog\w*)"), re.compile(r"\bnodes?\b")),
}
"""label -> a change (a group of the pattern, where it has any), and the place that makes it this label when it stands
in the same clause; None where the change says it all."""

_OTHER_ORGANS = re.compile(
    r"\b(?:thyroid|adrenal|surrenal|liver|hepatic|kidney|renal|spleen|splenic|pancrea\w*|breast|mammary|skin|subcutaneous"
    r"|muscle|vertebra\w*|bones?|osseous|ribs?|stern\w+|peritone\w*|lymph nodes?)\b"
)
_LUNG = re.compile(
    r"\b(?:lungs?|pulmonary|lingula\w*|fissur\w+|parenchyma\w*|(?:upper|middle|lower) lobes?|subpleural)\b"
)
_PLACES = {
    "Pleural effusion": (
        re.compile(r"\b(?:pericard\w*|joints?|knee|shoulder|glenohumeral|sternoclavicular|subdural|ascit\w*)\b"),
        re.compile(
            r"\b(?:pleura\w*|hemithora\w*|fissur\w*|(?:right|left|bilateral|both)(?:[\s-]sided?)? effusions?)\b"
        ),
    ),
    "Emphysema": (_OTHER_ORGANS, _LUNG),
    "Lung nodule": (_OTHER_ORGANS, _LUNG),
    "Lung opacity": (_OTHER_ORGANS, _LUNG),
    "Pulmonary fibrotic sequela": (_OTHER_ORGANS, _LUNG),
    "Consolidation": (_OTHER_ORGANS, _LUNG),
    "Arterial wall calcification": (
        re.compile(rf"\b(?:{_CORONARY}|valv\w*|annul\w*|nodes?|granulom\w*|nodul\w*|pleura\w*)\b"),
        re.compile(r"\b(?:aorta|aortic(?! (?:valv|annul))|arterial walls?)\b"),
    ),
    "Peribronchial thickening": (
        re.compile(r"\b(?:pleura\w*|sept\w*|o?esophag\w*)\b"),
        re.compile(r"\bperibronch\w*|\bbronch\w* walls?\b|\bwalls? of (?:\w+ ){0,2}bronch\w*"),
    ),
    "Interlobular septal thickening": (re.compile(r"\binteratrial\b"), re.compile(r"\binterlobular\b")),
    "Bronchiectasis": (re.compile(r"\b(?:aort\w*|o?esophag\w*|arter\w*)\b"), re.compile(r"\bbronchiecta\w*")),
}
"""label -> words by which a mention belongs elsewhere, unless words of the second pattern place it here too."""


def label_row(text: str, uncertain: bool = False) -> tuple[int, ...]:
    """The 18 labels of a text in their official order: 1 where it affirms one, also where it holds one possible if
    `uncertain`; 0 where it denies it or says nothing.

    >>> text = "Emphysema. Possible atelectasis. No nodule."
    >>> sum(label_row(text)), sum(label_row(text, uncertain=True))
    (1, 2)
    """
    found = findings_in(text)
    counted = STATUSES[1:] if uncertain else STATUSES[2:]
    return tuple(int(found.get(label) in counted) for label in CT_RATE_LABELS)
