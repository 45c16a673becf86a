"""The radiology report of a synthetic chest, and exactly which of its sentences are abnormal.

style="free"   many phrasings, negations, uncertainty, lists of what is not there, incidental findings. Sentences go
               region by region, but normal ones tend to come first, as the paper (arXiv 2602.01200) found in CT-RATE.
style="plain"  eleven regions in a fixed order, one sentence each, with the abnormalities' own names; then a numbered
               impression. For language models that are too small for more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ...abnormalities import CT_RATE_LABELS
from .chest import Chest
from .finding import Finding
from .phrases import (
    BOTH_CALCIFICATIONS,
    CLEAR_LUNGS,
    CLINICAL_INFORMATION,
    DENIAL_LISTS,
    DENIALS,
    HARMLESS_DENIALS,
    INCIDENTAL,
    NORMAL_IMPRESSIONS,
    NORMAL_SURROUNDINGS,
    PHRASES,
    PLAIN_REGIONS,
    REASSURANCES,
)
from .wording import enumeration, fill, fitting, measure, slots_of

STYLES = ("free", "plain")

_REPORT_STREAM = 7
_REGIONS = (
    ("Peribronchial thickening", "Bronchiectasis"), ("Lymphadenopathy",), ("Cardiomegaly",), ("Pericardial effusion",),
    ("Arterial wall calcification",), ("Coronary artery wall calcification",), ("Hiatal hernia",), ("thyroid nodule",),
    ("Emphysema", "Mosaic attenuation pattern", "Interlobular septal thickening"),
    ("Lung nodule", "Lung opacity", "Consolidation", "Atelectasis", "Pulmonary fibrotic sequela"),
    ("Pleural effusion",), ("hepatic cyst",), ("vertebral osteophytes",), ("Medical material",),
)  # fmt: skip
"""The order in which a free report goes over the chest."""

_PLACE = {name: place for place, names in enumerate(_REGIONS) for name in names}
_OF_LUNGS = {*_REGIONS[8], *_REGIONS[9]}
_ALWAYS_MENTIONED = {"Cardiomegaly", "Lymphadenopathy", "Pleural effusion", "Peribronchial thickening"}
_INCIDENTAL_MM = {"hepatic cyst": 26.0, "thyroid nodule": 18.0, "vertebral osteophytes": 6.0}

_NORMAL_FIRST = 0.55
"""Shares of a report by which an abnormal sentence moves down from its region's place."""

_SHUFFLE, _MENTIONED, _UNCERTAIN, _NO_SPACE, _NUMBERED = 0.16, 0.55, 0.12, 0.02, 0.3


@dataclass(frozen=True)
class Sentence:
    """One sentence of a report.

    Attributes:
        section: "findings" or "impression".
        start, end: [start, end) in characters of the section.
        text: what stands there.
        abnormal: whether it tells of anything that is not normal, one of the 18 or not.
        labels: the abnormalities that it says are there.
    """

    section: str
    start: int
    end: int
    text: str
    abnormal: bool
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """A report in CT-RATE's four fields, and its sentences."""

    clinical_information: str
    technique: str
    findings: str
    impression: str
    sentences: tuple[Sentence, ...]

    def abnormal_spans(self, section: str) -> list[tuple[int, int]]:
        """[start, end) of the abnormal sentences of "findings" or "impression"."""
        return [(s.start, s.end) for s in self.sentences if s.section == section and s.abnormal]


@dataclass(frozen=True)
class _Draft:
    """A sentence without a place."""

    text: str
    labels: tuple[str, ...] = ()
    abnormal: bool = False


def write_report(chest: Chest, style: str = "free") -> Report:
    """The report of a chest; always the same for the same seed, whatever the reconstruction.

    Raises:
        ValueError: there is no such style.
    """
    if style not in STYLES:
        raise ValueError(f"style is one of {', '.join(STYLES)}; got {style!r}")
    rng = np.random.default_rng((chest.seed, _REPORT_STREAM))
    if style == "plain":
        findings, impression, numbered, squeeze = _plain_findings(chest), _plain_impression(chest), True, 0.0
    else:
        findings, impression = _free_findings(chest, rng), _free_impression(chest, rng)
        numbered, squeeze = bool(rng.random() < _NUMBERED), _NO_SPACE
    findings_text, of_findings = _joined("findings", findings, rng, squeeze=squeeze)
    impression_text, of_impression = _joined("impression", impression, rng, numbered=numbered)
    return Report(
        clinical_information=str(rng.choice(CLINICAL_INFORMATION)),
        technique=_technique(chest, rng),
        findings=findings_text,
        impression=impression_text,
        sentences=(*of_findings, *of_impression),
    )


def _joined(
    section: str, drafts: Iterable[_Draft], rng: np.random.Generator, *, numbered: bool = False, squeeze: float = 0.0
) -> tuple[str, list[Sentence]]:
    """A section's text and its sentences. A few lack the space after the stop before, as in dictated reports."""
    text, sentences = "", []
    for number, draft in enumerate(drafts, start=1):
        if text and not (rng.random() < squeeze and text[-2].isalpha()):
            text += " "
        text += f"{number}. " if numbered else ""
        start, text = len(text), text + draft.text
        sentences.append(Sentence(section, start, len(text), draft.text, draft.abnormal, draft.labels))
    return text, sentences


