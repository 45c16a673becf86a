"""A run's log as a picture: small multiples, one question a panel, for every stage.

    draw_curves("runs/grpo", "curves.png")
    draw_curves(trainer.state.log_history, "curves.png", title="Stage 2")

Only what was logged is drawn: quantities that a stage has not leave no empty panel. Thin lines are what was logged, the
thick one of the same colour is their running median.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

Log = Sequence[Mapping[str, Any]]
"""`TrainerState.log_history`."""

COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Of Okabe and Ito's palette, apart for every kind of colour vision."""

COLUMNS = (4, 5, 3)
"""Panels in a row: the first of these numbers that leaves the fewest places empty."""

SMOOTHED_FROM = 40
"""With fewer points a running median would hide more than it shows."""


@dataclass(frozen=True)
class Panel:
    """One picture in the figure.

    Attributes:
        title: what is asked.
        unit: of the vertical axis.
        names: keys of the log -> what they are called. A name that ends in "*" stands for all keys that begin so, each
            called by what the "*" stands for.
        share: the values are shares: the axis goes from 0 to 1.
    """

    title: str
    unit: str
    names: Mapping[str, str]
    share: bool = False


PANELS = (
    Panel("Loss", "loss", {"loss": "training", "eval_loss": "evaluation"}),
    Panel(
        "Terms of the loss",
        "loss",
        {
            "contrastive": "contrastive",
            "reconstruction": "reconstruction",
            "reconstructed_contrastive": "contrastive, reconstructed",
        },
    ),
    Panel("Rewards, mean over the completions", "reward", {"reward": "total", "rewards/*": ""}),
    Panel(
        "Held-out questions, greedy",
        "share that is right",
        {"held_out/accuracy": "own scan", "held_out/accuracy_swapped": "another's scan"},
        share=True,
    ),
    Panel(
        "Completions that are no answer",
        "share",
        {
            "completions/invalid": "layout broken",
            "completions/no_letter": "no option named",
            "completions/clipped_ratio": "cut off",
            "held_out/invalid": "layout broken, held out",
        },
        share=True,
    ),
    Panel("Groups that teach nothing", "share with equal rewards", {"frac_reward_zero_std": ""}, share=True),
    Panel("Distance from the reference model", "KL divergence, nats a token", {"kl": ""}),
    Panel("Entropy of the policy", "nats a token", {"entropy": ""}),
    Panel("Length of completions", "tokens", {"completions/mean_length": "mean", "completions/max_length": "longest"}),
    Panel("Findings that the reasoning affirms", "findings a completion", {"findings/affirmed": ""}),
    Panel("Affirmed of the mentioned findings", "share", {"findings/affirmation_rate": ""}, share=True),
    Panel("Zero-shot AUROC, mean over abnormalities", "AUROC", {"eval_auroc": ""}, share=True),
    Panel(
        "Tokens predicted right",
        "share",
        {"mean_token_accuracy": "training", "eval_mean_token_accuracy": "evaluation"},
        share=True,
    ),
    Panel("Learning rate", "learning rate", {"learning_rate": ""}),
    Panel("Gradient", "norm before clipping", {"grad_norm": ""}),
    Panel("Time", "seconds a step", {"step_time": ""}),
)
"""In the order in which they are drawn. Keys are those of transformers, TRL and the trainers of this package."""

_NOT_DRAWN = ("/std",)
"""Ends of keys that a name with a "*" does not stand for."""


def draw_curves(run: str | Path | Log, png: str | Path, title: str | None = None) -> Path:
    """Write the curves of a run as PNG.

    Args:
        run: the folder of a run or of a checkpoint, a trainer_state.json, or a log history.
        title: default: the folder's name.

    Raises:
        FileNotFoundError: there is no trainer_state.json.
        ValueError: nothing that is known was logged at least twice.
        ImportError: matplotlib is not installed.
    """
    if isinstance(run, (str, Path)):
        title = title or Path(run).name
        run = read_log(run)
    drawn = [(panel, lines) for panel in PANELS if (lines := lines_of(panel, run))]
    if not drawn:
        raise ValueError("the log has no quantity with two values or more: there is nothing to draw")
    figure = _figure(drawn, title)
    png = Path(png)
    png.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(png, dpi=130)
    return png


