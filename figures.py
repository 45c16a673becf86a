"""What radiology reports are like: the Med3D-R1 paper's figures 1 and 3 (arXiv 2602.01200) for any reports.

    sentence-positions   density of normal and abnormal sentences over the report, figure 1
    sentence-shares      how much of the sentences and tokens is abnormal, in findings and impression, figure 3

Each is written as .png, .svg and, with its numbers, as .csv. A report is its findings and then its impression, divided
and labelled as for training (`data.reports`). Its n sentences share its length evenly, sentence k takes the stretch
from k / n to (k + 1) / n, and a density is the mean of these stretches, so nothing is smoothed.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .data.ct_rate import SPLITS, volume_name
from .data.reports import LABELS, SECTIONS, Annotation, Labeller, annotate_reports, given_text
from .data.scans import DatasetError, Faults
from .data.tables import need, read_rows

BINS = 20
PARTS = {"report": "whole report", "finding": "findings"}
"""What a position is measured along -> how it is called."""

COLORS = {"normal": "#0072B2", "abnormal": "#D55E00"}
"""Blue and vermilion of Okabe and Ito's palette, apart for every kind of colour vision."""

_LINES, _HATCHES = {"normal": "--", "abnormal": "-"}, {"normal": "", "abnormal": "//"}
_MARKERS = {"normal": "s", "abnormal": "^"}
_FINDINGS, _IMPRESSION = "Findings_EN", "Impressions_EN"


@dataclass(frozen=True)
class SentenceNumbers:
    """What was counted.

    Attributes:
        reports: how many.
        positions: part -> label -> (BINS,), sentences in each bin; fractions where a sentence reaches over its edge.
        mean_positions: part -> label -> mean position of a sentence's middle, 0 at the start and 1 at the end; NaN
            where there is none.
        sentences, tokens: section -> label -> how many.
        token: what a token is, in words.
    """

    reports: int
    positions: dict[str, dict[str, np.ndarray]]
    mean_positions: dict[str, dict[str, float]]
    sentences: dict[str, dict[str, int]]
    tokens: dict[str, dict[str, int]]
    token: str

    def density(self, part: str, label: str) -> np.ndarray:
        """(BINS,), with a mean of 1; zeros where there is no such sentence."""
        counts = self.positions[part][label]
        return counts * BINS / max(counts.sum(), 1e-9)

    def abnormal_share(self, section: str, unit: str) -> float:
        """Of the "sentences" or "tokens" of a section."""
        counts = getattr(self, unit)[section]
        return counts["abnormal"] / max(sum(counts.values()), 1)

    def __str__(self) -> str:
        lines = [f"reports       {self.reports:,}"]
        for section in SECTIONS:
            for unit in ("sentences", "tokens"):
                total = sum(getattr(self, unit)[section].values())
                lines.append(f"{section:<14}{total:,} {unit}, {self.abnormal_share(section, unit):.1%} abnormal")
        for part, title in PARTS.items():
            means = (f"{label} {self.mean_positions[part][label]:.3f}" for label in LABELS)
            lines.append(f"mean position {', '.join(means)} in the {title}")
        return "\n".join([*lines, f"tokens        {self.token}"])


def read_reports(source: str | Path, split: str | None = None) -> list[tuple[str, str]]:
    """(findings, impression) of each scan of a report table in CT-RATE's layout; reconstructions share theirs.

    Args:
        source: the table, or the folder of the data set.
        split: of the data set; None takes those whose table is there. Has no meaning for a table.

    Raises:
        DatasetError: there is no such table, or columns of it are missing.
    """
    reports: dict[str, tuple[str, str]] = {}
    for path in _tables(Path(source).expanduser(), split):
        faults = Faults(path)
        for name, row in read_rows(path, "VolumeName", need(_FINDINGS, _IMPRESSION), faults, volume_name):
            reports.setdefault(name.rpartition("_")[0], (given_text(row[_FINDINGS]), given_text(row[_IMPRESSION])))
        faults.settle("skip", "")
    return [report for report in reports.values() if any(report)]


def _tables(source: Path, split: str | None) -> list[Path]:
    if source.is_file():
        return [source]
    folder = (source / "dataset" if (source / "dataset").is_dir() else source) / "radiology_text_reports"
    wanted = [folder / f"{SPLITS[name][1]}_reports.csv" for name in ([split] if split else SPLITS)]
    there = [path for path in wanted if path.is_file()]
    if not there:
        raise DatasetError(folder, {"tables are missing": [path.name for path in wanted]}, "Check the path.")
    return there


