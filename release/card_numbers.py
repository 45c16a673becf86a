"""The evaluation on a model card: every number beside its controls, with the way it was measured and its file."""

from __future__ import annotations

from collections.abc import Sequence

from ..evaluation.mmvqa import MmvqaResult
from ..evaluation.report import ReportResult
from ..evaluation.tables import percent, points, share, table
from .evidence import Evidence
from .markdown import text_table

_WAYS = {True: "with think", False: "without think"}
NOTHING = (
    "This model was not measured, or its results were not given: this card has no number about how well it answers."
)


def evaluation_text(evidence: Sequence[Evidence]) -> list[str]:
    """Paragraphs for all results of a release."""
    if not evidence:
        return [NOTHING]
    mmvqa = [one for one in evidence if isinstance(one.result, MmvqaResult)]
    reports = [one for one in evidence if isinstance(one.result, ReportResult)]
    return [*_mmvqa(mmvqa), *_reports(reports), *_protocols(evidence)]


def calibration_is_known(evidence: Sequence[Evidence]) -> bool:
    """Whether a result says how often the model is right when it is so and so sure."""
    choices = [one.result for one in evidence if isinstance(one.result, MmvqaResult)]
    return any(numbers.calibration is not None for result in choices for numbers in result.numbers.values())


def _mmvqa(evidence: Sequence[Evidence]) -> list[str]:
    if not evidence:
        return []
    scores, details = [], []
    for one in evidence:
        for think, numbers in one.result.numbers.items():
            way = (
                f"[{one.name}]({one.path.replace('.json', '.md')}), {one.data.get('distractors', 'any')} distractors, "
            )
            way += _WAYS[think]
            scores.append(
                [
                    way,
                    percent(numbers.own),
                    percent(numbers.swapped),
                    points(numbers.own_minus_swapped),
                    percent(numbers.prior),
                    f"{numbers.own.items:,} / {numbers.own.volumes:,}",
                ]
            )
            details.append(
                [
                    way,
                    f"{numbers.invalid / numbers.own.items:.1%}",
                    f"{numbers.fallback:,}",
                    f"{numbers.unanswered:,}",
                    "" if numbers.calibration is None else f"{numbers.calibration.error:.3f}",
                    "" if numbers.agreement is None else share(numbers.agreement.f1),
                ]
            )
    return [
        "### Multiple choice: which of four abnormalities does the scan have?",
        table(
            ["accuracy, %", "own scan", "swapped scan", "own - swapped", "options alone", "questions / scans"], scores
        ),
        "95 % intervals, over scans. Swapped: the same questions with the scan of another patient; a model that "
        "looks at the scan does better with the own one. Options alone: a guesser that was fitted to questions of "
        "the training split and sees no scan; an accuracy that is not above it shows nothing. Chance is 25 %.",
        table(
            ["", "not in the layout", "mapped to an option", "no answer", "ECE", "reasoning against report, F1"],
            details,
        ),
        "An output that names no option is counted as the option that it is most like; how often is in the table. The "
        "last column compares the findings that the reasoning affirms with those of the scan's report.",
    ]


def _reports(evidence: Sequence[Evidence]) -> list[str]:
    if not evidence:
        return []
    metrics = list(evidence[0].result.numbers.own)
    rows, findings = [], []
    for one in evidence:
        numbers = one.result.numbers
        link = f"[{one.name}]({one.path.replace('.json', '.md')}), {numbers.exams:,} exams"
        for way, scores in (("own scan", numbers.own), ("swapped scan", numbers.swapped)):
            rows.append(
                [f"{link}, {way}", *(f"{100 * scores[name]:.2f}" if name in scores else "" for name in metrics)]
            )
        differences = {name: points(estimate) for name, estimate in numbers.own_minus_swapped.items()}
        rows.append([f"{link}, own - swapped, exam by exam", *(differences.get(name, "") for name in metrics)])
        for way, found in (("own scan", numbers.findings), ("swapped scan", numbers.findings_swapped)):
            if found is not None:
                cells = [share(estimate) for estimate in (found.precision, found.recall, found.f1, found.crg)]
                findings.append([f"{link}, {way}", *cells])
    paragraphs = [
        "### Reports",
        table(["score x 100", *(metric.upper().replace("_", "-") for metric in metrics)], rows),
        "Scores of words reward what all reports have in common: only the difference between own and swapped scans "
        "comes from looking. Differences are means over exams, with 95 % intervals; the other scores are of the "
        "corpus.",
    ]
    return [*paragraphs, *([table(["findings", "precision", "recall", "F1", "CRG"], findings)] if findings else [])]


def _protocols(evidence: Sequence[Evidence]) -> list[str]:
    rows = []
    for one in evidence:
        protocol, data = one.result.protocol, one.data
        predictor, generation = protocol["predictor"], protocol["predictor"]["generation"]
        drawn = "greedy" if generation["samples"] == 1 else f"majority of {generation['samples']}"
        rows.append(
            [
                f"[{one.path}]({one.path})",
                data_text(data),
                predictor["dtype"],
                f"{drawn}, at most {generation['max_new_tokens']} tokens",
                f"seed {protocol['seed']}",
                f"`{protocol['hash'][:16]}`",
            ]
        )
    return [
        "### How they were measured",
        "By `med3d-r1 evaluate`, with the weights of this repository: each result holds their hash, and a release "
        "refuses results of others. The files have everything that is needed to repeat the measurement, hashes of "
        "the questions included; answers to single questions are not published, because they name scans of a data "
        "set.",
        text_table(["file", "data", "dtype", "answers", "questions and intervals", "protocol"], rows),
    ]


def data_text(data: dict) -> str:
    """What a result was measured on, in words.

    >>> data_text({"dataset": "ct-rate", "split": "validation", "scans": 200})
    'CT-RATE, split validation'
    >>> data_text({"dataset": "ct-rate", "split": "validation", "synthetic": {"seed": 1, "style": "plain"}})
    'synthetic patients in the layout of CT-RATE (seed 1, style plain), split validation'
    """
    name = {"ct-rate": "CT-RATE", "rad-chestct": "RAD-ChestCT"}.get(data.get("dataset"), data.get("dataset", "unnamed"))
    made = data.get("synthetic")
    if made is not None:
        told = ", ".join(f"{key} {made[key]}" for key in ("seed", "style") if key in made)
        name = f"synthetic patients in the layout of {name}" + (f" ({told})" if told else "")
    return name + (f", split {data['split']}" if data.get("split") else "")


__all__ = ["NOTHING", "calibration_is_known", "data_text", "evaluation_text"]
