"""Radiology reports as training text: their sentences, which of them are abnormal, and the target that is learnt.

The target has the paper's layout (arXiv 2602.01200),

    <finding>sentences</finding>
    <impression>sentences</impression>

and carries the character spans of its abnormal sentences, whose tokens the first stage weighs higher (equation 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .sentence_llm import LLMLabeller
from .sentence_rules import label_sentence
from .sentence_spans import split_sentences

LABELS = ("normal", "abnormal")
SECTIONS = ("finding", "impression")

Labeller = str | Callable[[list[str]], list[str]]
Annotation = dict[str, list[dict[str, str]]]
"""A report in the authors' layout: {"finding": [{"text": sentence, "type": label}, ...], "impression": [...]}."""


@dataclass(frozen=True)
class ReportTarget:
    """What the model learns to write for a scan.

    Attributes:
        text: the report in the layout above. A section that was not given is empty.
        abnormal_spans: [start, end) of each abnormal sentence, in characters of `text`, in order.
    """

    text: str
    abnormal_spans: list[list[int]]


def label_sentences(sentences: Sequence[str], labeller: Labeller = "rules", **options: Any) -> list[str]:
    """ "normal" or "abnormal" for each sentence.

    Args:
        labeller: "rules" (`data.sentence_rules`), which need no key; "llm" for a new `LLMLabeller`, which asks a server
            and sends nothing unless the options confirm it; or a function such as an `LLMLabeller`.
        options: those of `LLMLabeller`, for "llm" alone.

    >>> label_sentences(["No effusion.", "There is a nodule."])
    ['normal', 'abnormal']
    """
    if labeller == "llm":
        labeller = LLMLabeller(**options)
    elif options:
        raise ValueError(f"options ({', '.join(options)}) are for labeller='llm', not for {labeller!r}")
    if labeller == "rules":
        return [label_sentence(sentence) for sentence in sentences]
    if isinstance(labeller, str):
        raise ValueError(f"unknown labeller {labeller!r}: use 'rules', 'llm' or a function")
    labels = labeller(list(sentences))
    if len(labels) != len(sentences) or not set(labels) <= set(LABELS):
        raise ValueError(f"the labeller must give one of {LABELS} for each of {len(sentences)} sentences")
    return labels


def given_text(field: object) -> str:
    """A report field's text, or "" for what stands where there is none: CT-RATE's "Not given.", an empty cell, NaN."""
    text = field.strip() if isinstance(field, str) else ""
    return "" if text.rstrip(".").lower() == "not given" else text


def annotate_reports(reports: Iterable[tuple[object, object]], labeller: Labeller = "rules") -> list[Annotation]:
    """Divide reports into sentences and label these, all in one call of the labeller.

    Args:
        reports: (findings, impression) of each, as they stand in the tables: "Not given." is understood.
        labeller: as in `label_sentences`.
    """
    sectioned = [
        {section: _sentences(given_text(field)) for section, field in zip(SECTIONS, report, strict=True)}
        for report in reports
    ]
    flat = [sentence for report in sectioned for sentences in report.values() for sentence in sentences]
    labels = iter(label_sentences(flat, labeller))
    return [
        {
            section: [{"text": sentence, "type": next(labels)} for sentence in sentences]
            for section, sentences in report.items()
        }
        for report in sectioned
    ]


def target_of(annotation: Annotation) -> ReportTarget:
    """The target of an annotated report, such as `annotate_reports` or the authors' own files give it.

    Raises:
        ValueError: a section is missing, a type is not one of `LABELS`, or there is not a single sentence.

    >>> target_of({"finding": [{"text": "A nodule.", "type": "abnormal"}], "impression": []})
    ReportTarget(text='<finding>A nodule.</finding>\\n<impression></impression>', abnormal_spans=[[9, 18]])
    """
    if absent := [section for section in SECTIONS if section not in annotation]:
        raise ValueError(f"an annotated report has the sections {SECTIONS}, this one lacks {', '.join(absent)}")
    text, spans = "", []
    for section in SECTIONS:
        text += f"\n<{section}>" if text else f"<{section}>"
        for position, sentence in enumerate(annotation[section]):
            if sentence["type"] not in LABELS:
                raise ValueError(f"a sentence's type is one of {LABELS}, not {sentence['type']!r}")
            text += " " * (position > 0)
            if sentence["type"] == "abnormal":
                spans.append([len(text), len(text) + len(sentence["text"])])
            text += sentence["text"]
        text += f"</{section}>"
    if not any(annotation[section] for section in SECTIONS):
        raise ValueError("a report without a single sentence has no target: leave it out")
    return ReportTarget(text, spans)


def report_target(findings: object, impression: object, labeller: Labeller = "rules") -> ReportTarget:
    """The target of one report. For many, `annotate_reports` asks the labeller once.

    Raises:
        ValueError: neither findings nor impression are given.

    >>> report_target("The heart is normal. There is a nodule.", "Not given.").abnormal_spans
    [[30, 48]]
    """
    return target_of(annotate_reports([(findings, impression)], labeller)[0])


def _sentences(text: str) -> list[str]:
    """The sentences of a section, each on one line."""
    return [" ".join(text[start:end].split()) for start, end in split_sentences(text)]


__all__ = [
    "LABELS",
    "Annotation",
    "ReportTarget",
    "annotate_reports",
    "given_text",
    "label_sentences",
    "report_target",
    "split_sentences",
    "target_of",
]
