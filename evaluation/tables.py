"""Results as Markdown tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..metrics.statistics import Estimate, Score

if TYPE_CHECKING:
    from .comparisons import ComparedMmvqa, Comparisons
    from .mmvqa import MmvqaResult
    from .mmvqa_numbers import Numbers
    from .report import MetricDifference, ReportResult
    from .report_findings import Findings

_WAYS = {True: "with think", False: "without think"}


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; all columns but the first are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def percent(score: Score) -> str:
    """
    >>> percent(Score(0.4192, 0.3851, 0.4541, 800, 400))
    '41.9 [38.5, 45.4]'
    """
    return f"{100 * score.accuracy:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]"


def points(difference: Estimate) -> str:
    """A difference of shares in percentage points.

    >>> points(Estimate(0.1234, 0.1, 0.15, 800, 400))
    '+12.3 [+10.0, +15.0]'
    """
    return f"{100 * difference.value:+.1f} [{100 * difference.low:+.1f}, {100 * difference.high:+.1f}]"


def share(estimate: Estimate) -> str:
    """
    >>> share(Estimate(0.5, 0.4, 0.6, 10, 10))
    '.500 [.400, .600]'
    """
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]".replace("0.", ".")


def mmvqa_markdown(result: MmvqaResult) -> str:
    """Accuracies beside their controls, then what else is to be known, then the labels one by one."""
    data, predictor = result.protocol["data"], result.protocol["predictor"]
    name = predictor.get("name") or predictor["kind"]
    told = ", ".join(f"{key} {data[key]}" for key in ("dataset", "split", "distractors", "draw") if key in data)
    told += _of_whom(data)
    accuracies, details = [], []
    for think, numbers in result.numbers.items():
        way = _WAYS[think]
        accuracies.append(_accuracy_row(way, numbers.own, numbers.swapped, numbers, numbers.own_minus_swapped))
        if likeliest := numbers.likeliest:
            way_by_letter = f"{way}, most probable letter"
            accuracies.append(
                _accuracy_row(way_by_letter, likeliest.own, likeliest.swapped, numbers, likeliest.own_minus_swapped)
            )
        details.append(_detail_row(way, numbers))
    paragraphs = [
        f"# MMVQA: {name}",
        f"{data['items']:,} questions on {data['scans']:,} scans{'; ' + told if told else ''}. Accuracies in %, with "
        "95 % intervals over scans. Swapped: the same questions with the scan of another patient. Options alone: a "
        f"guesser fitted to {result.protocol['options_only_prior']['fitted_to']:,} questions of the training split.",
        table(["", "own scan", "swapped scan", "own - swapped", "options alone"], accuracies),
        table(
            ["", "not in the layout", "mapped to an option", "no answer", "tokens", "ECE", "think against report, F1"],
            details,
        ),
        *(_unasked_note(numbers) for numbers in result.numbers.values()),
        *(_swapped_note(numbers) for numbers in list(result.numbers.values())[:1]),
        *(f"## {_WAYS[think].capitalize()}\n\n{_by_label(numbers)}" for think, numbers in result.numbers.items()),
        f"Protocol {result.protocol['hash'][:16]}, fallback {result.protocol['fallback']}, seed "
        f"{result.protocol['seed']}; everything else stands in mmvqa.json.",
    ]
    return "\n\n".join(filter(None, paragraphs))


def _of_whom(data: Mapping[str, Any]) -> str:
    return ", synthetic patients" if data.get("synthetic") is not None else ""


def _accuracy_row(way: str, own: Score, swapped: Score, numbers: Numbers, difference: Estimate) -> list[str]:
    return [way, percent(own), percent(swapped), points(difference), percent(numbers.prior)]


def _detail_row(way: str, numbers: Numbers) -> list[str]:
    agreement = numbers.agreement
    return [
        way,
        f"{numbers.invalid / numbers.own.items:.1%}",
        f"{numbers.fallback:,}",
        f"{numbers.unanswered:,}",
        "" if numbers.tokens is None else f"{numbers.tokens:.1f}",
        "" if numbers.calibration is None else f"{numbers.calibration.error:.3f}",
        "" if agreement is None else share(agreement.f1),
    ]


def _unasked_note(numbers: Numbers) -> str:
    if not numbers.unasked:
        return ""
    return (
        f"Without think, {numbers.unasked:,} of {numbers.own.items:,} outputs reason all the same. That line says "
        "what was asked for, not what was done."
    )


def _swapped_note(numbers: Numbers) -> str:
    if numbers.swapped_has_answer is None:
        return ""
    return (
        f"{numbers.swapped_has_answer:.1%} of the swapped scans have the true abnormality too: there a right answer is "
        "no mistake, so own - swapped is less than what the scan adds."
    )


def _by_label(numbers: Numbers) -> str:
    rows = [
        [label, f"{line['items']:,}", f"{100 * line['own']:.1f}", f"{100 * line['swapped']:.1f}"]
        for label, line in numbers.abnormalities.items()
    ]
    return table(["true abnormality", "questions", "own scan", "swapped scan"], rows)


def comparisons_markdown(comparisons: Comparisons) -> str:
    """Each result minus the first, with the tests and what they rest on."""
    paragraphs = [f"# Against {comparisons.first}"]
    if comparisons.mmvqa:
        own = comparisons.mmvqa[0].comparison.own
        paragraphs += [
            "## MMVQA",
            f"{own.items:,} questions on {own.clusters:,} scans, the same for all. Percentage points: each minus "
            f"{comparisons.first}, with 95 % intervals over scans. Won : lost are questions that one of the two alone "
            "has right, with its own scan; McNemar's test takes them as independent, which questions on one scan are "
            f"not, so the interval is the one to believe. Holm's correction is over {len(comparisons.mmvqa)} tests.",
            _mmvqa_comparisons(comparisons.mmvqa),
        ]
    tests = sum(map(len, comparisons.reports.values()))
    for name, differences in comparisons.reports.items():
        exams = next(iter(differences.values())).test.items
        paragraphs += [
            f"## Reports: {name}",
            f"{exams:,} exams. Mean of {name} minus {comparisons.first} over exams, times 100, with 95 % intervals; "
            f"paired t-tests; Holm's correction is over {tests} tests.",
            differences_markdown(differences),
        ]
    return "\n\n".join(paragraphs)


def _mmvqa_comparisons(compared: Sequence[ComparedMmvqa]) -> str:
    rows = []
    for one in compared:
        found, test = one.comparison, one.comparison.mcnemar
        rows.append(
            [
                f"{one.second}, {_WAYS[one.think]}",
                points(found.own),
                points(found.own_minus_swapped),
                "" if found.f1 is None else points(found.f1),
                f"{test.only_first:,} : {test.only_second:,}",
                f"{test.p:.2g}",
                f"{one.p_holm:.2g}",
            ]
        )
    header = ["", "own scan", "own - swapped", "think against report, F1", "won : lost", "p (McNemar)", "p (Holm)"]
    return table(header, rows)


METRICS = {
    "bleu_1": "BLEU-1",
    "bleu_2": "BLEU-2",
    "bleu_3": "BLEU-3",
    "bleu_4": "BLEU-4",
    "meteor": "METEOR",
    "rouge_1": "ROUGE-1",
    "rouge_2": "ROUGE-2",
    "rouge_l": "ROUGE-L",
    "cider": "CIDEr",
    "bert_score": "BERTScore-F1",
    "llm_score": "LLM score",
}
"""Name of a metric here -> in print, in the order of the paper's table 2."""