def count_sentences(
    reports: Iterable[tuple[str, str]], *, labeller: Labeller = "rules", tokenizer: Any = None
) -> SentenceNumbers:
    """Divide, label and count.

    Args:
        reports: (findings, impression) of each.
        labeller: as in `label_sentences`.
        tokenizer: of a language model, which says what a token is; without one the words between spaces are counted.
    """
    annotations = annotate_reports(reports, labeller)
    sections = {section: [sentence for one in annotations for sentence in one[section]] for section in SECTIONS}
    lengths = _token_counter(tokenizer)
    sentences = {section: dict.fromkeys(LABELS, 0) for section in SECTIONS}
    tokens = {section: dict.fromkeys(LABELS, 0) for section in SECTIONS}
    for section, found in sections.items():
        for sentence, length in zip(found, lengths([one["text"] for one in found]), strict=True):
            sentences[section][sentence["type"]] += 1
            tokens[section][sentence["type"]] += length
    positions, means = {}, {}
    for part in PARTS:
        positions[part], means[part] = _positions([_labels(one, part) for one in annotations])
    token = "words between spaces" if tokenizer is None else f"those of {Path(tokenizer.name_or_path).name}"
    return SentenceNumbers(len(annotations), positions, means, sentences, tokens, token)


def _labels(annotation: Annotation, part: str) -> list[str]:
    """Of the sentences of a report or of one section, in order."""
    return [one["type"] for section in SECTIONS if part in ("report", section) for one in annotation[section]]


def _positions(reports: Iterable[Sequence[str]]) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    counts = {label: np.zeros(BINS) for label in LABELS}
    sums, numbers = dict.fromkeys(LABELS, 0.0), dict.fromkeys(LABELS, 0)
    for labels in reports:
        for stretch, (place, label) in zip(_stretches(len(labels)), enumerate(labels), strict=True):
            counts[label] += stretch
            sums[label] += (place + 0.5) / len(labels)
            numbers[label] += 1
    return counts, {label: sums[label] / numbers[label] if numbers[label] else float("nan") for label in LABELS}


@lru_cache(maxsize=512)
def _stretches(sentences: int) -> np.ndarray:
    """(sentences, BINS): how much of each of so many equal stretches lies in each bin; rows sum to 1."""
    starts, bins = np.arange(sentences)[:, None] / max(sentences, 1), np.arange(BINS) / BINS
    overlap = np.minimum(starts + 1 / max(sentences, 1), bins + 1 / BINS) - np.maximum(starts, bins)
    return np.clip(overlap, 0, None) * sentences


def _token_counter(tokenizer: Any) -> Callable[[list[str]], list[int]]:
    if tokenizer is None:
        return lambda texts: [len(text.split()) for text in texts]
    return lambda texts: [len(ids) for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]] if texts else []


def write_figures(numbers: SentenceNumbers, folder: str | Path) -> list[Path]:
    """Write both figures and their numbers; returns the files.

    Raises:
        ImportError: matplotlib is not installed.
        ValueError: there is not a single sentence.
    """
    require_matplotlib()
    if not any(count for counts in numbers.sentences.values() for count in counts.values()):
        raise ValueError("the reports have not a single sentence: there is nothing to draw")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, draw, rows in (
        ("sentence-positions", _draw_positions, _position_rows),
        ("sentence-shares", _draw_shares, _share_rows),
    ):
        files += [*save_figure(draw(numbers), folder / name), folder / f"{name}.csv"]
        _write_csv(rows(numbers), files[-1])
    return files


