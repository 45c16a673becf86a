"""Questions with four options, drawn from a label table alone. What the modes mean is written in `mmvqa`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np

from ..abnormalities import CT_RATE_LABELS, TWINS, UNLABELLED
from ..answers_med3d_r1 import LETTERS
from .balanced_options import OPTIONS, draw_balanced

DISTRACTORS = OPTIONS - 1

Distractors = Literal["negative", "random", "balanced"]
Draw = Literal["scan", "positive", "label"]
Labels = Mapping[str, Sequence[int]]
"""Name of a volume -> 0 or 1 for each of the 18 abnormalities, in CT-RATE's order."""

_TRIES = 20


def draw_items(
    labels: Labels,
    *,
    distractors: Distractors = "negative",
    draw: Draw = "scan",
    per_scan: int = 1,
    seed: int = 0,
    dataset: str = "CT-RATE",
) -> list[dict[str, Any]]:
    """Questions from a label table alone, in its order: `volume`, `options`, `answer`, `abnormality`.

    Scans that have none of the abnormalities, or of which too few are absent to be distractors, are left out; `summary`
    counts them. Letters are dealt so that each is right equally often, up to rounding, over all questions and for each
    true label. The same arguments give the same questions.

    Args:
        labels: the table.
        distractors, draw: see the top of `mmvqa`.
        per_scan: with "scan" questions on each scan, with different true labels as far as it has them; with "positive"
            questions on each label of each scan; with "label" the number of questions over that of scans. Questions
            that would be asked twice are left out. "balanced" draws as many questions as "negative" would, and takes
            scans unequally often: the labels' balance goes before.
        seed: another seed, other questions.
        dataset: whose labels they are, which says what is unlabelled or equal by construction.

    Raises:
        ValueError: an argument is none of those offered, labels are not 18 times 0 or 1, or with "balanced": the
            labels of so few scans allow no balanced question.
    """
    if distractors not in get_args(Distractors):
        raise ValueError(f"distractors is one of {', '.join(get_args(Distractors))}; got {distractors!r}")
    if draw not in get_args(Draw):
        raise ValueError(f"draw is one of {', '.join(get_args(Draw))}; got {draw!r}")
    if per_scan < 1:
        raise ValueError(f"per_scan is 1 or more; got {per_scan}")
    table = _Table.of(labels, dataset, distractors)
    rng = np.random.default_rng(seed)
    make = _balanced if distractors == "balanced" else _drawn
    questions = (
        sorted(make(table, draw, per_scan, rng), key=lambda question: question[0]) if table.askable.any() else []
    )
    letters = _dealt_letters([true for _, true, _ in questions], rng)
    names = list(labels)
    return [
        _item(names[scan], true, rng.permutation(others), place)
        for (scan, true, others), place in zip(questions, letters, strict=True)
    ]


@dataclass(frozen=True)
class _Table:
    """A label table as arrays.

    Attributes:
        has: bool (scans, 18).
        can_stand: bool (18,), labels that may be an option.
        twin: int (18,), the label that must not stand beside each, or -1.
        random: whether distractors may be present too.
    """

    has: np.ndarray
    can_stand: np.ndarray
    twin: np.ndarray
    random: bool

    @classmethod
    def of(cls, labels: Labels, dataset: str, distractors: Distractors) -> _Table:
        for name, values in labels.items():
            if len(values) != len(CT_RATE_LABELS) or not set(values) <= {0, 1}:
                raise ValueError(f"labels are {len(CT_RATE_LABELS)} times 0 or 1; {name} has {list(values)}")
        has = np.array(list(labels.values()), dtype=bool).reshape(-1, len(CT_RATE_LABELS))
        unlabelled = UNLABELLED.get(dataset, ()) if distractors != "random" else ()
        can_stand = np.array([label not in unlabelled for label in CT_RATE_LABELS])
        twin = np.full(len(CT_RATE_LABELS), -1)
        for one, other in _twins(dataset):
            twin[one], twin[other] = other, one
        return cls(has, can_stand, twin, distractors == "random")

    @cached_property
    def absent(self) -> np.ndarray:
        """bool (scans, 18): what a scan's distractors may be."""
        return (np.ones_like(self.has) if self.random else ~self.has) & self.can_stand

    @cached_property
    def choices(self) -> np.ndarray:
        """int (scans,): distractors that can stand together in one question. With "random", beside any true label."""
        both = self.absent & self.absent[:, self.twin] & (self.twin >= 0)
        return self.absent.sum(axis=1) - both.sum(axis=1) // 2 - self.random

    @cached_property
    def askable(self) -> np.ndarray:
        """bool (scans,)."""
        return self.has.any(axis=1) & (self.choices >= DISTRACTORS)

    def pairs(self) -> list[tuple[int, int]]:
        """Labels that must not stand together."""
        return [(one, int(other)) for one, other in enumerate(self.twin) if one < other]

    def some_absent(self, scan: int, true: int, rng: np.random.Generator) -> tuple[int, ...]:
        """Three distractors."""
        picked: list[int] = []
        for label in rng.permutation(np.flatnonzero(self.absent[scan])):
            if label != true and self.twin[label] not in (true, *picked):
                picked.append(int(label))
        return tuple(picked[:DISTRACTORS])