def report_markdown(result: ReportResult) -> str:
    """The paper's table 2 for one system, each score beside that of swapped scans."""
    numbers, data = result.numbers, result.protocol["data"]
    name = result.protocol["predictor"].get("name") or result.protocol["predictor"]["kind"]
    told = ", ".join(f"{key} {data[key]}" for key in ("dataset", "split") if key in data)
    told += _of_whom(data)
    metrics = [metric for metric in METRICS if metric in numbers.own]
    rows = [
        ["own scan", *(f"{100 * numbers.own[metric]:.2f}" for metric in metrics)],
        ["swapped scan", *(f"{100 * numbers.swapped[metric]:.2f}" for metric in metrics)],
        ["own - swapped, exam by exam", *(points(numbers.own_minus_swapped[metric]) for metric in metrics)],
    ]
    paragraphs = [
        f"# Reports: {name}",
        f"{numbers.exams:,} exams{'; ' + told if told else ''}; {numbers.invalid:,} reports are not in the layout that "
        "was asked for. Scores of the corpus times 100, as papers print them; differences are means over exams, with "
        "95 % intervals.",
        table(["", *(METRICS[metric] for metric in metrics)], rows),
    ]
    if numbers.findings is not None:
        found = [("own scan", numbers.findings), ("swapped scan", numbers.findings_swapped)]
        header = ["findings", "precision", "recall", "F1", "CRG"]
        paragraphs.append(table(header, [[way, *_finding_cells(one)] for way, one in found]))
        paragraphs.append(_findings_by_label(numbers.findings))
    paragraphs.append(f"Protocol {result.protocol['hash'][:16]}; everything else stands in report.json.")
    return "\n\n".join(paragraphs)


def _finding_cells(findings: Findings) -> list[str]:
    return [share(one) for one in (findings.precision, findings.recall, findings.f1, findings.crg)]


def _findings_by_label(findings: Findings) -> str:
    rows = [
        [label, f"{score.true:,}", f"{score.said:,}", *map(_or_nothing, (score.precision, score.recall, score.f1))]
        for label, score in findings.labels.labels.items()
    ]
    return table(["abnormality", "exams with it", "reports with it", "precision", "recall", "F1"], rows)


def _or_nothing(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def differences_markdown(differences: Mapping[str, MetricDifference]) -> str:
    """Metric by metric: the second result minus the first."""
    rows = [
        [
            METRICS[metric],
            points(one.estimate),
            f"{one.test.t:.2f}",
            f"{one.test.p:.2g}",
            f"{one.p_holm:.2g}",
            f"{one.test.items:,}",
        ]
        for metric, one in differences.items()
    ]
    return table(["", "difference", "t", "p", "p (Holm)", "exams"], rows)


__all__ = [
    "METRICS",
    "comparisons_markdown",
    "differences_markdown",
    "mmvqa_markdown",
    "percent",
    "points",
    "report_markdown",
    "share",
    "table",
]