def require_matplotlib() -> None:
    """
    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        import_module("matplotlib")
    except ImportError as error:
        raise ImportError("figures need matplotlib: pip install 'med3d-r1[data]'") from error


def _draw_positions(numbers: SentenceNumbers):
    figure = import_module("matplotlib.figure").Figure(figsize=(8.4, 3.9), layout="constrained")
    panels = figure.subplots(1, len(PARTS), sharey=True)
    for panel, (part, title) in zip(panels, PARTS.items(), strict=True):
        for label in LABELS:
            density = numbers.density(part, label)
            panel.stairs(density, np.linspace(0, 1, BINS + 1), color=COLORS[label], ls=_LINES[label], lw=1.8)
            panel.stairs(density, np.linspace(0, 1, BINS + 1), color=COLORS[label], fill=True, alpha=0.12)
            mean = numbers.mean_positions[part][label]
            panel.plot([mean], [0], marker=_MARKERS[label], color=COLORS[label], ls="", clip_on=False, zorder=5)
        panel.set(title=title, xlabel=f"position in the {title} (0 first, 1 last)", xlim=(0, 1))
        panel.grid(alpha=0.25)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylim(bottom=0)  # after all panels are drawn: they share this axis
    panels[0].set_ylabel("density of sentences")
    panels[0].legend(handles=_handles("Line2D"), frameon=False)
    _caption(figure, numbers, "Square and triangle: mean positions.")
    return figure


def _draw_shares(numbers: SentenceNumbers):
    figure = import_module("matplotlib.figure").Figure(figsize=(8.4, 3.6), layout="constrained")
    panel = figure.subplots()
    bars = [(section, unit) for section in SECTIONS for unit in ("sentences", "tokens")]
    for place, (section, unit) in enumerate(bars):
        counts = getattr(numbers, unit)[section]
        total, left = max(sum(counts.values()), 1), 0.0
        for label in LABELS:
            share = counts[label] / total
            panel.barh(
                place, share, left=left, color=COLORS[label], hatch=_HATCHES[label], edgecolor="white", height=0.7
            )
            if share > 0.06:
                box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "boxstyle": "round,pad=0.2"}
                panel.text(left + share / 2, place, f"{share:.1%}", ha="center", va="center", bbox=box)
            left += share
    titles = [f"{section}: {unit}\nn = {sum(getattr(numbers, unit)[section].values()):,}" for section, unit in bars]
    panel.set_yticks(range(len(bars)), titles)
    panel.invert_yaxis()
    panel.set(xlabel="share of the section", xlim=(0, 1))
    panel.xaxis.set_major_formatter(import_module("matplotlib.ticker").PercentFormatter(1.0))
    panel.spines[["top", "right"]].set_visible(False)
    figure.legend(handles=_handles("Patch"), loc="outside upper center", ncols=len(LABELS), frameon=False)
    _caption(figure, numbers, f"Tokens: {numbers.token}.")
    return figure


def _handles(kind: str) -> list[Any]:
    """What a legend shows for each label."""
    if kind == "Line2D":
        lines = import_module("matplotlib.lines")
        return [lines.Line2D([], [], color=COLORS[label], ls=_LINES[label], lw=1.8, label=label) for label in LABELS]
    patches = import_module("matplotlib.patches")
    return [
        patches.Patch(facecolor=COLORS[label], hatch=_HATCHES[label], edgecolor="white", label=label)
        for label in LABELS
    ]


def _caption(figure: Any, numbers: SentenceNumbers, more: str) -> None:
    totals = {label: sum(counts[label] for counts in numbers.sentences.values()) for label in LABELS}
    told = " and ".join(f"{count:,} {label}" for label, count in totals.items())
    figure.supxlabel(f"n = {numbers.reports:,} reports with {told} sentences. {more}", fontsize=9)


def save_figure(figure: Any, stem: Path) -> list[Path]:
    """Write a matplotlib figure as stem.png and stem.svg. The same bytes for the same numbers: no date, no random
    names."""
    matplotlib = import_module("matplotlib")
    png, svg = stem.with_name(f"{stem.name}.png"), stem.with_name(f"{stem.name}.svg")
    png.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": "med3d-r1", "svg.fonttype": "none"}):
        figure.savefig(png, dpi=160)
        figure.savefig(svg, metadata={"Date": None})
    return [png, svg]


def _position_rows(numbers: SentenceNumbers) -> list[dict[str, Any]]:
    rows = []
    for part in PARTS:
        for index in range(BINS):
            row = {"part": part, "from": index / BINS, "to": (index + 1) / BINS}
            row |= {f"{label}_sentences": round(numbers.positions[part][label][index], 4) for label in LABELS}
            row |= {f"{label}_density": round(numbers.density(part, label)[index], 4) for label in LABELS}
            rows.append(row)
    return rows


def _share_rows(numbers: SentenceNumbers) -> list[dict[str, Any]]:
    return [
        {"section": section, "unit": unit, **getattr(numbers, unit)[section]}
        | {"abnormal_share": round(numbers.abnormal_share(section, unit), 4)}
        for section in SECTIONS
        for unit in ("sentences", "tokens")
    ]


def _write_csv(rows: list[dict[str, Any]], path: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=[*rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8", newline="")


__all__ = [
    "BINS",
    "PARTS",
    "SentenceNumbers",
    "count_sentences",
    "read_reports",
    "require_matplotlib",
    "save_figure",
    "write_figures",
]
