"""A model folder -> the folder that goes to the Hub: checked, with licence, card and results beside the weights."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .. import __version__
from ..checkpoints import load_processor
from .card import CARD, CardFacts, write_card
from .card_runs import Energy
from .evidence import Evidence, read_evidence, require_shown
from .files import (
    CODE_SUFFIX,
    Entry,
    ReleaseError,
    entries_of,
    files_below,
    former_claims,
    model_files,
    refuse_private,
    weight_files,
)
from .licence import choose_licence
from .runs import Run, read_runs
from .stranger import load_as_stranger
from .weights import WeightsHash, require_finite

_PACKAGE = Path(__file__).parents[1]


@dataclass(frozen=True)
class ModelRelease:
    """What is to be released, and what is said about it.

    Attributes:
        folder: of the model.
        repo_id: "owner/name".
        tag: of the version, or None.
        results: folders that `med3d-r1 evaluate` wrote.
        runs: folders that `med3d-r1 train` wrote.
        licence, licence_file: of the weights; None: see `choose_licence`.
        base_models: Hub ids of models that this one began with.
        energy: what is known of its power.
    """

    folder: Path
    repo_id: str
    tag: str | None = None
    results: Sequence[Path] = ()
    runs: Sequence[Path] = ()
    licence: str | None = None
    licence_file: Path | None = None
    base_models: Sequence[str] = ()
    energy: Energy = field(default_factory=Energy)


@dataclass(frozen=True)
class Staged:
    """A folder that may be sent as it is.

    Attributes:
        folder: where it lies.
        entries: its files.
        evidence, runs: what its card tells of.
        loaded: what `load_as_stranger` found in it.
        tag: of the version, or None.
    """

    folder: Path
    entries: list[Entry]
    evidence: list[Evidence]
    runs: list[Run]
    loaded: dict[str, Any]
    tag: str | None

    @property
    def message(self) -> str:
        """Of the commit."""
        return f"Release{f' {self.tag}' if self.tag else ''} with med3d-r1 {__version__}"


def stage_model(release: ModelRelease, target: Path) -> Staged:
    """Check a model and put together what is sent. Nothing in the user's folders is changed.

    Args:
        target: a new folder for it; large files of weights are links into the model's folder.

    Raises:
        ReleaseError: the model must not be published as it is; the message says why and what to do.
        ValueError: it does not load for somebody who has only the folder.
    """
    files = model_files(release.folder)
    require_own_code(files)
    stored = require_finite(weight_files(release.folder))
    image_processor = load_processor(release.folder).image_processor
    evidence = read_evidence(release.results, WeightsHash(release.folder), image_processor.preprocessing)
    require_shown(former_claims(release.folder), evidence)
    runs = read_runs(release.runs, release.folder)
    licence = choose_licence(release.licence, release.licence_file, runs, release.base_models)

    target.mkdir(parents=True)
    for name, path in files.items():
        _place(path, target / name)
    facts = CardFacts(
        repo_id=release.repo_id,
        tag=release.tag,
        licence=licence.identifier,
        base_models=release.base_models,
        config=json.loads(files["config.json"].read_text(encoding="utf-8")),
        preprocessing=image_processor.tensor_preprocessing,
        image_tokens=json.loads(files["processor_config.json"].read_text(encoding="utf-8"))["num_image_tokens"],
        stored=stored,
        files=entries_of(target),
        runs=runs,
        evidence=evidence,
        energy=release.energy,
    )
    texts = {**licence.texts, CARD: write_card(facts)}
    for one in evidence:
        texts |= one.texts(release.repo_id)
    for name, text in texts.items():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        (target / name).write_text(text, encoding="utf-8")
    for name, path in files_below(target):
        refuse_private(path, name)
    return Staged(target, entries_of(target), evidence, runs, load_as_stranger(target), release.tag)


def require_own_code(files: dict[str, Path]) -> None:
    """
    Raises:
        ReleaseError: the folder's code is not this package's: results were measured with the package's, and the card
            vouches for the code.
    """
    own = {path.name: path for path in _PACKAGE.glob(f"*{CODE_SUFFIX}")}
    there = {name: path for name, path in files.items() if name.endswith(CODE_SUFFIX)}
    unlike = [name for name in {**own, **there} if name not in own or name not in there]
    unlike += [name for name in there if name in own and there[name].read_bytes() != own[name].read_bytes()]
    if unlike:
        raise ReleaseError(
            f"{min(unlike)}: not the same in the folder and in this package (med3d-r1 {__version__}; {len(unlike)} "
            "files differ or are missing). Results are measured with the package's code. Release with the version "
            "that made the folder, or save the model again with this one and measure it again"
        )


def _place(source: Path, target: Path) -> None:
    """A link for weights, which may be many gigabytes; a copy of all else."""
    if source.suffix == ".safetensors":
        try:
            target.symlink_to(source.resolve())
            return
        except OSError:  # a file system without links
            pass
    shutil.copyfile(source, target)


__all__ = ["ModelRelease", "Staged", "require_own_code", "stage_model"]
