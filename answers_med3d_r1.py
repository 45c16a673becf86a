"""The one parser of Med3D-R1's answers and reports, for the processor, the rewards and the evaluation. No torch.

The layout is the paper's (arXiv 2602.01200),

    <think>what the scan shows, and what follows from it</think><answer>B</answer>

and without reasoning `<answer>B</answer>`. `valid` is strict about the layout. The letter is read leniently, because
other systems write it in many ways and because a sloppy layout is punished elsewhere (the format reward); but where
two different letters stand, none is taken: a guess would be scored as if the model had made up its mind.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of the options, in order."""


@dataclass(frozen=True)
class ParsedAnswer:
    """What an output of the model says.

    Attributes:
        reasoning: text of the think block, stripped; "" where there is none.
        answer: text of the answer block, stripped; without one, what follows the reasoning, or a text without any
            tag as a whole.
        letter: the option that the answer names, or None: no letter, letters that differ, a letter that was not
            offered, or a letter beside the text of another option.
        valid: the layout holds: each tag exactly once, in order, nothing empty, only white space outside.
    """

    reasoning: str
    answer: str
    letter: str | None
    valid: bool


def parse_answer(text: str, options: Sequence[str] | None = None, think: bool = True) -> ParsedAnswer:
    """Read an output of the model, or of any other system that was asked the same question.

    Args:
        text: the decoded completion.
        options: the options' texts, A first. With them an answer may also be an option's text, and only offered
            letters count. Without them any letter does.
        think: whether reasoning was asked for, which decides the layout that is `valid`.

    >>> parse_answer("<think>Dilated airways.</think><answer>(B) Bronchiectasis</answer>").letter
    'B'
    >>> parse_answer("The answer is B or C.").letter is None
    True
    """
    reasoning, answer = _split(text)
    return ParsedAnswer(reasoning, answer, find_letter(answer, options), has_layout(text, think))


_TAGS = ("<think>", "</think>", "<answer>", "</answer>")
_TAG = re.compile("|".join(_TAGS))


def has_layout(text: str, think: bool = True) -> bool:
    """Whether the text is exactly one non-empty think block (if asked for) and one non-empty answer block, in order.

    >>> has_layout("<think>x</think>\\n<answer>A</answer>"), has_layout("<answer>A</answer> I think")
    (True, False)
    """
    if tuple(_TAG.findall(text)) != (_TAGS if think else _TAGS[2:]):
        return False
    pieces = [piece.strip() for piece in _TAG.split(text)]
    return all(pieces[1::2]) and not any(pieces[::2])


_THINK_BLOCK = re.compile(r"<think>(.*?)(?:</think>|<answer>|\Z)", re.DOTALL)
_ANSWER_BLOCK = re.compile(r"<answer>(.*?)(?:</answer>|\Z)", re.DOTALL)
_SLOPPY_TAG = re.compile(r"<\s*+(/?)\s*+(think|answer)\s*+>", re.IGNORECASE)


def _split(text: str) -> tuple[str, str]:
    """(reasoning, answer) of an output, however broken its layout is."""
    text = _SLOPPY_TAG.sub(lambda tag: f"<{tag[1]}{tag[2].lower()}>", text)
    before, closed, after = text.rpartition("</think>")
    think_block = _THINK_BLOCK.search(text)
    reasoning = think_block[1] if think_block else before if closed else ""
    # What the reasoning puts between answer tags is a part of it, where another answer follows.
    answers = _ANSWER_BLOCK.findall(after) or _ANSWER_BLOCK.findall(text)
    if answers:
        answer = "\n".join(answers)
    elif closed:
        answer = after
    else:  # an open think block was cut off before anything was answered
        answer = "" if think_block else text
    return reasoning.strip(), answer.strip()


# A letter that stands alone: no part of a word, of a contraction ("I'm") or of a compound ("B-cell").
_LETTER = r"(?<!\w)(?<!\w['-])([A-Za-z])(?!\w|['-]\w)"
_CAPITAL = _LETTER.replace("a-z", "")
_ANNOUNCED = r"\b(?i:answer|option|choice|letter|choose|select|pick)(?i:\s++(?:is|was))?+\s*+[:=]?+[\s\"'(\[{]*+"
_NEXT_WORDS = r"(?:and|or|is|are|but|not|for|since|because)\b"
_STATEMENTS = tuple(
    re.compile(pattern)
    for pattern in (
        r"\A\W*" + _LETTER + r"\s*(?:[).:,;\]}]|\Z)",  # b, "B.", b) emphysema
        r"(?<!\w)[(\[{]\s*" + _LETTER + r"\s*[)\]}]",  # (b)
        _ANNOUNCED + _LETTER + r"\s*(?:[^\w\s]|\Z)",  # the answer is b.
        _ANNOUNCED + _CAPITAL,  # option B shows
        r"\A\W*(?![AI]\b)" + _CAPITAL,  # B emphysema; but "A nodule", "I see"
        # I go for B, since. Neither article nor pronoun stands before these; nor "Kerley B lines", "type B dissection".
        _CAPITAL + r"(?=\s*(?:\Z|\n|'(?!\w)|[^\w\s'-])|\s+(?:[-\u2013\u2014]\s|[A-Z](?![\w'-])|" + _NEXT_WORDS + r"))",
    )
)
_LETTERS = r"[A-Z]\b(?:(?:\s*+,\s*+[A-Z]\b)*+\s*+,?+\s*+\b(?:and|or|nor)\s++[A-Z]\b)?"
_DENIED_LETTERS = re.compile(
    rf"(?:\b(?i:not|neither|nor|rules?\s+out|excludes?|rather\s+than|instead\s+of)|(?i:n't))\s++"
    rf"(?:(?i:options?|answers?)\s++)?{_LETTERS}"  # not A, B or C
    r"|\b[A-Z]\s++(?:is|was)(?:n't|\s++(?:not|wrong|incorrect|false|absent|excluded|unlikely|ruled))\b"  # A is absent
)
_CLAUSE = 200
"""Characters before an option's text in which its denial is looked for."""
_DENIED_BEFORE = re.compile(r"\b(?:no|not|without|absent|neither|nor|never|excluded?s?)\b[^.,;:!?\n]*\Z")
_DENIED_AFTER = re.compile(r"\s*+(?:is|are|was|were)(?:n't|\s++(?:not|absent|excluded|unlikely|ruled\s++out))\b")


