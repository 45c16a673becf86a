"""MMVQA: which of four abnormalities does the scan have? One is present, the answer is a letter.

The Med3D-R1 paper says "one true abnormality, three random distractors" and leaves the rest open. Two choices decide
what a score on the questions means, so both have names and belong to every number:

    distractors   "negative"   labels that the scan has not (default)
                  "random"     any other labels, the paper's words: often a distractor is present too
                  "balanced"   as negative, but drawn so that the options alone carry no information, whoever looks at
                               them and however: see `balanced_options`
    draw          "scan"       each scan in turn, then one of its labels, uniformly (default)
                  "positive"   each label of each scan in turn
                  "label"      one of the labels, uniformly, then a scan that has it

What the options alone give away under each choice is measured in docs/data.md, and by `summary` for any questions.
Labels that a data set never says are no distractors, except with "random"; labels that are equal by construction (both
calcifications in RAD-ChestCT) never stand in one question.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..abnormalities import CHOICE_STEMS, CT_RATE_LABELS
from ..metrics.statistics import Score, score_of
from ..prompts_med3d_r1 import question_messages
from .options_prior import Item, options_only_prior
from .questions import DISTRACTORS, Distractors, Draw, Labels, draw_items
from .rows import Images, Row, own_paths
from .scans import DataWarning, Scan


def mmvqa_rows(
    scans: Iterable[Scan],
    *,
    distractors: Distractors = "negative",
    draw: Draw = "scan",
    per_scan: int = 1,
    seed: int = 0,
    think: bool = True,
    images: Images | None = None,
) -> list[Row]:
    """Questions as rows for GRPO and for evaluation, in the order of the scans.

    A row has `volume`, `images` (the path of the scan's first volume), `prompt`, `options`, `answer` (a letter),
    `abnormality` (the true option) and `report` (None where there is none).

    Args:
        scans: of one data set. Those without labels are left out, with a `DataWarning`.
        distractors, draw, per_scan, seed: as in `draw_items`.
        think: whether the prompt asks for reasoning.
        images: the path of a volume in its rows; default: its own.

    Raises:
        ValueError: as in `draw_items`; scans of several data sets; volumes that cannot be read by their path alone.
    """
    scans = list(scans)
    labelled = {scan.volumes[0].name: scan for scan in scans if scan.labels is not None}
    if unlabelled := sum(scan.labels is None for scan in scans):
        warnings.warn(f"{unlabelled:,} of {len(scans):,} scans have no labels", DataWarning, 2)
    datasets = {scan.dataset for scan in scans}
    if len(datasets) > 1:
        raise ValueError(f"scans of several data sets ({', '.join(sorted(datasets))}): make rows of each by itself")
    items = draw_items(
        labels_of(scans),
        distractors=distractors,
        draw=draw,
        per_scan=per_scan,
        seed=seed,
        dataset=min(datasets, default=""),
    )
    path_of = images or own_paths({item["volume"]: labelled[item["volume"]].volumes[0] for item in items}.values())
    rng = np.random.default_rng([seed, 1])
    rows = []
    for item in items:
        scan = labelled[item["volume"]]
        stem = CHOICE_STEMS[rng.integers(len(CHOICE_STEMS))]
        prompt = question_messages(stem, item["options"], think=think)
        rows.append({**item, "images": [path_of(scan.volumes[0])], "prompt": prompt, "report": scan.report})
    return rows


def labels_of(scans: Iterable[Scan]) -> dict[str, tuple[int, ...]]:
    """The label table of those scans that have labels, by the name of their first volume."""
    return {scan.volumes[0].name: scan.labels for scan in scans if scan.labels is not None}


@dataclass(frozen=True)
class Summary:
    """What can be said about questions without a model.

    Attributes:
        items, volumes: questions, and scans that are asked about.
        without_positive: scans of the table that have no abnormality; none can be asked about.
        few_negatives: scans that have too many for three distractors that are absent.
        ambiguous: questions of which a distractor is present in the scan too.
        ambiguous_if_random: the share of the questions that would be, had their distractors been drawn at random.
        letters, abnormalities: how often each is the right one.
        most_frequent: the score of always choosing the option that is most frequent in the table.
        prior: the score of a guesser that was fitted to the options of one half of the questions, on the other half.
    """

    items: int
    volumes: int
    without_positive: int
    few_negatives: int
    ambiguous: int
    ambiguous_if_random: float
    letters: dict[str, int]
    abnormalities: dict[str, int]
    most_frequent: Score
    prior: Score

    def __str__(self) -> str:
        return "\n".join(
            (
                f"{self.items:,} questions on {self.volumes:,} scans; not asked about: {self.without_positive:,} that "
                f"have no abnormality, {self.few_negatives:,} that lack fewer than {DISTRACTORS}",
                f"ambiguous: {self.ambiguous:,} ({self.ambiguous / self.items:.1%}); with random distractors it would "
                f"be {self.ambiguous_if_random:.1%}",
                f"right without the scan: {self.prior} (fitted to the options of the other half)",
                f"the most frequent option: {self.most_frequent}",
                "letters: " + ", ".join(f"{letter} {count:,}" for letter, count in self.letters.items()),
            )
        )


def summary(items: Sequence[Item], labels: Labels) -> Summary:
    """Look at questions together with the table that they were drawn from.

    Raises:
        ValueError: there are fewer than two questions, or one is on a scan that the table lacks.
    """
    asked = {item["volume"] for item in items}
    if missing := asked - labels.keys():
        raise ValueError(f"{len(missing):,} scans of the questions are not in the table, such as {min(missing)}")
    if len(items) < 2:
        raise ValueError(f"a summary needs two questions or more; there are {len(items)}")
    names = set(CT_RATE_LABELS)
    has = {
        name: {label for label, value in zip(CT_RATE_LABELS, row, strict=True) if value} for name, row in labels.items()
    }
    frequency = Counter(label for present in has.values() for label in present)
    by_frequency = [max(item["options"], key=lambda option: frequency[option]) for item in items]
    others = math.comb(len(names) - 1, DISTRACTORS)
    clear = [math.comb(len(names) - len(has[item["volume"]]), DISTRACTORS) / others for item in items]
    train, test = _halves(items)
    return Summary(
        items=len(items),
        volumes=len(asked),
        without_positive=sum(not present for present in has.values()),
        few_negatives=sum(len(names) - len(present) < DISTRACTORS for present in has.values()),
        ambiguous=sum(len(has[item["volume"]] & set(item["options"])) > 1 for item in items),
        ambiguous_if_random=1 - sum(clear) / len(items),
        letters=dict(sorted(Counter(item["answer"] for item in items).items())),
        abnormalities={label: sum(item["abnormality"] == label for item in items) for label in CT_RATE_LABELS},
        most_frequent=score_of(
            (item["volume"] for item in items),
            (guess == item["abnormality"] for guess, item in zip(by_frequency, items, strict=True)),
        ),
        prior=options_only_prior(train, test),
    )


def _halves(items: Sequence[Item]) -> tuple[list[Item], list[Item]]:
    """Two random halves of the questions, the same at every call. Not of the scans: a balanced table has in one half
    of its scans too few of what it has too many of in the other, which the guesser would learn the wrong way round."""
    order = np.random.default_rng(0).permutation(len(items))
    return [items[index] for index in order[::2]], [items[index] for index in order[1::2]]


__all__ = [
    "Distractors",
    "Draw",
    "Labels",
    "Summary",
    "draw_items",
    "labels_of",
    "mmvqa_rows",
    "options_only_prior",
    "summary",
]
