"""What can be counted in the records of MMVQA. A record is one question, asked in one way, with one scan shown.

item, volume         the question's id and the scan that it is about
condition, scan      "own" or "swapped", and the scan that was shown
think                whether reasoning was asked for
question             its words, without options
options, answer      as in the row
letter, how          the answer, and whether it was "written", is the most similar option ("fallback") or "none"
valid                the output had the layout that was asked for
prior                what the options-only guesser says
likeliest            the most probable letter, or None
confidence           of the letter: its probability, or its share of several samples; or None
scan_has_answer      whether the scan that was shown has the true abnormality, or None
affirmed, reported   what the reasoning and the scan's report affirm; None where there is no report or no reasoning
tokens, text         what was written
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..abnormalities import CT_RATE_LABELS
from ..answers_med3d_r1 import LETTERS, parse_answer
from ..metrics.statistics import (
    Calibration,
    Estimate,
    Score,
    accuracy_by_coverage,
    bootstrap_sums,
    calibration,
    paired_bootstrap,
    score_of,
)

Record = dict[str, Any]

OWN, SWAPPED = "own", "swapped"
NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Likeliest:
    """The most probable letters in place of the written ones. Attributes as in `Numbers`."""

    own: Score
    swapped: Score
    own_minus_swapped: Estimate


@dataclass(frozen=True)
class Agreement:
    """What the reasoning affirms, against what the scan's report affirms: both as `findings_in` reads them.

    Attributes:
        precision, recall, f1: over all findings of all reasonings; intervals over scans.
        affirmed: findings that a reasoning affirms on average.
        items: questions whose scan has a report.
    """

    precision: Estimate
    recall: Estimate
    f1: Estimate
    affirmed: float
    items: int


@dataclass(frozen=True)
class Numbers:
    """What was found with reasoning, or without.

    Attributes:
        own, swapped, prior: accuracies, see the top of the module.
        own_minus_swapped, own_minus_prior: paired, of the same questions.
        swapped_has_answer: share of the swapped scans that have the true abnormality too; None where labels of the
            scans were not given.
        likeliest: the answers by probability; None where the system gives none.
        invalid: own outputs that are not in the layout.
        unasked: own outputs that reason though no reasoning was asked for; where they are many, "without think" is a
            name and no fact.
        fallback: own outputs that named no option and were mapped to the most similar one.
        unanswered: own outputs that are like none either; they count as wrong.
        tokens: mean length of the own outputs; None where the system does not say.
        letters: how often each was chosen for the own scan.
        agreement: of reasoning and report; None without reasoning or without reports.
        calibration, coverage: of the probability of the chosen option, or of the share of samples that chose it.
        abnormalities: true label -> {"items", "own", "swapped"}, for labels that were asked for.
        confusion: true label -> chosen label -> how often, own scans.
    """

    own: Score
    swapped: Score
    prior: Score
    own_minus_swapped: Estimate
    own_minus_prior: Estimate
    swapped_has_answer: float | None
    likeliest: Likeliest | None
    invalid: int
    unasked: int
    fallback: int
    unanswered: int
    tokens: float | None
    letters: dict[str, int]
    agreement: Agreement | None
    calibration: Calibration | None
    coverage: list[tuple[float, float]] | None
    abnormalities: dict[str, dict[str, float]]
    confusion: dict[str, dict[str, int]]


def count_records(records: Sequence[Record], think: bool, seed: int, resamples: int) -> Numbers:
    own, swapped = (
        [record for record in records if record["think"] == think and record["condition"] == condition]
        for condition in (OWN, SWAPPED)
    )
    scans = [record["volume"] for record in own]

    def right(some: Sequence[Record], key: str) -> list[bool]:
        return [record[key] == record["answer"] for record in some]

    def difference(first: Sequence[bool], second: Sequence[bool]) -> Estimate:
        return paired_bootstrap(first, second, scans, seed=seed, resamples=resamples)

    hits, misses, prior = right(own, "letter"), right(swapped, "letter"), right(own, "prior")
    likeliest = None
    if all(record["likeliest"] for record in (*own, *swapped)):
        likely, unlikely = right(own, "likeliest"), right(swapped, "likeliest")
        likeliest = Likeliest(score_of(scans, likely), score_of(scans, unlikely), difference(likely, unlikely))
    sure = [record for record in own if record["confidence"] is not None]
    confidence, correct = [record["confidence"] for record in sure], right(sure, "letter")
    known = [record["scan_has_answer"] for record in swapped if record["scan_has_answer"] is not None]
    how = Counter(record["how"] for record in own)
    tokens = [record["tokens"] for record in own if record["tokens"] is not None]
    return Numbers(
        own=score_of(scans, hits),
        swapped=score_of(scans, misses),
        prior=score_of(scans, prior),
        own_minus_swapped=difference(hits, misses),
        own_minus_prior=difference(hits, prior),
        swapped_has_answer=sum(known) / len(known) if known else None,
        likeliest=likeliest,
        invalid=sum(not record["valid"] for record in own),
        unasked=0 if think else sum(bool(parse_answer(record["text"]).reasoning) for record in own),
        fallback=how["fallback"],
        unanswered=how["none"],
        tokens=sum(tokens) / len(tokens) if tokens else None,
        letters={letter: sum(record["letter"] == letter for record in own) for letter in LETTERS[: _most_options(own)]},
        agreement=_agreement(own, seed, resamples),
        calibration=calibration(confidence, correct) if sure else None,
        coverage=accuracy_by_coverage(confidence, correct) if sure else None,
        abnormalities=_by_abnormality(own, swapped),
        confusion=_confusion(own),
    )


def _most_options(records: Sequence[Record]) -> int:
    return max(len(record["options"]) for record in records)


def _agreement(own: Sequence[Record], seed: int, resamples: int) -> Agreement | None:
    some = [record for record in own if record["reported"] is not None]
    if not some:
        return None
    counts = np.array([overlap(record) for record in some])
    scans = [record["volume"] for record in some]

    def estimate(statistic) -> Estimate:
        return bootstrap_sums(counts, statistic, scans, seed=seed, resamples=resamples)

    return Agreement(
        precision=estimate(lambda sums: sums[:, 0] / sums[:, 1]),
        recall=estimate(lambda sums: sums[:, 0] / sums[:, 2]),
        f1=estimate(f1_of),
        affirmed=float(counts[:, 1].mean()),
        items=len(some),
    )


def overlap(record: Record) -> tuple[int, int, int]:
    """How many findings reasoning and report both affirm, the reasoning, the report."""
    affirmed, reported = {*record["affirmed"]}, {*record["reported"]}
    return len(affirmed & reported), len(affirmed), len(reported)


def f1_of(sums: np.ndarray) -> np.ndarray:
    """Of sums (n, 3) of `overlap`."""
    return 2 * sums[:, 0] / (sums[:, 1] + sums[:, 2])


def _by_abnormality(own: Sequence[Record], swapped: Sequence[Record]) -> dict[str, dict[str, float]]:
    table: dict[str, dict[str, float]] = {}
    for key, records in ((OWN, own), (SWAPPED, swapped)):
        for record in records:
            line = table.setdefault(_option(record, "answer"), {"items": 0, OWN: 0, SWAPPED: 0})
            line["items"] += key == OWN
            line[key] += record["letter"] == record["answer"]
    return {
        label: {"items": line["items"], **{key: line[key] / line["items"] for key in (OWN, SWAPPED)}}
        for label, line in sorted(table.items(), key=lambda entry: _official(entry[0]))
    }


def _confusion(own: Sequence[Record]) -> dict[str, dict[str, int]]:
    table: dict[str, Counter] = {}
    for record in own:
        chosen = _option(record, "letter") if record["letter"] else NO_ANSWER
        table.setdefault(_option(record, "answer"), Counter())[chosen] += 1
    return {true: dict(table[true]) for true in sorted(table, key=_official)}


def _option(record: Record, key: str) -> str:
    return record["options"][LETTERS.index(record[key])]


def _official(label: str) -> tuple[int, str]:
    return (CT_RATE_LABELS.index(label) if label in CT_RATE_LABELS else len(CT_RATE_LABELS)), label


__all__ = [
    "NO_ANSWER",
    "OWN",
    "SWAPPED",
    "Agreement",
    "Likeliest",
    "Numbers",
    "Record",
    "count_records",
    "f1_of",
    "overlap",
]