def find_letter(answer: str, options: Sequence[str] | None = None) -> str | None:
    """The one option that an answer names, by its letter or else by its text.

    Args:
        answer: the answer alone, without the reasoning.
        options: the options' texts, A first.

    >>> find_letter("It is emphysema.", ["Atelectasis", "Emphysema"])
    'B'
    """
    # wide letters and digits as plain ones; Markdown's emphasis away; typographic apostrophes
    answer = re.sub(r"[*_`]+", " ", unicodedata.normalize("NFKC", answer)).replace("\u2019", "'")
    answer, named = _take_out_options(answer, options or ())
    answer = _DENIED_LETTERS.sub("denied", answer)
    stated = {letter.upper() for statement in _STATEMENTS for letter in statement.findall(answer)}
    candidates = stated or named
    if len(candidates) != 1 or (named and not candidates <= named):
        return None
    letter = candidates.pop()
    return letter if options is None or letter in LETTERS[: len(options)] else None


def _take_out_options(answer: str, options: Sequence[str]) -> tuple[str, set[str]]:
    """Replace the options' texts by a neutral word, so that letters inside them are none, and name those affirmed."""
    named = set()
    by_length = sorted(zip(LETTERS, options, strict=False), key=lambda option: -len(option[1]))
    for letter, option in by_length:  # the longest first: one text may be a part of another
        mention = _mention(option)
        for found in mention.finditer(answer) if mention else ():
            before = answer[max(0, found.start() - _CLAUSE) : found.start()].lower()
            if not (_DENIED_BEFORE.search(before) or _DENIED_AFTER.match(answer, found.end())):
                named.add(letter)
        answer = mention.sub("mentioned", answer) if mention else answer
    return answer, named


@lru_cache(maxsize=1024)
def _mention(option: str) -> re.Pattern[str] | None:
    """Where a text names an option: its words, in any case and spacing, also in the plural."""
    words = [re.escape(word) for word in re.sub(r"[*_`]+", " ", unicodedata.normalize("NFKC", option)).split()]
    if not words:
        return None
    *before, last = words
    for singular, endings in (("y", "(?:y|ies)"), ("is", "[ie]ss?"), ("", "(?:e?s)?")):  # opacities, bronchiectases
        if last.endswith(singular):
            last = last.removesuffix(singular) + endings
            break
    return re.compile(r"(?<!\w)" + r"\s+".join([*before, last]) + r"(?!\w)", re.IGNORECASE)


@dataclass(frozen=True)
class Report:
    """A radiology report.

    Attributes:
        findings, impression: the two parts; "" where the output has none.
        valid: the output had the layout that was asked for.
        text: the model's output as it is.
    """

    findings: str
    impression: str
    valid: bool
    text: str

    def to_dict(self) -> dict[str, str | bool]:
        return asdict(self)


_REPORT = re.compile(r"\s*<finding>(.+)</finding>\s*<impression>(.+)</impression>\s*", re.DOTALL)
_REPORT_TAG = re.compile(r"</?(?:finding|impression)>")


def parse_report(text: str) -> Report:
    """Read the paper's layout, `<finding>...</finding>\\n<impression>...</impression>`, also where it is broken.

    >>> parse_report("<finding>The lungs are clear.").findings
    'The lungs are clear.'
    """
    parts = [re.search(rf"<{name}>(.*?)(?:</?(?:finding|impression)>|\Z)", text, re.DOTALL)
             for name in ("finding", "impression")]  # fmt: skip
    valid = len(_REPORT_TAG.findall(text)) == 4 and _REPORT.fullmatch(text) is not None
    return Report(*(part[1].strip() if part else "" for part in parts), valid=valid, text=text)


__all__ = ["LETTERS", "ParsedAnswer", "Report", "find_letter", "has_layout", "parse_answer", "parse_report"]
