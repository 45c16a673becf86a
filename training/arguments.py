"""What the runs of each stage are made of, beside the configuration of its trainer: our own keys of recipes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args, get_type_hints

if TYPE_CHECKING:
    from transformers import TrainingArguments


@dataclass
class RunArguments:
    """What every stage is made of.

    A field that is a mapping is YAML in a recipe and JSON on the command line.
    """

    data: str | None = field(default=None, metadata={"help": "folder of the data set"})
    dataset: Literal["ct-rate", "rad-chestct", "phantom"] = field(
        default="ct-rate", metadata={"help": "its layout; phantom: synthetic patients in CT-RATE's"}
    )
    volumes: Literal["fixed", "original"] = field(
        default="fixed", metadata={"help": "which of CT-RATE's two releases of the voxels"}
    )
    on_fault: Literal["error", "skip"] = field(
        default="error", metadata={"help": "for volumes and rows that the data set lacks"}
    )
    split: str = field(default="train", metadata={"help": "the data set's own"})
    patient_share: float | None = field(default=None, metadata={"help": "take only so large a share of the patients"})
    patient_count: int | None = field(default=None, metadata={"help": "take only so many patients"})
    patient_part: Literal["chosen", "others"] = field(
        default="chosen", metadata={"help": "those patients, or all but those"}
    )
    patient_seed: int = field(default=0, metadata={"help": "another seed, another choice of patients"})
    volume_store: str | None = field(default=None, metadata={"help": "folder that `prepare` filled"})
    feature_store: str | None = field(default=None, metadata={"help": "folder that `encode` filled"})
    held_out: int = field(default=0, metadata={"help": "rows of held_out_split to evaluate on while training"})
    held_out_split: str = field(default="validation", metadata={"help": "the data set's own"})
    rows_seed: int | None = field(
        default=None, metadata={"help": "of everything that is drawn when rows are made; not set: `seed`"}
    )

    def __post_init__(self):
        for name in _mappings(type(self)):
            value = getattr(self, name)
            if isinstance(value, str):
                setattr(self, name, _json(name, value))


@dataclass
class DecoderArguments(RunArguments):
    """What the stages add that train a whole model: where it begins, how its decoder is loaded and adapted."""

    model: str | None = field(default=None, metadata={"help": "model folder or Hub id to start from"})
    dtype: Literal["float32", "bfloat16", "auto"] = field(
        default="float32",
        metadata={"help": "of the weights in memory; the products follow `bf16`. auto: as they are stored"},
    )
    bits: int | None = field(default=None, metadata={"help": "4 or 8: the decoder is loaded quantised"})
    lora_r: int | None = field(default=None, metadata={"help": "rank of LoRA on the decoder; not set: no LoRA"})
    lora_alpha: int = field(default=32, metadata={"help": "as in PEFT"})
    lora_dropout: float = field(default=0.05, metadata={"help": "as in PEFT"})


@dataclass
class ClipArguments(RunArguments):
    """Stage 0."""

    preset: Literal["3b", "tiny"] = field(default="3b", metadata={"help": "shape of the vision tower, and its grid"})
    vision_weights: str | None = field(
        default=None, metadata={"help": "file of a vision tower to start from; not set: random"}
    )
    margin: list[int] = field(
        default_factory=lambda: [0, 0, 0],
        metadata={"help": "voxels (D, H, W) that are kept beyond the grid, as the volume store was prepared"},
    )
    text_encoder: str = field(
        default="bag", metadata={"help": "`bag` of tokens, or Hub id or folder of a transformers text encoder"}
    )
    text: Literal["report", "findings", "impression"] = field(
        default="report", metadata={"help": "what of a report is shown"}
    )
    impression_share: float = field(
        default=0.0, metadata={"help": "so large a share of the texts is the impression alone"}
    )


@dataclass
class LanguageArguments(RunArguments):
    """The tiny language model, from scratch on text. It needs no data set: its lessons are drawn."""

    lessons: int = field(default=2400, metadata={"help": "of all kinds, to train on"})
    question_lessons: int = field(default=2400, metadata={"help": "of one question with options each: for the drills"})
    checklist_lessons: int = field(default=600, metadata={"help": "of one checklist each: for the second drill"})


@dataclass
class SFTArguments(DecoderArguments):
    """Stage 1."""

    mixture: dict | str | None = field(default=None, metadata={"help": "kind of row -> share; not set: reports"})
    rows: int | None = field(default=None, metadata={"help": "so many rows are drawn; not set: no row twice"})
    which_volumes: Literal["all", "first"] = field(default="all", metadata={"help": "reconstructions of a scan"})
    labeller: Literal["rules", "llm"] = field(
        default="rules", metadata={"help": "says which sentences of a report are abnormal"}
    )
    labeller_options: dict | str | None = field(default=None, metadata={"help": "arguments of the labeller llm"})
    vqa_kinds: list[str] | None = field(default=None, metadata={"help": "kinds of CT-RATE's questions"})
    standardize: bool = field(
        default=False, metadata={"help": "whiten the features in the bridge by the statistics of the training features"}
    )


@dataclass
class GRPOArguments(DecoderArguments):
    """Stage 2."""

    distractors: Literal["negative", "random", "balanced"] = field(
        default="negative", metadata={"help": "see docs/data.md; random: the paper's words"}
    )
    draw: Literal["scan", "positive", "label"] = field(default="scan", metadata={"help": "see docs/data.md"})
    per_scan: int = field(default=1, metadata={"help": "questions a scan"})
    think: bool = field(default=True, metadata={"help": "whether the prompt asks for reasoning"})
    rewards: list[str] = field(
        default_factory=lambda: ["format", "accuracy"],
        metadata={
            "help": "in the order of reward_weights: format, accuracy, consistency, answer_consistency, perception"
        },
    )
    consistency: dict | str | None = field(
        default=None, metadata={"help": "the consistency reward: scorer, options, levels, thresholds"}
    )


@dataclass(frozen=True)
class Stage:
    """Where a stage's parts are.

    Attributes:
        arguments: the dataclass of what its runs are made of.
        module, config: the stage's configuration, by names, so that nothing is imported for `--help`.
        needs: keys that have no default that would do.
    """

    arguments: type[RunArguments]
    module: str
    config: str
    needs: tuple[str, ...] = ("data", "output_dir")

    def config_class(self) -> type[TrainingArguments]:
        return getattr(import_module(self.module, __package__), self.config)


STAGES = {
    "clip": Stage(ClipArguments, "..trainers.clip", "ClipConfig"),
    "language": Stage(LanguageArguments, "..trainers.language", "LanguageConfig", ("output_dir",)),
    "sft": Stage(SFTArguments, "..trainers.sft", "ARWSFTConfig", ("model", "data", "output_dir")),
    "grpo": Stage(GRPOArguments, "..trainers.grpo", "Med3DR1GRPOConfig", ("model", "data", "output_dir")),
}


def _mappings(arguments: type) -> list[str]:
    return [name for name, hint in get_type_hints(arguments).items() if dict in get_args(hint)]


def _json(name: str, text: str) -> dict:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"--{name} is JSON, such as '{{\"report\": 1}}'; got {text!r}") from error
    if not isinstance(value, dict):
        raise ValueError(f"--{name} is a mapping; got {text!r}")
    return value


__all__ = [
    "STAGES",
    "ClipArguments",
    "DecoderArguments",
    "GRPOArguments",
    "LanguageArguments",
    "RunArguments",
    "SFTArguments",
    "Stage",
]
