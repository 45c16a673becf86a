"""What a run learns from: scans of a data set -> rows, with the volumes or encoded scans that a store has of them."""

from __future__ import annotations

import hashlib
import json
import random
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..data import ct_rate, rad_chestct
from ..data.rows import Images, Row, as_dataset, own_paths
from ..data.scans import DataWarning, Scan, split_by_patient

if TYPE_CHECKING:
    from datasets import Dataset

    from .arguments import RunArguments


MakeRows = Callable[[list[Scan], str], list[Row]]
"""(scans, split) -> rows."""


@dataclass(frozen=True)
class Material:
    """Rows to train on, and rows to look at meanwhile.

    Attributes:
        train, held_out: data sets; `held_out` is None where none were asked for.
        facts: for the record: counts, fingerprints of rows and stores.
    """

    train: Dataset
    held_out: Dataset | None
    facts: dict[str, Any]


@dataclass
class Places:
    """Where the scans of a run are read from.

    Attributes:
        images: a volume -> the path that stands in its rows; None: the volume's own.
        has: whether a volume is there.
        facts: fingerprints of the store, for the record.
    """

    images: Images | None = None
    has: Callable[[str], bool] = lambda name: True
    facts: dict[str, str] = field(default_factory=dict)

    def kept(self, scans: Sequence[Scan], store: str | None) -> list[Scan]:
        """The scans with those of their volumes that are there.

        Raises:
            ValueError: none is.
        """
        kept = [replace(scan, volumes=tuple(v for v in scan.volumes if self.has(v.name))) for scan in scans]
        found = [scan for scan in kept if scan.volumes]
        if scans and not found:
            raise ValueError(f"{store}: holds none of the {len(scans):,} scans of this run, such as {scans[0].name}")
        if len(found) < len(scans):
            warnings.warn(
                f"{store}: {len(scans) - len(found):,} of {len(scans):,} scans are not in it and left out",
                DataWarning,
                stacklevel=2,
            )
        return found


def open_places(run: RunArguments, model: Any, image_processor: Any) -> Places:
    """The store that a run reads from, made sure to fit the model.

    Args:
        model: whose vision tower encoded a feature store; None where the run has no such model.
        image_processor: the one that will read the scans.

    Raises:
        StoreError: there is no store, or it was made with other weights or another preprocessing.
    """
    if run.feature_store is not None:
        from ..data.feature_store import FeatureStore

        store = FeatureStore(run.feature_store)
        store.require(model, image_processor)
        return Places(store.path_of, store.__contains__, {"feature_store": store.fingerprint})
    if run.volume_store is not None:
        from ..data.volume_store import Store

        store = Store(run.volume_store, image_processor)
        return Places(store.path_of, store.__contains__, {"volume_store": store.fingerprint})
    return Places()


def read_scans(run: RunArguments, split: str) -> list[Scan]:
    """The scans of one split, those of the chosen patients where the run chooses some.

    Raises:
        DatasetError: the data set is not as its layout says.
        ValueError: the split is none of the data set's, or there are not so many patients.
    """
    if run.dataset == "rad-chestct":
        scans = rad_chestct.read_rad_chestct(run.data, split, on_fault=run.on_fault)
    else:
        scans = ct_rate.read_ct_rate(run.data, split, volumes=run.volumes, on_fault=run.on_fault)
    if (run.patient_share is None and run.patient_count is None) or split != run.split:
        return scans
    chosen, others = split_by_patient(scans, share=run.patient_share, count=run.patient_count, seed=run.patient_seed)
    return chosen if run.patient_part == "chosen" else others


def material(run: RunArguments, places: Places, make_rows: MakeRows) -> Material:
    """Read scans and make rows of them.

    Args:
        make_rows: as `sft_rows` and its neighbours give it.

    Raises:
        ValueError: there are no rows, or not so many to hold out.
    """
    store = run.feature_store or run.volume_store
    if run.held_out and run.held_out_split == run.split:
        raise ValueError(f"held_out_split is {run.split!r} as split is: rows to look at must not be trained on")
    scans = places.kept(read_scans(run, run.split), store)
    rows = make_rows(scans, run.split)
    if not rows:
        raise ValueError(f"{run.data}: the {len(scans):,} scans of split {run.split!r} make no rows for this recipe")
    held_out = None
    if run.held_out:
        held_out = make_rows(places.kept(read_scans(run, run.held_out_split), store), run.held_out_split)
        if len(held_out) < run.held_out:
            raise ValueError(f"held_out is {run.held_out:,}; split {run.held_out_split!r} makes {len(held_out):,} rows")
        held_out = spread(held_out, run.held_out)
    facts = {"scans": len(scans), "rows": len(rows), "rows_sha256": rows_sha256(rows), **places.facts}
    if held_out is not None:
        facts |= {"held_out_rows": len(held_out), "held_out_sha256": rows_sha256(held_out)}
    return Material(as_dataset(rows), None if held_out is None else as_dataset(held_out), facts)


