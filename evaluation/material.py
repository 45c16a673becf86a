"""What a benchmark is made of: the scans of a split, where their voxels or features lie, and the training labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..data import ct_rate, rad_chestct
from ..data.mmvqa import draw_items, labels_of, mmvqa_rows
from ..data.phantom.files import settings_of
from ..data.rows import Images, Row
from ..data.scans import OnFault, Scan
from .protocol import TRAIN_SEED

MAX_PER_SCAN = 40


@dataclass(frozen=True)
class Material:
    """A benchmark's scans.

    Attributes:
        scans: those of the split that can be shown.
        train_labels: volume -> the 18 labels, of the training split; its volumes need not be there.
        images: where a volume lies, for rows; None: at its own path.
        facts: data set, split and store, and of synthetic patients how they were made, for the protocol.
    """

    scans: list[Scan]
    train_labels: dict[str, tuple[int, ...]]
    images: Images | None
    facts: dict[str, Any]

    @property
    def patients(self) -> dict[str, str]:
        return {volume.name: scan.patient for scan in self.scans for volume in scan.volumes}

    @property
    def labels(self) -> dict[str, tuple[int, ...]]:
        return labels_of(self.scans)


def read_material(
    source: str | Path,
    *,
    dataset: str = "ct-rate",
    split: str | None = None,
    volumes: str = "fixed",
    store: Any = None,
    train_labels: str | Path | None = None,
    on_fault: OnFault = "error",
) -> Material:
    """Read a split of a data set for a benchmark.

    Args:
        source: the data set's folder.
        dataset: "ct-rate" (synthetic patients too) or "rad-chestct".
        split: default: "validation" of CT-RATE, "test" of RAD-ChestCT, as in the paper.
        volumes, on_fault: as in the readers.
        store: a volume store or feature store that holds the scans, checked against the model already; None: the
            data set's own files are read.
        train_labels: label table of the training split in CT-RATE's layout; default: the data set's own.

    Raises:
        DatasetError: the data set is not as its layout says.
        ValueError: the store holds none of the scans.
    """
    if dataset == "rad-chestct":
        split = split or "test"
        scans = rad_chestct.read_rad_chestct(source, split, on_fault=on_fault)
    else:
        split = split or "validation"
        scans = ct_rate.read_ct_rate(source, split, volumes=volumes, on_fault=on_fault)
    facts = {"dataset": dataset, "split": split}
    if (synthetic := settings_of(source)) is not None:
        facts["synthetic"] = synthetic
    images = None
    if store is not None:
        asked = len(scans)
        scans, images = store.stored(scans), store.path_of
        facts |= {store.kind.name: store.fingerprint, "scans_not_stored": asked - len(scans)}
        if not scans:
            raise ValueError(f"{store.folder}: holds none of the {asked:,} scans of split {split!r}")
    if train_labels is not None:
        train = ct_rate.read_labels(train_labels, one_per_scan=True)
    elif dataset == "rad-chestct":
        train = rad_chestct.read_labels(source, "train")
    else:
        train = ct_rate.read_labels(ct_rate.labels_file(source, "train"), one_per_scan=True)
    return Material(scans, train, images, facts)


def mmvqa_material(
    material: Material,
    *,
    distractors: str = "balanced",
    draw: str = "scan",
    per_scan: int | None = None,
    items: int | None = None,
    seed: int = 0,
) -> tuple[list[Row], list[Row], dict[str, Any]]:
    """(rows to ask, questions of the training split drawn alike, facts for the protocol).

    Args:
        distractors, draw, seed: as in `draw_items`.
        per_scan: as there; default: 1, or as many as `items` needs.
        items: take so many of the questions, at random.

    Raises:
        ValueError: as in `draw_items`; or the scans do not give so many questions.
    """
    dataset = material.scans[0].dataset if material.scans else ""
    ways = {"distractors": distractors, "draw": draw}

    def rows_with(count: int) -> list[Row]:
        return mmvqa_rows(material.scans, **ways, per_scan=count, seed=seed, images=material.images)

    taken = per_scan or 1
    rows = rows_with(taken)
    while items and len(rows) < items and per_scan is None and taken < MAX_PER_SCAN:
        taken *= 2
        rows = rows_with(taken)
    if items and len(rows) < items:
        raise ValueError(f"{items:,} questions were asked for; {len(material.scans):,} scans give {len(rows):,}")
    rows = _some(rows, items, seed)
    # The prior may learn from more questions than there are scans: it is to be as good as it can.
    train = draw_items(material.train_labels, **ways, per_scan=max(taken, 2), seed=seed + TRAIN_SEED, dataset=dataset)
    return rows, train, {**material.facts, **ways, "per_scan": taken, "questions_seed": seed}


def _some(rows: Sequence[Row], count: int | None, seed: int) -> list[Row]:
    if count is None or count >= len(rows):
        return list(rows)
    chosen = np.random.default_rng([seed, 2]).choice(len(rows), size=count, replace=False)
    return [rows[place] for place in sorted(chosen)]


__all__ = ["Material", "mmvqa_material", "read_material"]
