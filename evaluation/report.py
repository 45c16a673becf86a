"""The report benchmark: a system writes the report of a scan, and of another patient's scan in its place.

Scores of words reward what all reports have in common: a report that was never based on a scan scores well too. So each
score stands beside that of the same system with swapped scans, and what counts is the difference, exam by exam. Beside
the words the findings are compared: the 18 labels that a report affirms (`findings_in`) against those of the data set.

    words       BLEU-1 to 4, METEOR, ROUGE-1, 2 and L, CIDEr (`metrics.reports`), BERTScore where an encoder is given
    findings    precision, recall and F1 over all labels, and CRG
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..answers_med3d_r1 import parse_report
from ..data.report_findings import label_row
from ..data.rows import Images, Row, own_paths
from ..data.scans import Scan
from ..metrics.reports import score_exams
from ..metrics.statistics import Estimate, TTest, holm, paired_bootstrap, paired_t_test
from ..prompts_med3d_r1 import report_messages
from .asking import Predictor, Question, content_hash, patient_of, swapped_scans
from .mmvqa_numbers import OWN, SWAPPED
from .protocol import library_versions, plain, write_files
from .report_findings import Findings, findings_of
from .runs import answer_all, is_main_process

VERSION = 2
"""Raised whenever the same reports would get other numbers."""

Record = dict[str, Any]


def report_rows(scans: Sequence[Scan], images: Images | None = None) -> list[Row]:
    """One row a scan that has a report: `volume`, `images`, `findings`, `impression`, `labels` (or None).

    Raises:
        ValueError: volumes cannot be read by their path alone, and `images` is not given.
    """
    reported = [scan for scan in scans if scan.report is not None]
    path_of = images or own_paths(scan.volumes[0] for scan in reported)
    return [
        {
            "volume": scan.volumes[0].name,
            "images": [path_of(scan.volumes[0])],
            "findings": scan.findings,
            "impression": scan.impression,
            "labels": None if scan.labels is None else list(scan.labels),
        }
        for scan in reported
    ]


@dataclass(frozen=True)
class ReportNumbers:
    """What was found.

    Attributes:
        own, swapped: metric -> score of the corpus, as papers print it.
        own_minus_swapped: metric -> mean difference of the exams' own scores, with its interval.
        findings, findings_swapped: None where the data set has no labels.
        invalid: own outputs that are not in the layout of a report.
        exams: how many.
    """

    own: dict[str, float]
    swapped: dict[str, float]
    own_minus_swapped: dict[str, Estimate]
    findings: Findings | None
    findings_swapped: Findings | None
    invalid: int
    exams: int


@dataclass(frozen=True)
class ReportResult:
    """A measurement.

    Attributes:
        protocol: data, predictor, seeds, versions; `hash` of all but the versions.
        records: one for each exam and shown scan: what was written, its scores, its labels. Reference texts are not in
            it: data sets do not allow to pass them on.
        corpus: condition -> metric -> score of the corpus, which is no mean of the exams' (BLEU, METEOR).
    """

    FILE: ClassVar[str] = "report.json"

    protocol: dict[str, Any]
    records: list[Record]
    corpus: dict[str, dict[str, float]]

    def of(self, condition: str) -> list[Record]:
        return [record for record in self.records if record["condition"] == condition]

    @cached_property
    def numbers(self) -> ReportNumbers:
        own, swapped = self.of(OWN), self.of(SWAPPED)
        options = {"seed": self.protocol["seed"], "resamples": self.protocol["resamples"]}
        metrics = [*own[0]["scores"]]
        return ReportNumbers(
            own=self.corpus[OWN],
            swapped=self.corpus[SWAPPED],
            own_minus_swapped={
                name: paired_bootstrap(_scores(own, name), _scores(swapped, name), **options) for name in metrics
            },
            findings=findings_of(own, **options),
            findings_swapped=findings_of(swapped, **options),
            invalid=sum(not record["valid"] for record in own),
            exams=len(own),
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON; records are left out."""
        return plain(
            {
                "benchmark": "report",
                "version": VERSION,
                "protocol": self.protocol,
                "numbers": asdict(self.numbers),
            }
        )

    def save(self, folder: str | Path) -> list[Path]:
        """Write report.json, report.md and report-records.jsonl."""
        texts = {
            self.FILE: json.dumps(self.to_dict(), indent=2) + "\n",
            "report.md": self.markdown() + "\n",
            "report-records.jsonl": "".join(json.dumps(record) + "\n" for record in self.records),
        }
        return write_files(folder, texts)

    @classmethod
    def load(cls, folder: str | Path) -> ReportResult:
        """
        Raises:
            FileNotFoundError: there is no such result.
            ValueError: another version wrote it.
        """
        path = Path(folder) / cls.FILE
        if not path.exists():
            raise FileNotFoundError(f"{folder}: no result of the report benchmark there, it has no {cls.FILE}")
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["version"] != VERSION:
            raise ValueError(
                f"{path}: of version {stored['version']} of the benchmark, this is {VERSION}: measure again"
            )
        lines = (Path(folder) / "report-records.jsonl").read_text(encoding="utf-8").splitlines()
        corpus = {condition: stored["numbers"][condition] for condition in (OWN, SWAPPED)}
        return cls(stored["protocol"], [json.loads(line) for line in lines], corpus)

    def markdown(self) -> str:
        from .tables import report_markdown

        return report_markdown(self)


