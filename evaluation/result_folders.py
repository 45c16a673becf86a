"""Results where they were saved: a folder may hold one of MMVQA, one of reports, or both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

from .mmvqa import MmvqaResult
from .report import ReportResult

Result = TypeVar("Result", MmvqaResult, ReportResult)


def read_results(folders: Sequence[str | Path], kind: type[Result]) -> dict[str, Result]:
    """Folder -> the result of this kind in it, in their order; folders without one are left out.

    Raises:
        FileNotFoundError: a folder holds no result of any kind.
        ValueError: a folder is given twice, or another version of the benchmark wrote a result.
    """
    names = [str(folder) for folder in folders]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{twice[0]}: this folder is given twice; a result is compared with others")
    for folder in map(Path, names):
        if not any((folder / found.FILE).exists() for found in (MmvqaResult, ReportResult)):
            raise FileNotFoundError(f"{folder}: no result there, neither {MmvqaResult.FILE} nor {ReportResult.FILE}")
    return {name: kind.load(name) for name in names if (Path(name) / kind.FILE).exists()}


def system_of(result: MmvqaResult | ReportResult) -> str:
    """How a result calls the system that it measured."""
    predictor = result.protocol["predictor"]
    return predictor.get("name") or predictor["kind"]


def system_names(results: dict[str, Result]) -> dict[str, str]:
    """Folder -> the name of its system, with the folder behind it where several systems have one name."""
    names = {folder: system_of(result) for folder, result in results.items()}
    count = Counter(names.values())
    return {folder: name if count[name] == 1 else f"{name} ({folder})" for folder, name in names.items()}


__all__ = ["read_results", "system_names", "system_of"]