_Question = tuple[int, int, Sequence[int]]


def _twins(dataset: str) -> Iterator[tuple[int, int]]:
    for one, other in TWINS.get(dataset, ()):
        yield CT_RATE_LABELS.index(one), CT_RATE_LABELS.index(other)


def _drawn(table: _Table, draw: Draw, per_scan: int, rng: np.random.Generator) -> Iterator[_Question]:
    asked = set()
    for scan, true in _true_labels(table, draw, per_scan, rng):
        for _ in range(_TRIES):
            others = table.some_absent(scan, true, rng)
            question = (scan, true, frozenset(others))
            if len(others) == DISTRACTORS and question not in asked:
                asked.add(question)
                yield scan, true, others
                break


def _true_labels(table: _Table, draw: Draw, per_scan: int, rng: np.random.Generator) -> Iterator[tuple[int, int]]:
    """(scan, true label) of each question to be asked."""
    scans = np.flatnonzero(table.askable)
    if draw == "label":
        scans_with = [scans[table.has[scans, label]] for label in range(len(CT_RATE_LABELS))]
        occurring = [label for label, some in enumerate(scans_with) if len(some)]
        for _ in range(per_scan * len(scans)):
            label = int(rng.choice(occurring))
            yield int(rng.choice(scans_with[label])), label
        return
    for scan in scans:
        present = np.flatnonzero(table.has[scan])
        if draw == "positive":
            order = np.tile(present, per_scan)
        else:
            order = np.concatenate([rng.permutation(present) for _ in range(-(-per_scan // len(present)))])[:per_scan]
        for label in order:
            yield int(scan), int(label)


def _balanced(table: _Table, draw: Draw, per_scan: int, rng: np.random.Generator) -> Iterator[_Question]:
    askable = np.flatnonzero(table.askable)
    has = table.has[askable]
    scan_weights = 1 / np.array([math.comb(int(count), DISTRACTORS) for count in table.choices[askable]])
    label_weights = np.ones(has.shape[1])
    count = len(askable) * per_scan
    if draw == "scan":
        scan_weights = scan_weights / has.sum(axis=1)
    elif draw == "positive":
        count = int(has.sum()) * per_scan
    else:
        label_weights = 1 / np.maximum(has.sum(axis=0), 1)
    never = np.flatnonzero(~table.can_stand).tolist()
    drawn = draw_balanced(has, scan_weights, label_weights, count, rng, never=never, apart=table.pairs())
    for scan, true, others in zip(*drawn, strict=True):
        yield int(askable[scan]), int(true), others.tolist()


def _dealt_letters(true_labels: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """The place of the true option in each question. Questions with one true label follow each other while the letters
    are dealt, in rounds of all four, so that they are even within each label too."""
    rounds = -(-len(true_labels) // OPTIONS)
    dealt = np.concatenate([rng.permutation(OPTIONS) for _ in range(rounds)]) if rounds else np.empty(0, dtype=int)
    order = np.lexsort((rng.random(len(true_labels)), true_labels))
    places = np.empty(len(true_labels), dtype=int)
    places[order] = dealt[: len(true_labels)]
    return places


def _item(volume: str, true: int, others: Sequence[int], place: int) -> dict[str, Any]:
    options = [CT_RATE_LABELS[label] for label in others]
    options.insert(int(place), CT_RATE_LABELS[true])
    return {"volume": volume, "options": options, "answer": LETTERS[int(place)], "abnormality": CT_RATE_LABELS[true]}


__all__ = ["DISTRACTORS", "Distractors", "Draw", "Labels", "draw_items"]