class BertScore:
    """BERTScore-F1 with one encoder, see `evaluation.bertscore`.

    Args:
        model: folder or Hub id of the encoder.
        layer: whose hidden state is taken; default: the last.
    """

    def __init__(self, model: str, layer: int | None = None):
        self.model, self.layer = model, layer
        self.name = model if layer is None else f"{model}, layer {layer}"

    def __call__(self, hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
        from .bertscore import bertscore

        return bertscore(hypotheses, [[text] for text in references], self.model, layers=self.layer)


def report_questions(rows: Sequence[Row], patients: Mapping[str, str] | None = None, seed: int = 0) -> list[Question]:
    """Each exam with its own scan, then with another patient's.

    Raises:
        ValueError: one patient has more than half of the exams.
    """
    image_of = {row["volume"]: row["images"][0] for row in rows}
    partners = swapped_scans({volume: (patients or {}).get(volume, patient_of(volume)) for volume in image_of}, seed)
    return [
        Question(row["volume"], scan, image_of[scan], report_messages(), (), False)
        for row in rows
        for scan in (row["volume"], partners[row["volume"]])
    ]


def evaluate_reports(
    predictor: Predictor,
    rows: Sequence[Row],
    *,
    facts: Mapping[str, Any] | None = None,
    patients: Mapping[str, str] | None = None,
    scorers: Mapping[str, Any] | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    folder: str | Path | None = None,
    progress: bool = False,
) -> ReportResult:
    """Let a system write the report of each exam, with its own scan and with another's, and score both.

    Args:
        rows: of `report_rows`.
        scorers: further metrics, name -> (hypotheses, references) -> one fraction of 1 each, with a `name` for the
            protocol: "bert_score" (`BertScore`), "llm_score" (`judge.ReportJudge`).
        facts, patients, seed, resamples, folder, progress: as in `evaluate_mmvqa`.

    Raises:
        ValueError: there are no rows, they cannot be swapped, or as in `answer_all`.
        ImportError: the libraries of the metrics are not installed.
    """
    if len(rows) < 2:
        raise ValueError(f"a corpus of reports has two exams or more; there are {len(rows)}")
    scorers = scorers or {}
    protocol = _protocol(predictor, rows, facts or {}, scorers, seed, resamples)
    folder = Path(folder) if folder is not None else None
    questions = report_questions(rows, patients, seed)
    outputs = answer_all(predictor, questions, folder=folder, progress=progress)
    records, corpus = [], {}
    for condition, part in ((OWN, slice(0, None, 2)), (SWAPPED, slice(1, None, 2))):
        texts = [output.texts[0] for output in outputs[part]]
        shown = [question.scan for question in questions[part]]
        of_condition, corpus[condition] = _scored(rows, texts, shown, condition, scorers)
        records += of_condition
    result = ReportResult(protocol, records, corpus)
    if folder is not None and is_main_process():
        result.save(folder)
    return result


def _protocol(predictor, rows, facts, scorers, seed, resamples) -> dict[str, Any]:
    contents = [[row["volume"], row["findings"], row["impression"]] for row in rows]
    protocol = {
        "data": {**facts, "exams": len(rows), "sha256": content_hash(contents)},
        "seed": seed,
        "resamples": resamples,
        "scorers": {metric: scorer.name for metric, scorer in scorers.items()},
        "predictor": predictor.describe(),
    }
    return {**protocol, "hash": content_hash([protocol]), "versions": library_versions()}


def _scored(
    rows: Sequence[Row], texts: Sequence[str], shown: Sequence[str], condition: str, scorers: Mapping[str, Any]
) -> tuple[list[Record], dict[str, float]]:
    """The records of one condition, and the scores of the corpus."""
    parsed = [parse_report(text) for text in texts]
    said = [_joined(report.findings, report.impression) or report.text for report in parsed]
    known = [_joined(row["findings"], row["impression"]) for row in rows]
    corpus, each = score_exams(said, [[text] for text in known])
    for metric, scorer in scorers.items():
        each[metric] = [float(score) for score in scorer(said, known)]
        corpus[metric] = float(np.mean(each[metric]))
    records = [
        {
            "item": row["volume"],
            "condition": condition,
            "scan": scan,
            "valid": report.valid,
            "scores": {name: round(scores[place], 6) for name, scores in each.items()},
            "labels": row["labels"],
            "said_labels": list(label_row(text)),
            "text": report.text,
        }
        for place, (row, scan, report, text) in enumerate(zip(rows, shown, parsed, said, strict=True))
    ]
    return records, corpus


def _joined(findings: str, impression: str) -> str:
    return "\n".join(filter(None, (findings, impression)))


def _scores(records: Sequence[Record], name: str) -> list[float]:
    return [record["scores"][name] for record in records]


@dataclass(frozen=True)
class MetricDifference:
    """Of one metric, second result minus first.

    Attributes:
        estimate: mean difference of the exams' scores with its interval.
        test: the paired t-test of the paper's table 2.
        p_holm: its p-value, corrected for all metrics that are compared.
    """

    estimate: Estimate
    test: TTest
    p_holm: float


def compare_reports(first: ReportResult, second: ReportResult) -> dict[str, MetricDifference]:
    """Metric -> how the second result differs: an ablation from the full model, say.

    Raises:
        ValueError: the results are of different exams.
    """
    if first.protocol["data"]["sha256"] != second.protocol["data"]["sha256"]:
        raise ValueError("the two results are of different exams: measure both on the same rows")
    before, after = first.of(OWN), second.of(OWN)
    shared = [name for name in before[0]["scores"] if name in after[0]["scores"]]
    options = {"seed": first.protocol["seed"], "resamples": first.protocol["resamples"]}
    pairs = {name: (_scores(after, name), _scores(before, name)) for name in shared}
    tests = {name: paired_t_test(*pair) for name, pair in pairs.items()}
    corrected = holm({name: test.p for name, test in tests.items()})
    return {
        name: MetricDifference(paired_bootstrap(*pairs[name], **options), tests[name], corrected[name])
        for name in shared
    }


__all__ = [
    "VERSION",
    "BertScore",
    "MetricDifference",
    "ReportNumbers",
    "ReportResult",
    "compare_reports",
    "evaluate_reports",
    "report_questions",
    "report_rows",
]
