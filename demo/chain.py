"""The chain of the paper as command lines: synthetic patients -> vision tower and decoder -> S1 -> S2 -> evaluation.

    prepare -- clip --+-- start -- encode -- s1 -- s2
    language ---------+                      |     |
                                         evaluate  evaluate

Every stage is a verb of this program with a recipe of recipes/tiny; the same verbs with recipes/paper train the model
of the paper on CT-RATE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..training.recipe import read_recipe
from .stages import Stage

MAX_NEW_TOKENS = 128
"""The longest answer that was trained has about 70 tokens, the longest report about 95."""

REPORTS = "reports"

MODEL = "model"
"""In the folder of a stage of training: the model that it made."""


@dataclass(frozen=True)
class Size:
    """How large a chain is.

    Attributes:
        patients: synthetic patients, every tenth for validation.
        items: questions of each evaluation.
        processes: that share each step of CLIP and of S2, and threads of S1, as far as there are cores.
        keys: stage of training -> keys in place of the recipe's, as on a command line.
    """

    patients: int
    items: int
    processes: int = 1
    keys: Mapping[str, str] = field(default_factory=dict)


FULL = Size(patients=2000, items=800, processes=2)
"""What the table of docs/embedded-world.md is measured with."""

MICRO = Size(
    patients=120,
    items=8,
    keys={
        "language": "--copying_accuracy=-1 --reading_accuracy=-1 --required_accuracy 0 --lesson_steps 2 --lessons 40 "
        "--question_lessons 40 --checklist_lessons 20 --held_out 8",
        "clip": "--max_steps 2 --per_device_train_batch_size 8 --held_out 4",
        "sft": "--max_steps 2 --rows 40",
        "grpo": "--max_steps 2 --per_device_train_batch_size 16 --held_out 0",
    },
)
"""Goes through everything and learns nothing: for tests."""


@dataclass(frozen=True)
class Chain:
    """One seed's way through all stages.

    Attributes:
        folder: of everything that is made; each stage has its own inside.
        seed: of the patients and of all training.
        size: how much of it.
        cores: that may be busy.
    """

    folder: Path
    seed: int
    size: Size = FULL
    cores: int = 2

    @property
    def data(self) -> Path:
        """The synthetic patients, in CT-RATE's layout."""
        return self.folder / "ct-rate"

    def model(self, name: str) -> Path:
        """The model that a stage of training made."""
        return self.folder / name / MODEL

    def stages(self) -> list[Stage]:
        """From nothing to an evaluated S2."""
        return [
            *self.until_s1(),
            self.grpo("s2", "s1"),
            *(self.evaluation(name, distractors) for name in ("s1", "s2") for distractors in ("balanced", "random")),
        ]

    def until_s1(self) -> list[Stage]:
        """From nothing to an S1."""
        return [
            self.prepare(),
            self.train("language", "language", "tiny/language.yaml", seconds=270),
            self.clip(),
            self.start("start"),
            self.encode("start"),
            self.sft("s1", "start"),
        ]

    def prepare(self) -> Stage:
        """The patients. One core is left to the decoder, which needs no patient and learns at the same time."""
        workers = max(1, self.cores - 1)
        return self._stage(
            "prepare",
            "synthetic patients",
            ["prepare", "phantom", self._path("ct-rate"), "--out", self._path("volumes"), "--style", "plain"],
            ["--patients", str(self.size.patients), "--seed", str(self.seed), "--workers", str(workers)],
            seconds=150,
            cores=workers,
            bars=2,  # patients are drawn and written, then prepared
        )

    def clip(self, recipe: str = "tiny/clip.yaml") -> Stage:
        """The vision tower, on all cores: it is the longest stage. It claims a single one, so that it need not wait for
        the decoder, with which it shares the other for a while. Where no core is idle, no further process loads data.
        """
        processes, shared = self._shared(recipe)
        keys = ["--volume_store", self._path("volumes"), *shared]
        if processes > 1:
            keys += ["--dataloader_num_workers", "0", "--dataloader_persistent_workers", "False"]
        return self.train("clip", "clip", recipe, ["prepare"], keys, 330, processes=processes)

    def start(self, name: str, *options: str) -> Stage:
        """The model that S1 starts from: a pretrained vision tower, a pretrained decoder, and a bridge that is new."""
        parts = ["--language-model", str(self.model("language")), "--vision-weights", str(self._vision_weights)]
        return self._stage(
            name,
            "put together",
            ["init", "--preset", "tiny", *parts, "--seed", str(self.seed), "--out", self._path(name), *options],
            needs=["language", "clip"],
            seconds=6,
            makes=self.folder / name,
        )

    @property
    def _vision_weights(self) -> Path:
        return self.folder / "clip" / "vision_tower.safetensors"

    def encode(self, start: str) -> Stage:
        return self._stage(
            "encode",
            "encode scans",
            ["encode", self._path("volumes"), "--model", self._path(start), "--out", self._path("features")],
            needs=[start],
            seconds=20,
        )

    def sft(self, name: str, start: str, keys: Sequence[str] = (), recipe: str = "tiny/sft.yaml") -> Stage:
        """S1 from a model folder. Nothing can be done beside it, so it has all cores, as threads: two processes would
        spend on each other what they gain."""
        begin = ["--model", self._path(start), "--feature_store", self._path("features")]
        threads = min(self.size.processes, self.cores)
        return self.train(name, "sft", recipe, [start, "encode"], [*begin, *keys], 120, cores=threads, threads=threads)

    def grpo(self, name: str, start: str, keys: Sequence[str] = (), recipe: str = "tiny/grpo.yaml") -> Stage:
        """S2 from an S1, on all cores."""
        begin = ["--model", str(self.model(start)), "--feature_store", self._path("features")]
        processes, shared = self._shared(recipe)
        keys = [*begin, *shared, *keys]
        return self.train(name, "grpo", recipe, [start, "encode"], keys, 260, cores=processes, processes=processes)

    def train(
        self,
        name: str,
        stage: str,
        recipe: str,
        needs: Sequence[str] = (),
        keys: Sequence[str] = (),
        seconds: float = 60,
        **more: Any,
    ) -> Stage:
        """A stage of training; what it makes lies in a folder of its name."""
        always = ["--output_dir", self._path(name), "--data", self._path("ct-rate"), "--seed", str(self.seed)]
        return self._stage(
            name,
            f"train {name}",
            ["train", stage, "--config", f"recipes/{recipe}", *always],
            [*keys, *self.size.keys.get(stage, "").split()],
            needs=needs,
            seconds=seconds,
            **more,
        )

    def _shared(self, recipe: str) -> tuple[int, list[str]]:
        """How many processes share a step of this recipe, and the key that divides its batch among them."""
        processes = min(self.size.processes, self.cores)
        if processes == 1:
            return 1, []
        batch = read_recipe(recipe)["per_device_train_batch_size"]
        return processes, ["--per_device_train_batch_size", str(batch // processes)]

    def evaluation(self, name: str, distractors: str = "balanced", think: str | None = None) -> Stage:
        """MMVQA on the validation patients; with reasoning, and on balanced items without it too, if not said else."""
        think = think or ("both" if distractors == "balanced" else "yes")
        return self._stage(
            f"evaluate-{name}-{distractors}",
            f"evaluate {name}, {distractors}",
            ["evaluate", "mmvqa", "--model", str(self.model(name)), "--data", self._path("ct-rate")],
            ["--features", self._path("features"), "--split", "validation", "--distractors", distractors],
            ["--think", think, "--items", str(self.size.items)],
            ["--max-new-tokens", str(MAX_NEW_TOKENS)],
            ["--name", name, "--out", str(self.result(name, distractors))],
            needs=[name],
            seconds=30 if think == "both" else 20,
        )

    def reports(self, name: str) -> Stage:
        """The reports of the validation patients."""
        return self._stage(
            f"evaluate-{name}-reports",
            f"evaluate {name}, reports",
            ["evaluate", "report", "--model", str(self.model(name)), "--data", self._path("ct-rate")],
            ["--features", self._path("features"), "--split", "validation", "--items", str(self.size.items)],
            ["--max-new-tokens", str(MAX_NEW_TOKENS)],
            ["--name", name, "--out", str(self.result(name, REPORTS))],
            needs=[name],
            seconds=30,
        )

    def result(self, name: str, what: str = "balanced") -> Path:
        """Where the evaluation of a model lies: of questions with these distractors, or of its reports."""
        return self.folder / "evaluation" / f"{name}-{what}"

    def _path(self, name: str) -> str:
        return str(self.folder / name)

    def _stage(
        self,
        name: str,
        title: str,
        *arguments: Sequence[str],
        needs: Sequence[str] = (),
        **more: Any,
    ) -> Stage:
        words = tuple(word for part in arguments for word in part)
        return Stage(name, title, words, tuple(needs), **more)


__all__ = ["FULL", "MICRO", "MODEL", "REPORTS", "Chain", "Size"]
