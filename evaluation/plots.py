"""Results as pictures: how sure a system may be, what it confuses, what the options give away.

Each is written as .png and .svg, the same bytes for the same numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..figures import require_matplotlib, save_figure
from .mmvqa_numbers import NO_ANSWER, Numbers

if TYPE_CHECKING:
    from .floor import FloorResult

CHANCE = 0.25
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#777777"
"""Two of Okabe and Ito's palette, apart for every kind of colour vision, and a grey."""


def write_plots(numbers: Numbers, name: str, folder: str | Path) -> list[Path]:
    """Reliability with coverage, and confusion; returns the files.

    Args:
        name: of the system and the way it was asked, for the captions.

    Raises:
        ImportError: matplotlib is not installed.
    """
    require_matplotlib()
    drawn = {"confusion": _confusion(numbers, name)}
    if numbers.calibration is not None:
        drawn["reliability"] = _reliability(numbers, name)
    return [file for plot, figure in drawn.items() for file in save_figure(figure, Path(folder) / plot)]


def _reliability(numbers: Numbers, name: str) -> Any:
    """Left: confidence against accuracy, a bar a bin; right: accuracy against the share that is answered."""
    figure = import_module("matplotlib.figure").Figure(figsize=(8.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2)
    bins = numbers.calibration.bins
    left.bar(
        [one.low for one in bins],
        [one.accuracy for one in bins],
        [one.high - one.low for one in bins],
        align="edge",
        color=BLUE,
        edgecolor="white",
        label="accuracy",
    )
    left.plot([one.confidence for one in bins], [one.accuracy for one in bins], "o", color=VERMILION, label="bin mean")
    left.plot([0, 1], [0, 1], ls="--", color=GREY, lw=1, label="as sure as right")
    for one in bins:
        left.text((one.low + one.high) / 2, -0.01, f"{one.items:,}", ha="center", va="top", fontsize=7)
    left.set(
        xlim=(0, 1),
        ylim=(0, 1.08),
        xlabel="confidence (below each bar: its answers)",
        ylabel="share right",
        title=f"calibration error {numbers.calibration.error:.3f}",
    )
    left.tick_params(axis="x", pad=10)
    left.legend(frameon=False, loc="upper left", fontsize=8)
    coverage = np.array(numbers.coverage)
    right.plot(coverage[:, 0], coverage[:, 1], color=BLUE, lw=1.8, label="own scan, surest first")
    right.axhline(numbers.swapped.accuracy, color=VERMILION, ls=":", lw=1.4, label="swapped scans, all")
    right.axhline(numbers.prior.accuracy, color=GREY, ls="--", lw=1.2, label="options alone, all")
    right.set(xlim=(0, 1), ylim=(0, 1.08), xlabel="share of the questions answered", title="accuracy by coverage")
    right.legend(frameon=False, loc="lower left", fontsize=8)
    for panel in (left, right):
        panel.grid(alpha=0.25)
        panel.set_axisbelow(True)
        panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(f"{name}: n = {numbers.calibration.items:,} answers", fontsize=9)
    return figure


def _confusion(numbers: Numbers, name: str) -> Any:
    """True labels as rows, chosen ones as columns; the share of a row's questions in which the column was offered and
    chosen cannot be told from this, so counts are shown."""
    true = list(numbers.confusion)
    chosen = [*true, *sorted({c for row in numbers.confusion.values() for c in row} - {*true, NO_ANSWER})]
    chosen += [NO_ANSWER] * any(NO_ANSWER in row for row in numbers.confusion.values())
    counts = np.array([[numbers.confusion[t].get(c, 0) for c in chosen] for t in true])
    size = 2.6 + 0.36 * len(chosen)
    figure = import_module("matplotlib.figure").Figure(figsize=(size + 1.2, size), layout="constrained")
    panel = figure.subplots()
    shares = counts / counts.sum(axis=1, keepdims=True)
    image = panel.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            ink = "white" if shares[row, column] > 0.55 else "black"
            panel.text(column, row, f"{count:,}", ha="center", va="center", fontsize=7, color=ink)
    panel.set_xticks(range(len(chosen)), chosen, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    panel.set_yticks(range(len(true)), true, fontsize=8)
    panel.set(xlabel="chosen", ylabel="true")
    figure.colorbar(image, ax=panel, shrink=0.7, label="share of the row")
    figure.supxlabel(f"{name}: n = {counts.sum():,} questions with their own scan", fontsize=9)
    return figure


def write_floor_plot(result: FloorResult, folder: str | Path, name: str = "floor") -> list[Path]:
    """One bar a way to draw questions, with its interval; returns the files.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: no way to draw questions was possible.
    """
    require_matplotlib()
    floors = [floor for floor in result.floors if floor.refusal is None]
    if not floors:
        raise ValueError("the table allows no questions: there is nothing to draw")
    figure = import_module("matplotlib.figure").Figure(figsize=(8.4, 0.42 * len(floors) + 1.5), layout="constrained")
    panel = figure.subplots()
    for place, floor in enumerate(floors):
        score = floor.guesser
        color = VERMILION if score.low > CHANCE else BLUE
        panel.barh(place, score.accuracy, color=color, height=0.66)
        panel.errorbar(score.accuracy, place, xerr=_reach(score), color="black", capsize=2.5, lw=1)
        panel.text(score.high + 0.008, place, f"{score.accuracy:.1%}", va="center", fontsize=9)
    panel.axvline(CHANCE, color=GREY, ls="--", lw=1.2)
    panel.text(CHANCE, -0.62, "one in four", color=GREY, ha="center", va="bottom", fontsize=9)
    panel.set_yticks(range(len(floors)), [f"{floor.distractors}, {floor.draw}" for floor in floors])
    panel.set_ylim(len(floors) - 0.5, -0.6)
    panel.set(xlim=(0, max(0.7, max(floor.guesser.high for floor in floors) + 0.1)), xlabel="right without any scan")
    panel.xaxis.set_major_formatter(import_module("matplotlib.ticker").PercentFormatter(1.0))
    panel.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        f"n = {result.protocol['scans']:,} scans; a guesser that sees the options alone, with 95 % intervals. "
        "Blue: not above one in four.",
        fontsize=9,
    )
    return save_figure(figure, Path(folder) / name)


def _reach(score: Any) -> Sequence[Sequence[float]]:
    return [[score.accuracy - score.low], [score.high - score.accuracy]]


__all__ = ["write_floor_plot", "write_plots"]
