"""The runs of training behind a model, and what ties each of them to it.

What a run is to the model, the strongest first:

    made this model       its files of weights are the released ones, byte by byte
    began the next        its model has the hash that a later run noted of the model that it began with
    is part of it         the vision tower of a run of CLIP, or the decoder of a run of the language model, is there
                          weight by weight in a model of the chain
    said                  nothing ties it: whoever released the model says that the run belongs to it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from ..training.arguments import STAGES
from ..training.record import MODEL, VISION_WEIGHTS, Record
from ..training.stages import start_of
from .files import ReleaseError, sha256_of, weight_files

MADE, BEGAN, PART, SAID = "made this model", "began the next", "is part of it", "said"

_PREFIXES = {"clip": ("vision_tower.", "model.vision_tower."), "language": ("model.", "model.language_model.")}
"""Stage -> what its weights' names begin with, and what they begin with in a whole model."""


@dataclass(frozen=True)
class Run:
    """One run.

    Attributes:
        folder: its `output_dir`.
        facts: of its record, see `training.record`.
        tie: to the model, see the top of the module.
    """

    folder: Path
    facts: dict[str, Any]
    tie: str = SAID

    @property
    def stage(self) -> str:
        return self.facts["stage"]

    @property
    def synthetic(self) -> bool:
        """Whether it learnt from synthetic patients alone."""
        return self.stage == "language" or self.facts["settings"].get("dataset") == "phantom"

    @property
    def dataset(self) -> str:
        """As its recipe names it."""
        return self.facts["settings"].get("dataset", "ct-rate")

    @property
    def seconds(self) -> tuple[float, bool]:
        """(seconds of all sittings that came to their end, whether these are all)."""
        taken = [part["seconds"] for part in self.facts["parts"]]
        return sum(one for one in taken if one is not None), None not in taken


def read_runs(folders: Sequence[Path], model: Path) -> list[Run]:
    """The runs in these folders, in the order of the stages.

    Args:
        folders: the `output_dir` of each run.
        model: the folder that is released.

    Raises:
        ReleaseError: a folder holds no run, or one that did not come to its end; or none of them made the model.
    """
    runs = [_read(folder) for folder in folders]
    if not runs:
        return []
    order = [*STAGES]
    order.insert(0, order.pop(order.index("language")))
    runs.sort(key=lambda run: order.index(run.stage))
    own = _weights(model)
    chain = [
        replace(run, tie=MADE) for run in runs if run.stage not in _PREFIXES and _weights(run.folder / MODEL) == own
    ]
    if not chain:
        names = ", ".join(str(run.folder) for run in runs)
        raise ReleaseError(
            f"{model}: none of the runs {names} made it, its weights are others. Give the runs of this model"
        )
    chain = chain[:1]
    while (former := _before(chain[0], runs)) is not None:
        chain.insert(0, replace(former, tie=BEGAN))
    tied = {run.folder: run.tie for run in chain}
    models = [*(run.folder / MODEL for run in chain), model]
    return [
        replace(run, tie=tied.get(run.folder) or (PART if any(_is_part(run, whole) for whole in models) else SAID))
        for run in runs
    ]


def _read(folder: Path) -> Run:
    record = Record.read(folder)
    if record is None:
        raise ReleaseError(f"{folder}: no run of training there, it has no run.json; give the output_dir of a run")
    if not record.complete:
        raise ReleaseError(f"{folder}: this run did not come to its end. Run it again, it goes on where it stopped")
    return Run(folder, record.facts)


def _weights(folder: Path) -> list[str]:
    return [sha256_of(file) for file in weight_files(folder)]


def _before(run: Run, runs: Sequence[Run]) -> Run | None:
    """The run whose model this one began with."""
    began = run.facts.get("start", {}).get("sha256")
    others = [other for other in runs if other.stage not in _PREFIXES and other.folder != run.folder]
    return next((one for one in others if began and start_of(str(one.folder / MODEL))["sha256"] == began), None)


def _is_part(run: Run, whole: Path) -> bool:
    """Whether all weights of the run's model are in a whole one."""
    if run.stage not in _PREFIXES:
        return False
    own, there = _PREFIXES[run.stage]
    files = [run.folder / VISION_WEIGHTS] if run.stage == "clip" else weight_files(run.folder / MODEL)
    places = {name: file for file in weight_files(whole) for name in _names(file)}
    return all(
        (name := there + part.removeprefix(own)) in places
        and torch.equal(_tensor(file, part), _tensor(places[name], name))
        for file in files
        for part in _names(file)
        if part.startswith(own)
    )


def _names(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as stored:
        return list(stored.keys())


def _tensor(file: Path, name: str) -> torch.Tensor:
    with safe_open(file, framework="pt") as stored:
        return stored.get_tensor(name)


__all__ = ["BEGAN", "MADE", "PART", "SAID", "Run", "read_runs"]