def spread(rows: Sequence[Row], count: int) -> list[Row]:
    """So many rows at even distances: of as many scans as can be.

    >>> spread(list("abcdef"), 3)
    ['a', 'c', 'e']
    """
    return [rows[index * len(rows) // count] for index in range(count)]


def rows_sha256(rows: Sequence[Row]) -> str:
    """sha256 of rows, in order. Of the images only their names count, so that it is the same on another machine."""
    digest = hashlib.sha256()
    for row in rows:
        named = {**row, "images": [Path(path).name for path in row["images"]]} if "images" in row else row
        digest.update(json.dumps(named, sort_keys=True, ensure_ascii=False).encode() + b"\n")
    return digest.hexdigest()


def clip_rows(run: Any, places: Places) -> MakeRows:
    """Each volume with the text of its report, or now and then with the impression alone, and its labels."""

    def make(scans: list[Scan], split: str) -> list[Row]:
        rng = random.Random(f"{run.rows_seed} clip")
        path_of = places.images or own_paths(volume for scan in scans for volume in scan.volumes)
        rows = []
        for scan in scans:
            for volume in scan.volumes:
                short = rng.random() < run.impression_share
                text = (scan.impression if short else None) or getattr(scan, run.text)
                if text:
                    labels = None if scan.labels is None else list(scan.labels)
                    rows.append({"images": [path_of(volume)], "text": text, "labels": labels})
        return rows

    return make


def question_rows(run: Any, places: Places) -> MakeRows:
    """Multiple-choice questions.

    The rows of another split are drawn with another seed, and the rewards that need reports say so where there is none.
    """
    from ..data.mmvqa import mmvqa_rows

    def make(scans: list[Scan], split: str) -> list[Row]:
        rows = mmvqa_rows(
            scans,
            distractors=run.distractors,
            draw=run.draw,
            per_scan=run.per_scan,
            seed=run.rows_seed + (split != run.split),
            think=run.think,
            images=places.images,
        )
        require_reports(rows, run.rewards)
        return rows

    return make


def require_reports(rows: Sequence[Row], rewards: Sequence[str]) -> None:
    """
    Raises:
        ValueError: the consistency reward is asked for, and no question is on a scan with a report.
    """
    without = sum(row["report"] is None for row in rows)
    if "consistency" not in rewards or not without:
        return
    if without == len(rows):
        raise ValueError(
            "the consistency reward compares the reasoning with the report, and no scan of this data set has one: take "
            "consistency out of `rewards`, or another data set"
        )
    warnings.warn(
        f"{without:,} of {len(rows):,} questions are on scans without a report: no consistency reward for them",
        DataWarning,
        stacklevel=2,
    )


def sft_rows(run: Any, places: Places) -> MakeRows:
    """Reports, questions and checklists in the recipe's shares."""
    from ..data.checklists import checklist_rows, yes_no_rows
    from ..data.mixture import draw
    from ..data.rows import report_rows, vqa_rows
    from ..data.vqa import KINDS, read_vqa

    shares = run.mixture or {"report": 1}
    labeller = run.labeller if run.labeller == "rules" else _llm_labeller(run.labeller_options or {})
    asked = run.vqa_kinds or [kind for kind in KINDS if kind != "report_generation"]

    def vqa(scans: list[Scan], split: str) -> list[Row]:
        if run.dataset == "rad-chestct":
            raise ValueError("mixture: RAD-ChestCT has no `vqa`; leave it out")
        return vqa_rows(scans, read_vqa(ct_rate.questions_file(run.data, split)), kinds=asked, images=places.images)

    common = {"volumes": run.which_volumes, "images": places.images}
    seed = run.rows_seed
    makers = {
        "report": lambda scans, split: report_rows(scans, labeller=labeller, **common),
        "vqa": vqa,
        "checklist": lambda scans, split: checklist_rows(scans, seed=seed, **common),
        "yes_no": lambda scans, split: yes_no_rows(scans, seed=seed, **common),
    }
    if unknown := shares.keys() - makers.keys():
        raise ValueError(f"mixture: there are no rows {min(unknown)!r}; there are {', '.join(makers)}")

    def make(scans: list[Scan], split: str) -> list[Row]:
        rows = {kind: makers[kind](scans, split) for kind in shares}
        picks = draw({kind: len(of_kind) for kind, of_kind in rows.items()}, shares, run.rows, seed)
        return [rows[kind][place] for kind, place in picks]

    return make


def _llm_labeller(options: dict[str, Any]) -> Any:
    from ..data.sentence_llm import LLMLabeller

    try:
        return LLMLabeller(**options)
    except TypeError as error:
        raise ValueError(f"labeller_options do not fit the labeller llm: {error}") from error


__all__ = [
    "MakeRows",
    "Material",
    "Places",
    "clip_rows",
    "material",
    "open_places",
    "question_rows",
    "read_scans",
    "require_reports",
    "rows_sha256",
    "sft_rows",
    "spread",
]
