"""Many results in the layout of the paper's tables: systems as rows; data sets, ways of asking and metrics as columns.

    table 1    MMVQA: CT-RATE with and without think, RAD-ChestCT with and without think
    table 2    reports: a column for each metric, a table for each data set

No number stands without its controls: below each system are its rows for swapped scans, for the difference, and for
what the options give away. Results in one column must be of the same questions, or the column would compare what
cannot be compared.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .mmvqa import MmvqaResult
from .mmvqa_numbers import Numbers
from .protocol import plain, write_files
from .report import ReportResult
from .result_folders import Result, read_results, system_of
from .tables import METRICS, percent, points, share, table

VERSION = 1

DATASETS = {"ct-rate": "CT-RATE", "rad-chestct": "RAD-ChestCT"}
"""Layout of a data set -> its name in the paper."""

NOT_MEASURED = "-"

Column = tuple[str, bool]
"""(data set, think)."""


@dataclass(frozen=True)
class PaperTables:
    """Results of several systems.

    Attributes:
        mmvqa: system -> column -> numbers.
        reports: data set -> system -> result.
        columns: data set -> what is to be known about its questions or exams, one line for each benchmark.
    """

    mmvqa: dict[str, dict[Column, Numbers]]
    reports: dict[str, dict[str, ReportResult]]
    columns: dict[str, list[str]]

    def markdown(self) -> str:
        parts = []
        if self.mmvqa:
            parts += ["# MMVQA", _CAPTION, _mmvqa_table(self.mmvqa)]
        for dataset, results in self.reports.items():
            parts += [f"# Reports: {_name(dataset)}", _REPORT_CAPTION, _report_table(results)]
        told = [f"{_name(name)}: {line}" for name, lines in self.columns.items() for line in lines]
        told += _unasked(self.mmvqa)
        return "\n\n".join([*parts, "\n".join(f"- {line}" for line in told)])

    def save(self, folder: str | Path) -> list[Path]:
        """Write tables.json and tables.md."""
        mmvqa = [
            {"system": system, "dataset": dataset, "think": think, **asdict(numbers)}
            for system, columns in self.mmvqa.items()
            for (dataset, think), numbers in columns.items()
        ]
        reports = [
            {"system": system, "dataset": dataset, **asdict(result.numbers)}
            for dataset, results in self.reports.items()
            for system, result in results.items()
        ]
        whole = {"benchmark": "tables", "version": VERSION, "columns": self.columns}
        whole |= {"mmvqa": plain(mmvqa), "reports": plain(reports)}
        return write_files(
            folder, {"tables.json": json.dumps(whole, indent=2) + "\n", "tables.md": self.markdown() + "\n"}
        )


_CAPTION = (
    "Accuracies in %, with 95 % intervals over scans. Swapped: the same questions with the scan of another patient. "
    "Options alone: a guesser fitted to questions of the training split that sees no scan. Data sets have the names of "
    "their layouts; synthetic patients have that of CT-RATE."
)
_REPORT_CAPTION = (
    "Scores of the corpus times 100, findings and CRG as fractions; own - swapped are means over exams, with 95 % "
    "intervals."
)


def read_tables(folders: Sequence[str | Path]) -> PaperTables:
    """Put the results of some folders into tables.

    Raises:
        FileNotFoundError: a folder holds no result.
        ValueError: results of one column are of different questions or exams, two results fill one cell, or two
            models have one name.
    """
    mmvqa, reports = read_results(folders, MmvqaResult), read_results(folders, ReportResult)
    _require_one_model_a_name({**mmvqa, **{f"{folder} (reports)": result for folder, result in reports.items()}})
    columns: dict[str, list[str]] = {}
    for results in (mmvqa, reports):
        for dataset, result in _one_column_a_dataset(results).items():
            columns.setdefault(dataset, []).append(_told(result))
    cells: dict[str, dict[Column, tuple[str, Numbers]]] = {}
    for folder, result in mmvqa.items():
        for think, numbers in result.numbers.items():
            _fill(cells.setdefault(system_of(result), {}), (_dataset(result), think), folder, numbers)
    exams: dict[str, dict[str, tuple[str, ReportResult]]] = {}
    for folder, result in reports.items():
        _fill(exams.setdefault(_dataset(result), {}), system_of(result), folder, result)
    return PaperTables(
        mmvqa={system: {key: cell[1] for key, cell in of.items()} for system, of in cells.items()},
        reports={dataset: {key: cell[1] for key, cell in of.items()} for dataset, of in exams.items()},
        columns=columns,
    )


def _dataset(result: MmvqaResult | ReportResult) -> str:
    return result.protocol["data"].get("dataset", "unnamed")


def _name(dataset: str) -> str:
    return DATASETS.get(dataset, dataset)


def _fill(cells: dict, key: Any, folder: str, value: Any) -> None:
    if key in cells:
        raise ValueError(f"{cells[key][0]} and {folder} measure the same system in the same way: leave one out")
    cells[key] = folder, value


def _one_column_a_dataset(results: Mapping[str, Result]) -> dict[str, Result]:
    """Data set -> a result of it; all of its results are of the same questions."""
    first: dict[str, tuple[str, Result]] = {}
    for folder, result in results.items():
        known_folder, known = first.setdefault(_dataset(result), (folder, result))
        if result.protocol["data"]["sha256"] != known.protocol["data"]["sha256"]:
            raise ValueError(
                f"{known_folder} and {folder} are of different questions or exams of {_name(_dataset(result))} "
                f"({_told(known)}; {_told(result)}): one column holds what was measured on the same ones"
            )
    return {dataset: result for dataset, (_, result) in first.items()}


def _require_one_model_a_name(results: Mapping[str, MmvqaResult | ReportResult]) -> None:
    first: dict[str, tuple[str, str]] = {}
    for folder, result in results.items():
        weights = result.protocol["predictor"].get("weights_sha256")
        if weights is None:
            continue
        known_folder, known = first.setdefault(system_of(result), (folder, weights))
        if weights != known:
            raise ValueError(
                f"{known_folder} and {folder} call two models {system_of(result)!r}: measure again with another --name"
            )


def _told(result: MmvqaResult | ReportResult) -> str:
    data = result.protocol["data"]
    count = f"{data['items']:,} questions on {data['scans']:,} scans" if "items" in data else f"{data['exams']:,} exams"
    facts = [f"{key} {data[key]}" for key in ("split", "distractors", "draw") if key in data]
    return ", ".join([count, *facts, f"sha256 {data['sha256'][:12]}"])


_MMVQA_ROWS: dict[str, Callable[[Numbers], str]] = {
    "": lambda numbers: percent(numbers.own),
    "swapped scan": lambda numbers: percent(numbers.swapped),
    "own - swapped": lambda numbers: points(numbers.own_minus_swapped),
    "options alone": lambda numbers: percent(numbers.prior),
}


def _mmvqa_table(systems: Mapping[str, Mapping[Column, Numbers]]) -> str:
    datasets = dict.fromkeys([*DATASETS, *(dataset for cells in systems.values() for dataset, _ in cells)])
    columns = [(dataset, think) for dataset in datasets for think in (True, False)]
    header = ["", *(f"{_name(dataset)}, {'with' if think else 'without'} think" for dataset, think in columns)]
    rows = [
        [
            f"... {row}" if row else f"**{system}**",
            *(cell(cells[column]) if column in cells else NOT_MEASURED for column in columns),
        ]
        for system, cells in systems.items()
        for row, cell in _MMVQA_ROWS.items()
    ]
    return table(header, rows)


def _unasked(systems: Mapping[str, Mapping[Column, Numbers]]) -> list[str]:
    """Where "without think" is a name and no fact."""
    return [
        f"{system}, {_name(dataset)}, without think: {numbers.unasked:,} of {numbers.own.items:,} outputs reason all "
        "the same"
        for system, cells in systems.items()
        for (dataset, _), numbers in cells.items()
        if numbers.unasked
    ]


def _report_table(results: Mapping[str, ReportResult]) -> str:
    metrics = [metric for metric in METRICS if any(metric in result.numbers.own for result in results.values())]
    header = ["", *(METRICS[metric] for metric in metrics), "findings, F1", "CRG"]
    rows = []
    for system, result in results.items():
        numbers = result.numbers
        for row, scores, findings in (
            (f"**{system}**", numbers.own, numbers.findings),
            ("... swapped scan", numbers.swapped, numbers.findings_swapped),
        ):
            cells = [f"{100 * scores[metric]:.2f}" if metric in scores else NOT_MEASURED for metric in metrics]
            cells += [NOT_MEASURED] * 2 if findings is None else [share(findings.f1), share(findings.crg)]
            rows.append([row, *cells])
        differences = numbers.own_minus_swapped
        cells = [points(differences[metric]) if metric in differences else NOT_MEASURED for metric in metrics]
        rows.append(["... own - swapped", *cells, "", ""])
    return table(header, rows)


__all__ = ["DATASETS", "VERSION", "PaperTables", "read_tables"]
