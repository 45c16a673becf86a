"""What a clause denies: the cues of negation and how far they reach, and phrases that only look like one.

After NegEx (Chapman et al., J Biomed Inform 34, 2001), with the ways of an argument added: verdicts on the options of a
question and suppositions that the writer holds untrue ("emphysema would show dark areas").
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .sentence_lexicon import NO, SEEN, VERDICT_ENDS

LEFT_OPEN = "^"
_BE = r"(?:be |been |being )?"
_CONTRACTED = r"(?:is|are|was|were|does|do|did|has|have|had|ca|could|would|wo|should)n'?t"
_NOT = rf"(?:cannot|can ?not|could not|not|{_CONTRACTED})"
_PHRASES = (
    (  # a finding that stays: "no significant change in the nodule"
        r"\b(?:no|without|not)(?: (?:\w+ly|significant|interval|appreciable|substantial|definite|apparent|gross|major"
        r"|real|obvious|relevant|marked|important|further|other|radiographic|much|been|evident|visible))*"
        r" (?:chang\w*|progress\w*|growth|difference|increase in|decrease in|improvement|regression|alteration)\b",
        "=",
    ),
    (  # words of findings that are none
        r"\b(?:normal (?:anatomic(?:al)? )?varia\w+|nipple shadows?|companion shadows?|fatty (?:hil\w+|cent\w+)"
        r"|physiolog\w+ (?:amount|quantity) of (?:\w+ ){0,2}fluid"
        r"|thick (?:slices?|sections?)|(?:slices?|sections?)(?: [\w.]+){0,3} thick)\b",
        "=",
    ),
    (r"\b(?:without|no|absence of|lack of)(?: \w+){0,3}? contrast(?: (?:agent|material|medium|media))?\b", "="),
    (
        rf"\b(?:{_NOT}|difficult to|hard to|unable to|impossible to)(?: (?:be|been|being|to|yet|\w+ly))*"
        r" (?:exclu\w+|rul\w+ out|dismiss\w*)"
        r"|\b(?:to|should|must)(?: (?:be|further|definitely|completely))* (?:exclude|excluded|rule out|ruled out)\b"
        r"|\A\W*(?:exclude|rule out)\b",
        LEFT_OPEN,
    ),
    (  # a contrast agent where it belongs
        r"\bopacif\w+ of (?:the )?(?:\w+ )?(?:arter\w+|aorta|vein\w*|vessel\w*|vascula\w+|ventric\w+)\b"
        r"|\b(?:well|contrast)[\s-]opacif\w+",
        "=",
    ),
    (  # an organ that is gone
        r"\b(?<=gallbladder )(?:(?:is|was|has been) )?(?:surgically )?(?:absent|removed)\b"
        r"|\b(?:surgically|congenitally) absent\b",
        "~",
    ),
    (  # a new finding: "not present on the prior study"
        rf"\bnot(?: \w+){{0,2}} {_BE}(?:{SEEN})(?: \w+){{0,4}}?"
        r" (?:prior|previous\w*|earlier|before|old|recent|comparison|last|past)\b"
        rf"|\bnot {_BE}(?:previously|formerly) (?:{SEEN}|described|reported|mentioned)\b",
        "~",
    ),
    (  # a limitation
        rf"\b{_NOT}(?: \w+){{0,2}} (?:be )?(?:evaluated|assessed|included|imaged|covered|characterized"
        r"|(?:as )?well(?: \w+)?|optimal\w*|completely \w+|fully \w+)|\bexcluded from\b",
        "~",
    ),
    (  # not gone
        rf"\b{_NOT} (?:\w+ly |yet )?(?:resolved|cleared|disappeared|regressed|subsided|removed|gone)\b"
        r"|\b(?:near(?:ly)?|almost|partial(?:ly)?|incomplete(?:ly)?)(?: complete(?:ly)?)? (?:resol\w+|clear\w+)",
        "~",
    ),
    (
        r"\bnot (?:all|every|both)\b(?: \w+){0,4} (?:has|have|is|are) (?:\w+ )?(?:resolved|cleared|removed|gone)\b",
        "~",
    ),
    (
        rf"\b{_NOT} (?:only|necessarily|uncommon\w*|wrong|incorrect|false|untrue|implausible"
        r"|(?:be )?(?:denied|refuted|dismissed))\b"
        r"|\bno\. ?\d|\bno doubt",
        "~",
    ),
    (  # a polite statement
        r"\bwould (?:\w+ly )?(?:say|choose|pick|select|answer|conclude|recommend|advise|agree|go|call|be (?:\w+ ){0,3}?"
        r"(?:answer|choice|option|helpful|useful|recommended|advis\w+|needed|warranted|appropriate))\b"
        r"|\b(?:answer|choice|option) would be\b|\bas (?:would|might) be expected\b",
        "~",
    ),
)
"""Phrases that look like a denial or like a finding and are neither, and the sign that takes their place, in order."""
MISLEADING = tuple((re.compile(phrase), sign) for phrase, sign in _PHRASES)


_COPULA = r"(?:is|are|was|were|be|being|been|seems?|looks?|appears?)"
_WRONG = (
    r"(?:wrong|incorrect|false|untrue|implausible|improbable|missing|lacking|nonexistent|nowhere|inconsistent"
    r"|incompatible|contradicted|refuted|disproved|rejected|eliminated|discarded|dismissed|negated|denied"
    r"|crossed out|off the table|out of the question)"
)
_FITTING = (
    r"(?:correct|true|likely|valid|plausible|supported|there|here|right(?=\W*$)"
    r"|(?:\w+ )?(?:case|answer|option|choice|candidate|diagnosis|possibility|match))"
)
_REJECT = r"(?:exclude|rule out|reject|dismiss|discard|eliminate|discount)"

FORWARD = re.compile(
    rf"n't\b|\b(?:{_CONTRACTED}|no|none(?! of)|without|w/o|nothing|empty of|neither|nor|never|not|cannot|denies|lacks?"
    r"|excludes?|rul(?:es?|ing) out|excluding|free of|free from|clear of|devoid of|negative(?: for)?|absence of|lack of"
    r"|removal of|unlikely to|rather than|instead of|as opposed to|fails? to|failed to"
    r"|(?:argu\w+|speak\w*|evidence) against|points? away from|contradict(?:s|ing)?|refut(?:es?|ing)"
    r"|(?:inconsistent|incompatible) with|(?:wrong|false|incorrect) to \w+"
    rf"|(?:can|we|i|us|safely|confidently|therefore|thus) (?:\w+ly )?{_REJECT}"
    r"|(?:resolution|clearance|disappearance|regression) of)\b"
    r"|\Aresolved\b"
)
_BACKWARD = re.compile(
    rf"\b(?:(?:{_NOT}|never|no longer)(?:(?: \w+){{0,2}} {_BE}(?:{SEEN})| (?:\w+ly |be |an? |the )*{_FITTING}"
    r"| (?:apply|fit|match|(?:show|exist|occur|appear)(?=\W*$)))"
    r"|(?!\A)(?:resolved|disappeared|removed|extracted|withdrawn|unlikely|absent|ruled out|excluded|gone|subsided"
    rf"|vanished|(?:completely|fully) regressed|(?:no|none|not|nil|{_CONTRACTED})(?=\W*$))"
    r"|(?:has|have) (?:\w+ )?cleared"
    rf"|{_COPULA} (?:\w+ly |the |an? )*{_WRONG}(?! (?:to|with)\b))\b"
    rf"|[:>(,-] *(?:\w+ly )?(?:{NO}\b|0){VERDICT_ENDS}|\? *{NO}\b"
    r"|(?=: *(?:no|none|without)\b)(?<=\w)"
)
HEADING = re.compile(
    r"\W*(?:(?:findings?|abnormalit\w+|options?|what|which|that|is|are|was|were|and|but) )*"
    rf"(?:(?:{_NOT}|never) (?:be )?(?:{SEEN})(?: (?:is|are|was|were)\b| ?:| (?!(?:on|in|at|by|with|to|or|and)\b)(?=\w))"
    rf"|(?:absent|excluded|ruled out|negative|{_WRONG})(?: (?:is|are|was|were)\b| ?:))"
)
"""A verdict before what it denies: "Not seen: emphysema", "Absent are nodules"."""

_UNTRUE = re.compile(
    r"\b(?:(?:would|(?:i|we|you|one|it)'d) (?:not |also |\w+ly )*(?:have |be |been )*(?:expect\w*|show\w*|see|seen"
    r"|appear|look|present\w*|manifest|cause\w*|produce\w*|lead|need|require\w*|blunt\w*|obscur\w*|visible|evident"
    r"|dark\w*|bright\w*)|if\b.* would|would\b.* if|if there were|had there been)\b|\A\W*were there\b"
)
"""A supposition that the writer holds untrue: nothing in its clause is said to be there."""


def denied(clause: str) -> Iterator[tuple[int, int]]:
    """Stretches [start, end) of the text of a clause that a negation reaches."""
    if _UNTRUE.search(clause):
        yield 0, len(clause)
        return
    if heading := HEADING.match(clause):
        yield heading.end(), len(clause)
    backward = [found.span() for found in _BACKWARD.finditer(clause)]
    for start, _ in backward:
        yield 0, start
    for found in FORWARD.finditer(clause):
        if not any(start <= found.start() < end for start, end in backward):
            yield found.end(), len(clause)


TAKEN_BACK = re.compile(
    r"\W*(?:(?:but|and|yet|however|which|that|this|it|they|there|i|we|is|are|was|were|do|did|could|can),? )*"
    rf"(?:(?:(?:found|find|saw|see) )?none|(?:{_NOT}|never) (?:see|find|identify|detect) (?:any|it|them|one|this|that)"
    rf"|(?:{_NOT}|never) (?:\w+ly |be |the )*(?:{SEEN}|{_FITTING}|so))(?: (?:is|are|was|were) (?:{SEEN}))?"
    r"(?: here| in (?:this|the|these) \w+)?\W*$"
)
"""A clause that denies what the one before it says: "but there are none", "which is not the case"."""
GIVEN_BACK = re.compile(
    r"\W*(?:(?:but|and|yet|while|whereas|it|they|is|are|was|were|clearly|only),? )*"
    r"(?:present|positive|seen|visible|found|evident|detected|noted|small|mild|moderate|large|minimal|some|trace)"
    r"(?: only)? (?:on|in|at|over) [^:,;]*$"
)
"""A clause that affirms elsewhere what the one before it denies: "but present on the left"."""
