"""The stages of training: a plan -> model, data and trainer, ready to begin."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..checkpoints import IMAGE_PROCESSORS, hub_commit, load_model, load_processor
from ..configuration_med3d_r1 import Med3DR1Config
from ..encoded_med3d_r1 import ENCODED_SUFFIX, load_encoded
from ..image_processing_med3d_r1 import Med3DR1ImageProcessor
from ..lora import lora_config
from ..quantization import quantization_config
from ..tiny import tiny_tokenizer
from ..vision_med3d_r1 import Med3DR1VisionModel
from ..weights_med3d_r1 import load_vision_weights
from .calibration import CalibrateAtStart, CalibratedConsistency
from .data import clip_rows, material, open_places, question_rows, rows_sha256, sft_rows, spread
from .recipe import Plan
from .rewards import reward_functions

if TYPE_CHECKING:
    from transformers import Trainer, TrainerCallback

STATISTICS_SCANS = 2000
"""So many scans say enough about the spread of features: a mean over them is known to 2 % of the spread."""

LESSONS_A_SEED = 1_000_000
"""No two seeds share a lesson, as long as a run draws fewer than this."""


@dataclass
class Setup:
    """A run that can begin.

    Attributes:
        trainer: of the stage, with its model and its data.
        processor: what is saved beside the model.
        data, start, trains: for the record: what is learnt from, what the run starts from, and how many weights of each
            part train.
        adapted: gives a new copy of the model that the adapters belong to, where adapters are trained.
        beside: (path) -> writes what else comes of the run, `VISION_WEIGHTS`; all processes call it.
        examined: whether the trainer looks at the held-out rows by itself.
        calibration: (what the record knows of it or None, `settle`) -> what finds thresholds when training begins,
            where a reward needs them.
    """

    trainer: Trainer
    processor: Any
    data: dict[str, Any]
    start: dict[str, Any]
    trains: dict[str, int]
    adapted: Callable[[], Any] | None = None
    beside: Callable[[Path], None] | None = None
    examined: bool = False
    calibration: Callable[[dict[str, Any] | None, Callable], TrainerCallback] | None = None


def build(plan: Plan) -> Setup:
    """Everything that a run needs.

    Raises:
        ValueError: settings do not go together, or the data makes no rows.
        FileNotFoundError, StoreError, DatasetError, ImportError: as the parts raise them.
    """
    return _BUILDERS[plan.stage](plan)


def _grpo(plan: Plan) -> Setup:
    from ..trainers.grpo import Med3DR1GRPOTrainer

    functions = reward_functions(plan.run)
    setup = _with_decoder(plan, Med3DR1GRPOTrainer, question_rows, reward_funcs=functions)
    setup.examined = True
    trainer = setup.trainer
    for reward in functions:
        if isinstance(reward, CalibratedConsistency):
            answer = partial(trainer.answer_by_chance, seed=plan.config.seed)
            setup.calibration = partial(CalibrateAtStart, reward, trainer.train_dataset, answer)
    return setup


def _sft(plan: Plan) -> Setup:
    from ..trainers.sft import ARWSFTTrainer

    return _with_decoder(plan, ARWSFTTrainer, sft_rows)


def _clip(plan: Plan) -> Setup:
    from ..trainers.clip import ClipTrainer

    run, config = plan.run, plan.config
    if run.feature_store is not None:
        raise ValueError("feature_store: CLIP trains the vision tower that a feature store was made with; leave it out")
    image_processor = Med3DR1ImageProcessor(**IMAGE_PROCESSORS[run.preset], margin=run.margin)
    places = open_places(run, None, image_processor)
    learnt = material(run, places, clip_rows(run, places))
    tower = Med3DR1VisionModel._from_config(Med3DR1Config.preset(run.preset).vision_config)
    if run.vision_weights is not None:
        load_vision_weights(tower, run.vision_weights)
    text_encoder, tokenizer = _text_encoder(run, config)
    trainer = ClipTrainer(
        model=config.model(tower, text_encoder),
        args=config,
        train_dataset=learnt.train,
        eval_dataset=learnt.held_out,
        image_processor=image_processor,
        tokenizer=tokenizer,
    )
    start = {} if run.vision_weights is None else {"sha256": _sha256([Path(run.vision_weights)])}
    trains = {
        name: sum(weights.numel() for weights in part.parameters()) for name, part in trainer.model.named_children()
    }
    return Setup(trainer, image_processor, learnt.facts, start, trains, beside=trainer.save_vision_tower)


def _text_encoder(run: Any, config: Any) -> tuple[Any, Any]:
    """(text encoder, its tokenizer)."""
    from ..trainers.clip_text import BagOfTokens, load_text_encoder

    if run.text_encoder != "bag":
        return load_text_encoder(run.text_encoder, config.text_layers)
    tokenizer = tiny_tokenizer()
    return BagOfTokens(len(tokenizer), config.embedding_width), tokenizer


def _language(plan: Plan) -> Setup:
    from ..data.phantom.lessons import draw_checklist, draw_lesson, draw_question
    from ..trainers.language import LanguageTrainer, tiny_language_model

    run, config = plan.run, plan.config
    if run.held_out < 1:
        raise ValueError("held_out is missing: so many lessons are the examination of the language model")
    numbers = count(run.rows_seed * LESSONS_A_SEED)
    kinds = {
        "questions": (draw_question, run.question_lessons),
        "checklists": (draw_checklist, run.checklist_lessons),
        "lessons": (draw_lesson, run.lessons),
        "held_out": (draw_question, run.held_out),
    }
    rows = {name: [draw(next(numbers)) for _ in range(amount)] for name, (draw, amount) in kinds.items()}
    model, tokenizer = tiny_language_model(config.seed)
    trainer = LanguageTrainer(
        model=model,
        args=config,
        question_dataset=rows["questions"],
        checklist_dataset=rows["checklists"],
        train_dataset=rows["lessons"],
        eval_dataset=rows["held_out"],
        processing_class=tokenizer,
    )
    facts = {name: rows_sha256(of_kind) for name, of_kind in rows.items()}
    trains = {"language_model": sum(weights.numel() for weights in model.parameters())}
    return Setup(trainer, tokenizer, facts, {}, trains, examined=True)


def _with_decoder(plan: Plan, trainer_class: type, rows: Callable, **more: Any) -> Setup:
    from ..trainers.parts import trainable

    run, config = plan.run, plan.config
    require_compatible(run, config)
    processor = load_processor(run.model)
    model = _load(run)
    places = open_places(run, model, processor.image_processor)
    learnt = material(run, places, rows(run, places))
    if getattr(run, "standardize", False):
        standardize(model, [path for row in learnt.train["images"] for path in row])
    trainer = trainer_class(
        model=model,
        args=config,
        train_dataset=learnt.train,
        eval_dataset=learnt.held_out,
        processing_class=processor,
        peft_config=adapters(run, config),
        **more,
    )
    adapted = None if run.lora_r is None else partial(load_model, run.model, "cpu", _dtype(run))
    return Setup(trainer, processor, learnt.facts, start_of(run.model), trainable(trainer.model), adapted)


def require_compatible(run: Any, config: Any) -> None:
    """
    Raises:
        ValueError: parts are to train that cannot, as the model is loaded or read.
    """
    if run.feature_store is not None and "vision_tower" in config.train:
        raise ValueError(
            "feature_store holds what the vision tower makes of the scans, so the tower cannot train: leave "
            "vision_tower out of `train`, or take `volume_store` instead"
        )
    if run.bits is not None and run.lora_r is None and "language_model" in config.train:
        raise ValueError(f"a decoder in {run.bits} bits cannot train itself: set `lora_r`, or leave it out of `train`")
    if getattr(run, "standardize", False) and run.lora_r is not None and "bridge" not in config.train:
        raise ValueError(
            "standardize changes the bridge, and with adapters only parts that train are saved: add bridge"
        )


def standardize(model: Any, images: Sequence[str]) -> None:
    """Fill the bridge's statistics from encoded scans: means and correlations of the channels.

    Args:
        model: whose bridge standardises.
        images: paths, in any order and more than once; of very many, `STATISTICS_SCANS` are looked at.

    Raises:
        ValueError: the bridge does not standardise, a path is not of an encoded scan, or there is one scan only.
    """
    paths = spread(sorted(set(images)), min(STATISTICS_SCANS, len(set(images))))
    if raw := [path for path in paths if not path.endswith(ENCODED_SUFFIX)]:
        raise ValueError(f"standardize needs encoded scans, and {raw[0]} is none: set `feature_store`")
    model.model.bridge.standardize_features(load_encoded(path) for path in paths)


def _dtype(run: Any) -> torch.dtype | str:
    return "auto" if run.dtype == "auto" else getattr(torch, run.dtype)


def _load(run: Any) -> Any:
    """The model where the trainer wants it: on the CPU, or, quantised, on the device where it will stay."""
    if run.bits is None:
        return load_model(run.model, "cpu", _dtype(run))
    from accelerate import PartialState

    device = PartialState().device
    compute = torch.bfloat16 if device.type == "cuda" else torch.float32
    return load_model(run.model, str(device), _dtype(run), quantization_config(run.bits, compute))


def adapters(run: Any, config: Any) -> Any:
    if run.lora_r is None:
        return None
    adapters = lora_config(run.lora_r, run.lora_alpha, run.lora_dropout)
    adapters.modules_to_save = [part for part in config.train if part != "language_model"] or None
    return adapters


def start_of(model: str) -> dict[str, Any]:
    """What a run starts from: a hash of a folder's settings and weights, or the commit of a Hub repository."""
    folder = Path(model)
    if not folder.is_dir():
        return {"model": model, "commit": hub_commit(model)}
    return {"model": model, "sha256": _sha256([*folder.glob("*.safetensors"), folder / "config.json"])}


def _sha256(files: Sequence[Path]) -> str:
    """Of files' names and contents."""
    digest = hashlib.sha256()
    for file in sorted(files):
        with open(file, "rb") as content:
            digest.update(f"{file.name} {hashlib.file_digest(content, 'sha256').hexdigest()}\n".encode())
    return digest.hexdigest()


_BUILDERS = {"clip": _clip, "language": _language, "sft": _sft, "grpo": _grpo}

__all__ = [
    "Setup",
    "adapters",
    "build",
    "require_compatible",
    "standardize",
    "start_of",
]
