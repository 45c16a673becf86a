"""Several results against the first: S2 against S1, ablations against the full model (the paper's table 2).

    MMVQA      own scan, and own minus swapped, question by question: paired intervals over scans; McNemar's test
    reports    every metric, exam by exam: the paired interval, and the paired t-test of the paper's table 2

The p-values that stand together are corrected by Holm's method: those of all comparisons of MMVQA, and those of all
metrics and comparisons of reports.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ..metrics.statistics import holm
from .comparison import Comparison, compare
from .mmvqa import MmvqaResult
from .protocol import library_versions, plain, write_files
from .report import MetricDifference, ReportResult, compare_reports
from .result_folders import read_results, system_names

VERSION = 1


@dataclass(frozen=True)
class ComparedMmvqa:
    """One comparison on the same questions, second minus first.

    Attributes:
        second: name of the second result's system.
        think: whether reasoning was asked for.
        comparison: the differences.
        p_holm: McNemar's p, corrected for all comparisons that stand together.
    """

    second: str
    think: bool
    comparison: Comparison
    p_holm: float


@dataclass(frozen=True)
class Comparisons:
    """All that can be compared of some results.

    Attributes:
        first: name of the first result's system.
        protocol: the results, by name, with the hashes of their protocols.
        mmvqa: of the results of MMVQA.
        reports: name of the second -> metric -> difference, with Holm's correction over everything in here.
    """

    first: str
    protocol: dict[str, Any]
    mmvqa: list[ComparedMmvqa]
    reports: dict[str, dict[str, MetricDifference]]

    def markdown(self) -> str:
        from .tables import comparisons_markdown

        return comparisons_markdown(self)

    def save(self, folder: str | Path) -> list[Path]:
        """Write comparison.json and comparison.md."""
        whole = {"benchmark": "comparison", "version": VERSION, **plain(asdict(self))}
        texts = {"comparison.json": json.dumps(whole, indent=2) + "\n", "comparison.md": self.markdown() + "\n"}
        return write_files(folder, texts)


def compare_folders(folders: Sequence[str | Path]) -> Comparisons:
    """Compare the results in all folders but the first with those in the first.

    Raises:
        FileNotFoundError: a folder holds no result.
        ValueError: there is only one folder; the first has no result of a kind that another has; or as in `compare`
            and `compare_reports`: two results are not of the same questions or exams.
    """
    if len(folders) < 2:
        raise ValueError("a comparison needs two results or more")
    mmvqa, reports = read_results(folders, MmvqaResult), read_results(folders, ReportResult)
    origin = str(folders[0])
    names = system_names(mmvqa) | system_names(reports)
    of_mmvqa = _mmvqa(mmvqa, names) if origin in mmvqa else []
    of_reports = _reports(reports, names) if origin in reports else {}
    if not of_mmvqa and not of_reports:
        raise ValueError(f"{origin}: nothing to compare; the others hold no result of the same benchmark")
    protocol = {
        "results": {names[f]: r.protocol["hash"] for results in (mmvqa, reports) for f, r in results.items()},
        "versions": library_versions(),
    }
    return Comparisons(names[origin], protocol, of_mmvqa, of_reports)


def _mmvqa(results: Mapping[str, MmvqaResult], names: Mapping[str, str]) -> list[ComparedMmvqa]:
    (_, first), *others = results.items()
    found = {}
    for folder, second in others:
        ways = [think for think in first.protocol["think"] if think in second.protocol["think"]]
        if not ways:
            raise ValueError(f"{folder}: measured with reasoning and the first result without, or the other way round")
        found |= {(names[folder], think): compare(first, second, think) for think in ways}
    numbered = {str(number): one.mcnemar.p for number, one in enumerate(found.values())}
    corrected = holm(numbered).values()
    return [ComparedMmvqa(*key, one, p) for (key, one), p in zip(found.items(), corrected, strict=True)]


def _reports(results: Mapping[str, ReportResult], names: Mapping[str, str]) -> dict[str, dict[str, MetricDifference]]:
    (_, first), *others = results.items()
    found = {names[folder]: compare_reports(first, second) for folder, second in others}
    corrected = holm({f"{name}\n{metric}": one.test.p for name, of in found.items() for metric, one in of.items()})
    return {
        name: {metric: replace(one, p_holm=corrected[f"{name}\n{metric}"]) for metric, one in of.items()}
        for name, of in found.items()
    }


__all__ = ["VERSION", "ComparedMmvqa", "Comparisons", "compare_folders"]
