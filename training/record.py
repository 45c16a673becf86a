"""The record of a run: what it was made of, so that it can be repeated, and how far it came, so that it can go on.

    OUTPUT/run.json                   written when the run begins, at each taking up again and at its end; always whole
    OUTPUT/checkpoint-N/              the trainer's own
    OUTPUT/curves.png                 what the trainer logged
    OUTPUT/runs/                      the same, for TensorBoard, where it is installed
    OUTPUT/model/                     the trained model: there whole or not at all
    OUTPUT/vision_tower.safetensors   of CLIP: the tower alone
    OUTPUT/adapter/                   where adapters were trained: these alone; in the model they are merged

It names files only as the user named them, and no patient.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import shutil
import subprocess
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__

if TYPE_CHECKING:
    from .recipe import Plan

RECORD, MODEL, ADAPTER, CURVES = "run.json", "model", "adapter", "curves.png"
VISION_WEIGHTS = "vision_tower.safetensors"
FORMAT = 1
"""Raised when the record's layout changes."""

LIBRARIES = ("accelerate", "bitsandbytes", "datasets", "deepspeed", "numpy", "peft", "tokenizers", "torch",
             "transformers", "trl")  # fmt: skip

SECRET = {"hub_token"}
"""Keys that are not written down."""

WITHOUT_EFFECT = {"disable_tqdm", "log_level", "log_level_replica", "output_dir", "project", "push_to_hub", "report_to",
                  "run_name", "save_total_limit", "dataloader_num_workers", "dataloader_pin_memory",
                  "dataloader_prefetch_factor"}  # fmt: skip
"""Keys that may change between the parts of a run: they do not change what is learnt."""

_PACKAGE = Path(__file__).parents[1]


class RunError(ValueError):
    """The folder of a run holds another run."""


class Record:
    """The record of the run in a folder.

    Args:
        folder: the run's `output_dir`.
        facts: what stands in it so far.
    """

    def __init__(self, folder: Path, facts: dict[str, Any]):
        self.folder, self.facts = folder, facts
        self._since = time.monotonic()

    @classmethod
    def begin(cls, plan: Plan, processes: int, restart: bool = False) -> Record:
        """Open the run of a plan, new or begun before.

        Args:
            processes: that take part in it.
            restart: remove what a former run left, and begin anew.

        Raises:
            RunError: the folder holds a run with another recipe, or something that no run made.
        """
        folder = Path(plan.config.output_dir)
        if restart:
            _remove_run(folder)
        former = cls.read(folder)
        facts = {
            "format": FORMAT,
            "stage": plan.stage,
            "recipe": plan.recipe,
            "overrides": _without_secrets(plan.overrides),
            "settings": {key: value for key, value in plan.settings.items() if key not in SECRET},
            "seeds": {name: getattr(part, name, None) for part, name in (
                (plan.config, "seed"), (plan.config, "data_seed"), (plan.run, "rows_seed"), (plan.run, "patient_seed"),
            )},
            "code": code(),
            "libraries": libraries(),
            "hardware": hardware(processes),
            "complete": False,
            "parts": [],
        }  # fmt: skip
        if former is None:
            if folder.is_dir() and any(folder.iterdir()):
                raise RunError(f"{folder}: holds something that no run made; name another --output_dir")
            folder.mkdir(parents=True, exist_ok=True)
            record = cls(folder, facts)
        else:
            former.require_same(plan)
            record = cls(folder, former.facts if former.complete else {**former.facts, **facts, "parts": former.parts})
        if not record.complete:
            record.parts.append({"from_step": None, "seconds": None})
            record.save()
        return record

    @classmethod
    def read(cls, folder: Path) -> Record | None:
        """The record in a folder; None where there is none.

        Raises:
            RunError: it is broken, or of another version.
        """
        path = folder / RECORD
        if not path.exists():
            return None
        try:
            facts = json.loads(path.read_text(encoding="utf-8"))
            found = facts["format"]
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise RunError(f"{path}: this is no record of a run; name another --output_dir") from error
        if found != FORMAT:
            raise RunError(f"{path}: a record of format {found}, this version writes {FORMAT}: --restart begins anew")
        return cls(folder, facts)

    @property
    def complete(self) -> bool:
        """Whether the run came to its end and its model is there."""
        return self.facts["complete"] and (self.folder / MODEL).is_dir()

    @property
    def parts(self) -> list[dict[str, Any]]:
        """The sittings of a run: one, and one more for each time that it was taken up again. A sitting that was killed
        has no seconds."""
        return self.facts["parts"]

    def require_same(self, plan: Plan) -> None:
        """
        Raises:
            RunError: the record is of another stage, or of a recipe that would train something else.
        """
        if self.facts["stage"] != plan.stage:
            raise RunError(f"{self.folder}: holds a run of {self.facts['stage']}; name another --output_dir")
        now = json.loads(json.dumps(plan.settings))
        keys = [key for key in {**self.facts["settings"], **now} if key not in WITHOUT_EFFECT | SECRET]
        missing = object()
        differences = [
            f"{key} was {_shown(then)} and is {_shown(new)}"
            for key in keys
            if (then := self.facts["settings"].get(key, missing)) != (new := now.get(key, missing))
        ]
        if differences:
            raise RunError(
                f"{self.folder}: holds a run with another recipe: {'; '.join(differences)}. Name another --output_dir, "
                "or give --restart to remove that run"
            )

    def note(self, **facts: Any) -> None:
        """Write down what became known. Data and the model that a run began with must stay what they were.

        Raises:
            RunError: `data` or `start` differs from what a former part of this run noted.
        """
        for name in ("data", "start"):
            then, now = self.facts.get(name), json.loads(json.dumps(facts.get(name)))
            if then is not None and now is not None and then != now:
                keys = [key for key in {**then, **now} if then.get(key) != now.get(key)]
                raise RunError(
                    f"{self.folder}: this run began with other {name} ({', '.join(keys)} changed). Bring it back, or "
                    "name another --output_dir"
                )
        self.facts.update(facts)
        self.save()

    def note_step(self, step: int) -> None:
        """At which step this part of the run began."""
        self.parts[-1]["from_step"] = step
        self.save()

    def finish(self, log: list[dict[str, Any]], **facts: Any) -> None:
        """The run came to its end.

        Args:
            log: what the trainer logged. What is no number there is null.
        """
        self.parts[-1]["seconds"] = round(time.monotonic() - self._since, 1)
        finite = [{key: value if _is_finite(value) else None for key, value in entry.items()} for entry in log]
        self.facts.update(facts, log=finite, complete=True)
        self.save()

    def save(self) -> None:
        draft = self.folder / f".{RECORD}.part"
        draft.write_text(json.dumps(self.facts, indent=2) + "\n", encoding="utf-8")
        draft.replace(self.folder / RECORD)