def _technique(chest: Chest, rng: np.random.Generator) -> str:
    thickness = f"{chest.scanner.spacing[0]:.1f} mm"
    contrast = "with intravenous contrast agent" if chest.body.contrast else "without contrast agent"
    return str(
        rng.choice(
            [
                f"Chest CT was performed {contrast}. Axial slices of {thickness} were reconstructed.",
                f"CT of the chest {contrast}, slice thickness {thickness}.",
                f"Axial images of the chest were obtained {contrast} with a slice thickness of {thickness}.",
            ]
        )
    )


def _plain_findings(chest: Chest) -> list[_Draft]:
    drafts = []
    for labels, normal in PLAIN_REGIONS:
        there = tuple(label for label in labels if chest.labels[label])
        names = enumeration([label.lower() for label in there]) if there else ""
        drafts.append(_Draft(f"There is {names}.", there, True) if there else _Draft(normal))
    return drafts


def _plain_impression(chest: Chest) -> list[_Draft]:
    there = [_Draft(f"{label}.", (label,), True) for label in CT_RATE_LABELS if chest.labels[label]]
    return there or [_Draft("Normal chest.")]


def _free_findings(chest: Chest, rng: np.random.Generator) -> list[_Draft]:
    """(draft, region) for everything that is said, put in order."""
    said = [(draft, _PLACE[name]) for name, draft in (*_abnormal(chest, rng), *_normal(chest, rng))]
    share = 1 / len(_REGIONS)
    keys = [place * share + _NORMAL_FIRST * draft.abnormal + rng.normal(0, _SHUFFLE) for draft, place in said]
    return [said[index][0] for index in np.argsort(keys)]


def _abnormal(chest: Chest, rng: np.random.Generator):
    """(name, draft) of what is wrong."""
    findings = {finding.label: finding for finding in chest.findings}
    pair = ("Arterial wall calcification", "Coronary artery wall calcification")
    if findings.keys() >= {*pair} and rng.random() < 0.3:
        yield pair[0], _Draft(str(rng.choice(BOTH_CALCIFICATIONS)), pair, True)
        findings = {label: finding for label, finding in findings.items() if label not in pair}
    for label, finding in findings.items():
        yield label, _Draft(_sentence(finding, rng), (label,), True)
    for name in chest.body.incidentals:
        slots = {"size": measure(chest.body.millimetres(_INCIDENTAL_MM[name]), rng)}
        yield name, _Draft(fill(str(rng.choice(INCIDENTAL[name])), slots), (), True)


def _sentence(finding: Finding, rng: np.random.Generator) -> str:
    phrases, slots = PHRASES[finding.label], slots_of(finding, rng)
    if rng.random() < 2 * _UNCERTAIN * (1 - finding.severity):
        templates = phrases.uncertain
    else:
        templates = phrases.several if finding.count > 1 and phrases.several else phrases.present
    return fill(str(rng.choice(fitting(templates, slots))), slots)


def _normal(chest: Chest, rng: np.random.Generator):
    """(name, draft) of what is not wrong; not all of it is said."""
    absent = [label for label in CT_RATE_LABELS if not chest.labels[label]]
    if {*absent} >= _OF_LUNGS and rng.random() < 0.8:
        yield "Lung nodule", _Draft(str(rng.choice(CLEAR_LUNGS)))
    listed: list[str] = []
    deniable = [label for label in absent if label in DENIALS]
    if len(deniable) > 1 and rng.random() < 0.6:
        listed = [deniable[index] for index in rng.permutation(len(deniable))[: rng.integers(2, 4)]]
        names = [*(DENIALS[label] for label in listed), str(rng.choice(HARMLESS_DENIALS))]
        rng.shuffle(names)
        yield listed[0], _Draft(fill(str(rng.choice(DENIAL_LISTS)), {"list": enumeration(names, "or")}))
    for label in absent:
        if label not in listed and (label in _ALWAYS_MENTIONED or rng.random() < _MENTIONED):
            yield label, _Draft(str(rng.choice(PHRASES[label].absent)))
    for name, sentences in NORMAL_SURROUNDINGS.items():
        if name not in chest.body.incidentals and rng.random() < _MENTIONED:
            yield name, _Draft(str(rng.choice(sentences)))


def _free_impression(chest: Chest, rng: np.random.Generator) -> list[_Draft]:
    """The abnormalities, gravest first; then now and then what could be feared and is not there."""
    drafts = []
    for finding in sorted(chest.findings, key=lambda finding: -finding.severity):
        slots = slots_of(finding, rng)
        text = fill(str(rng.choice(fitting(PHRASES[finding.label].concluded, slots))), slots)
        drafts.append(_Draft(text, (finding.label,), True))
    if not drafts:
        return [_Draft(str(rng.choice(NORMAL_IMPRESSIONS)))]
    calm = [sentence for label, sentence in REASSURANCES.items() if not chest.labels[label]]
    if calm and rng.random() < 0.25:
        drafts.append(_Draft(str(rng.choice(calm))))
    return drafts


__all__ = ["STYLES", "Report", "Sentence", "write_report"]
