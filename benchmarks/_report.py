"""What the benchmarks share: the machine in words, timing in turns, memory, a table and a JSON line."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path


def machine(threads: int) -> dict:
    """The processor, what it offers for bfloat16, and the versions that were measured."""
    cpu = _cpuinfo()
    flags = cpu.get("flags", "").split()
    return {
        "processor": cpu.get("model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "threads": threads,
        "bfloat16": [flag for flag in ("amx_bf16", "avx512_bf16") if flag in flags],
        "python": platform.python_version(),
        "torch": version("torch"),
        "transformers": version("transformers"),
    }


def _cpuinfo() -> dict[str, str]:
    """What Linux says of its first core; nothing elsewhere."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    return {}


def times_in_turns(alternatives: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Wall-clock seconds of each alternative, `rounds` times.

    They take turns, after a first round that is not counted, so that whatever else the machine does meets all of them
    alike; compare them by `median_ratio`.
    """
    times: dict[str, list[float]] = {name: [] for name in alternatives}
    for _ in range(rounds + 1):
        for name, work in alternatives.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return {name: seconds[1:] for name, seconds in times.items()}


def median_ratio(numerators: Sequence[float], denominators: Sequence[float]) -> float:
    """The median of the rounds' own ratios, which a busy neighbour disturbs less than the ratio of two medians."""
    return statistics.median(a / b for a, b in zip(numerators, denominators, strict=True))


def peak_mb() -> float:
    """The most memory that this process, or the one that started it, has held so far, in MB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A Markdown table; the first column is text, the others numbers."""
    cells = [list(map(str, row)) for row in (columns, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    for row in (cells[0], rule, *cells[1:]):
        numbers = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        print("|", " | ".join([row[0].ljust(widths[0]), *numbers]), "|")


def print_line(benchmark: str, **results) -> None:
    """The results as one line of JSON, the last of a benchmark's output."""
    print(json.dumps({"benchmark": benchmark, **results}))