def code() -> dict[str, Any]:
    """Version of the package, a hash of its source files, and the commit where it is a git checkout."""
    digest = hashlib.sha256()
    for file in sorted(_PACKAGE.rglob("*.py"), key=lambda file: file.relative_to(_PACKAGE).as_posix()):
        name = file.relative_to(_PACKAGE)
        if name.parts[0] not in ("tests", "benchmarks", "build", ".venv"):
            digest.update(f"{name.as_posix()}\0".encode() + file.read_bytes())
    return {"version": __version__, "sha256": digest.hexdigest(), **_revision()}


def _revision() -> dict[str, Any]:
    if not (_PACKAGE / ".git").exists():
        return {}
    try:
        run = [subprocess.run(["git", *command], cwd=_PACKAGE, capture_output=True, text=True, check=True).stdout
               for command in (("rev-parse", "HEAD"), ("status", "--porcelain"))]  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return {}
    return {"revision": run[0].strip(), "changed_since": bool(run[1].strip())}


def libraries() -> dict[str, str]:
    """Name -> version, of those that are installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def hardware(processes: int) -> dict[str, Any]:
    """What this process sees: processor, memory, GPUs."""
    import torch

    gpus = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return {
        "processes": processes,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [{"name": gpu.name, "memory_gb": round(gpu.total_memory / 1e9, 1)} for gpu in gpus],
    }


def _is_finite(value: Any) -> bool:
    return not isinstance(value, float) or math.isfinite(value)


def _without_secrets(overrides: tuple[str, ...]) -> list[str]:
    kept, hide = [], False
    for word in overrides:
        name = word[2:].partition("=")[0].replace("-", "_") if word.startswith("--") else None
        hide = name in SECRET if name is not None else hide
        if not hide:
            kept.append(word)
    return kept


def _shown(value: Any) -> str:
    return json.dumps(value) if isinstance(value, str | int | float | bool | list | dict | type(None)) else "not set"


def _remove_run(folder: Path) -> None:
    """Remove what a run writes, and nothing else."""
    if Record.read(folder) is None:
        return
    names = (MODEL, ADAPTER, CURVES, RECORD, VISION_WEIGHTS, "README.md")  # TRL writes the last one
    for path in (*folder.glob("checkpoint-*"), *folder.glob(".*.part"), *(folder / name for name in names)):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for events in folder.glob("runs/*/events.out.tfevents.*"):
        events.unlink()
        for place in (events.parent, events.parent.parent):
            with suppress(OSError):  # it holds something else
                place.rmdir()


__all__ = [
    "ADAPTER",
    "CURVES",
    "MODEL",
    "RECORD",
    "VISION_WEIGHTS",
    "Record",
    "RunError",
    "code",
    "hardware",
    "libraries",
]