def read_log(run: str | Path) -> Log:
    """The log history of a run's folder, of its last checkpoint if it has no state of its own, or of a state file.

    Raises:
        FileNotFoundError: there is no trainer_state.json.
    """
    run = Path(run)
    checkpoints = sorted(run.glob("checkpoint-*/trainer_state.json"), key=lambda path: int(path.parent.name[11:]))
    for path in (run, run / "trainer_state.json", *reversed(checkpoints)):
        if path.is_file():
            return json.loads(path.read_text(encoding="utf-8"))["log_history"]
    raise FileNotFoundError(f"{run}: no trainer_state.json, neither here nor in a checkpoint-* folder")


def lines_of(panel: Panel, log: Log) -> dict[str, list[tuple[float, float]]]:
    """What a panel shows: a line's name -> (step, value). Lines with fewer than two values, and values that are no
    numbers, are left out."""
    lines = {}
    keys = dict.fromkeys(key for entry in log for key in entry)
    for name, called in panel.names.items():
        for key in keys:
            if name == key or (name.endswith("*") and key.startswith(name[:-1]) and not key.endswith(_NOT_DRAWN)):
                points = [(entry["step"], entry[key]) for entry in log if _is_number(entry.get(key))]
                if len(points) > 1:
                    lines[called if name == key else _called(key[len(name) - 1 :])] = points
    return lines


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)


def _called(key: str) -> str:
    """ "accuracy_reward/mean" -> "accuracy"."""
    return key.removesuffix("/mean").removesuffix("_reward").replace("_", " ")


def _figure(drawn: Sequence[tuple[Panel, Mapping[str, Sequence[tuple[float, float]]]]], title: str | None) -> Any:
    try:
        figures = import_module("matplotlib.figure")
    except ImportError as error:
        raise ImportError("curves need matplotlib: pip install 'med3d-r1[train]'") from error
    columns = min(*COLUMNS, key=lambda count: -len(drawn) % count) if len(drawn) > min(COLUMNS) else len(drawn)
    rows = math.ceil(len(drawn) / columns)
    figure = figures.Figure(figsize=(3.7 * columns, 2.7 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).flatten()
    last = max(points[-1][0] for _, lines in drawn for points in lines.values())
    for place, (panel, lines) in zip(panels, drawn, strict=False):
        _draw(place, panel, lines)
        place.set_xlim(0, last)
    for place in panels[len(drawn) :]:
        place.set_visible(False)
    for place in panels[max(0, len(drawn) - columns) : len(drawn)]:
        place.set_xlabel("step")
    if title:
        figure.suptitle(title, fontsize=12, fontweight="bold")
    return figure


def _draw(place: Any, panel: Panel, lines: Mapping[str, Sequence[tuple[float, float]]]) -> None:
    for color, (name, points) in zip(_endless(COLORS), lines.items(), strict=False):
        steps, values = zip(*points, strict=True)
        smooth = len(points) >= SMOOTHED_FROM
        sparse = {"marker": "o", "markersize": 3.5} if len(points) < 12 else {}
        place.plot(steps, values, color=color, lw=0.7 if smooth else 1.5, alpha=0.4 if smooth else 1, **sparse)
        place.plot(steps, running_median(values) if smooth else values, color=color, lw=1.7, label=name)
    place.set_title(panel.title, fontsize=9.5, loc="left")
    place.set_ylabel(panel.unit, fontsize=8.5)
    place.tick_params(labelsize=8)
    place.yaxis.get_offset_text().set_fontsize(8)
    place.ticklabel_format(axis="y", scilimits=(-3, 4))
    place.xaxis.get_major_locator().set_params(integer=True, nbins=6)
    place.grid(alpha=0.25)
    place.spines[["top", "right"]].set_visible(False)
    if panel.share:
        place.set_ylim(-0.02, 1.02)
    if any(lines):
        place.legend(fontsize=7.5, frameon=False, loc="best")


def _endless(colors: Sequence[str]) -> Iterable[str]:
    while True:
        yield from colors


def running_median(values: Sequence[float], share: float = 0.05) -> list[float]:
    """The median of the values around each: of `share` of all, at least five, fewer at the ends.

    >>> running_median([0, 0, 9, 0, 0, 0])
    [0, 0.0, 0, 0, 0.0, 0]
    """
    reach = max(2, round(len(values) * share / 2))
    windows = (sorted(values[max(0, index - reach) : index + reach + 1]) for index in range(len(values)))
    return [_median(window) for window in windows]


def _median(window: Sequence[float]) -> float:
    middle = len(window) // 2
    return window[middle] if len(window) % 2 else (window[middle - 1] + window[middle]) / 2


__all__ = ["PANELS", "Panel", "draw_curves", "lines_of", "read_log", "running_median"]
