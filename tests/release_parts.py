"""What a release is made of, for tests: a model folder, a result about it, and the records of two runs that made it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from evaluation_systems import System, guessing, rows_of, table
from med3d_r1.checkpoints import load_checkpoint
from med3d_r1.data.mmvqa import draw_items
from med3d_r1.evaluation.mmvqa import MmvqaResult, evaluate_mmvqa
from med3d_r1.evaluation.predictors import weights_hash
from med3d_r1.training.stages import start_of
from tiny import tiny_checkpoint

FACTS = {
    "dataset": "ct-rate",
    "split": "validation",
    "distractors": "balanced",
    "synthetic": {"seed": 7, "style": "plain"},
}


class Measured(System):
    """Guesses, and says that it is the model of a folder."""

    def __init__(self, folder: Path):
        super().__init__(guessing, folder.name)
        model, processor = load_checkpoint(folder, "cpu", "float32")
        self._described = {
            "kind": "med3d-r1",
            "name": folder.name,
            "weights_sha256": weights_hash(model),
            "dtype": "float32",
            "preprocessing": processor.image_processor.preprocessing,
            "generation": {"max_new_tokens": 8, "samples": 1},
        }

    def describe(self):
        return self._described


def write_result(folder: Path, model: Path, **options) -> MmvqaResult:
    """A result of MMVQA about a model folder, as `evaluate` writes it."""
    rows, train = rows_of(table(20)), draw_items(table(40, seed=2), distractors="balanced")
    settings = {"think": "both", "facts": FACTS, "resamples": 20, "folder": folder, **options}
    return evaluate_mmvqa(Measured(model), rows, train, **settings)


def write_run(folder: Path, stage: str, model: Path, start: dict | None = None, **settings) -> Path:
    """A run that came to its end, with the model that it made."""
    folder.mkdir(parents=True)
    shutil.copytree(model, folder / "model")
    record = {
        "format": 1,
        "stage": stage,
        "settings": {"dataset": "phantom", "data": "/secret/place", "output_dir": str(folder), **settings},
        "code": {"version": "0.1.0", "sha256": "c" * 64, "revision": "d" * 40, "changed_since": False},
        "libraries": {"python": "3.11.7", "torch": "2.13.0"},
        "hardware": {"processes": 1, "machine": "x86_64", "cores": 2, "threads": 1, "gpus": []},
        "complete": True,
        "parts": [{"from_step": 0, "seconds": None}, {"from_step": 50, "seconds": 120.0}],
        "data": {"scans": 90, "rows": 180, "rows_sha256": "e" * 64},
        "start": start or {},
        "trains": {"vision_tower": 0, "bridge": 123_456, "language_model": 0},
        "steps": 100,
        "log": [],
    }
    (folder / "run.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def write_chain(folder: Path) -> tuple[Path, list[Path]]:
    """(model folder, [S2, S1]): S2 made the model and began with that of S1."""
    s1 = write_run(folder / "s1", "sft", tiny_checkpoint(folder / "first", seed=1), learning_rate=0.004)
    s2 = write_run(folder / "s2", "grpo", tiny_checkpoint(folder / "second"), start_of(str(s1 / "model")))
    return s2 / "model", [s2, s1]
