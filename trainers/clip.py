"""Stage 0: a 3D CLIP of volumes and report texts, whose vision tower the next stages take over (paper 4.2, BrgSA).

    rows        images: [path], text: str, labels: 18 times 0 or 1 (optional)
    training    see `clip_losses`; all processes' pairs are each other's negatives
    evaluation  zero-shot: how well "There is {label}" agrees with a scan, as AUROC over scans for each abnormality
    afterwards  `save_vision_tower(path)` -> `med3d-r1 init --vision-weights path`

Accumulated batches are contrasted each by itself: `gradient_accumulation_steps` makes no batch larger here, more
processes do.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import nn
from transformers import Trainer, TrainingArguments

from ..abnormalities import CT_RATE_LABELS
from ..checkpoints import save_weights
from ..metrics.auroc import auroc
from .checkpointing import WholeCheckpoints
from .clip_data import ClipCollator, EpochSampler, ShiftedRows
from .clip_model import ClipModel, Pooling

if TYPE_CHECKING:
    from transformers import EvalPrediction

    from ..image_processing_med3d_r1 import Med3DR1ImageProcessor
    from ..vision_med3d_r1 import Med3DR1VisionModel

Contrast = Literal["nothing", "absence", "others"]
CONTRASTS: tuple[Contrast, ...] = ("nothing", "absence", "others")


@dataclass
class ClipConfig(TrainingArguments):
    """What stage 0 adds to transformers' training arguments. Defaults are BrgSA's (arXiv 2501.03565 and its release).

    Attributes:
        embedding_width: of the space in which images and texts meet, and of the knowledge bank.
        pooling: "class", "mean" or "mean_max", see `clip_model.POOLINGS`.
        batch_norm: whether the heads begin with a BatchNorm.
        scale: of the cosines. BrgSA keeps it at 10.
        learn_scale: train it, as CLIP does.
        lock_text: keep the text encoder and its head as they start, see `ClipModel`.
        bank_entries, reconstruction_weight, reconstructed_contrastive_weight: of the knowledge bank; 0 switches off.
        text_layers: so many last layers of a transformers text encoder are summed.
        max_text_tokens: longer texts lose their end.
        lowercase: give the tokenizer no capitals.
        random_shift: largest random shift of a training scan in voxels along (D, H, W). BrgSA crops 112 x 224 x 224 of
            128 x 256 x 256 voxels at random: [8, 16, 16], for a volume store that was prepared with that margin.
        keep_scans: so many prepared scans stay in memory.
        prompt, absence_prompt: what is asked zero-shot, with {label} for the abnormality's name as CT-RATE writes it.
        contrast: what a scan's agreement with a prompt is compared with. "nothing": it stands alone (BrgSA's released
            evaluation). "absence": minus that with `absence_prompt` (CT-CLIP, arXiv 2403.17834, takes the softmax of
            the two, which orders scans alike); a bag of tokens has hardly any sense for a "no". "others": minus the
            mean over all abnormalities' prompts, which takes away how far a scan agrees with any text at all.
        ddp_find_unused_parameters: each part that trains takes part in each step, so there is nothing to look for.
    """

    ddp_find_unused_parameters: bool | None = field(default=False, metadata={"help": "As in transformers."})
    embedding_width: int = field(default=768, metadata={"help": "of the space where images and texts meet"})
    pooling: Pooling = field(default="class", metadata={"help": "class, mean or mean_max of a scan's tokens"})
    batch_norm: bool = field(default=False, metadata={"help": "heads begin with a BatchNorm"})
    scale: float = field(default=10.0, metadata={"help": "of the cosines"})
    learn_scale: bool = field(default=False, metadata={"help": "train the scale"})
    lock_text: bool = field(default=False, metadata={"help": "keep the text encoder as it starts"})
    bank_entries: int = field(default=2048, metadata={"help": "rows of the knowledge bank, 0 for none"})
    reconstruction_weight: float = field(default=0.5, metadata={"help": "of the bank's MSE"})
    reconstructed_contrastive_weight: float = field(default=1.0, metadata={"help": "of InfoNCE on reconstructions"})
    text_layers: int = field(default=1, metadata={"help": "last layers of the text encoder that are summed"})
    max_text_tokens: int | None = field(default=97, metadata={"help": "longer texts lose their end"})
    lowercase: bool = field(default=False, metadata={"help": "give the tokenizer no capitals"})
    random_shift: list[int] = field(
        default_factory=lambda: [0, 0, 0], metadata={"help": "largest random shift of a training scan, (D, H, W)"}
    )
    keep_scans: int = field(default=0, metadata={"help": "so many prepared scans stay in memory"})
    prompt: str = field(default="There is {label}", metadata={"help": "what is asked zero-shot"})
    absence_prompt: str = field(default="There is no {label}", metadata={"help": "the opposite of `prompt`"})
    contrast: Contrast = field(default="nothing", metadata={"help": "nothing, absence or others"})

    # Other defaults than TrainingArguments has.
    learning_rate: float = field(default=5e-5, metadata={"help": "BrgSA"})
    per_device_train_batch_size: int = field(default=64, metadata={"help": "BrgSA"})
    num_train_epochs: float = field(default=39, metadata={"help": "BrgSA: at most so many"})
    remove_unused_columns: bool = field(default=False, metadata={"help": "the collator needs all of them"})

    def __post_init__(self):
        super().__post_init__()
        if self.contrast not in CONTRASTS:
            raise ValueError(f"contrast is one of {', '.join(CONTRASTS)}; got {self.contrast!r}")
        if len(self.random_shift) != 3 or min(self.random_shift) < 0:
            raise ValueError(f"random_shift is three voxel counts along (D, H, W); got {self.random_shift}")
        for name in ("prompt", "absence_prompt"):
            if "{label}" not in getattr(self, name):
                raise ValueError(
                    f"{name} must say where the abnormality stands, by {{label}}; got {getattr(self, name)!r}"
                )

    def model(self, vision_tower: Med3DR1VisionModel, text_encoder: nn.Module) -> ClipModel:
        """The model that these settings describe, with new heads and a new bank."""
        return ClipModel(
            vision_tower,
            text_encoder,
            width=self.embedding_width,
            pooling=self.pooling,
            batch_norm=self.batch_norm,
            scale=self.scale,
            learn_scale=self.learn_scale,
            lock_text=self.lock_text,
            bank_entries=self.bank_entries,
            reconstruction_weight=self.reconstruction_weight,
            reconstructed_contrastive_weight=self.reconstructed_contrastive_weight,
        )


class ClipTrainer(WholeCheckpoints, Trainer):
    """Trains a `ClipModel`.

    Args:
        model: as `ClipConfig.model` makes it.
        args: of the run.
        train_dataset, eval_dataset: rows; those to evaluate on need `labels` for an AUROC.
        image_processor, tokenizer: those of the two towers. The tokenizer is saved with each checkpoint.
        callbacks: as in transformers.

    Raises:
        ValueError: there are fewer rows than one step contrasts.
    """

    def __init__(
        self,
        model: ClipModel,
        args: ClipConfig,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        *,
        image_processor: Med3DR1ImageProcessor,
        tokenizer: Any,
        callbacks: Sequence[Any] | None = None,
    ):
        collator = ClipCollator(
            image_processor,
            tokenizer,
            max_text_tokens=args.max_text_tokens,
            lowercase=args.lowercase,
            keep_scans=args.keep_scans,
        )
        if train_dataset is not None:
            train_dataset = ShiftedRows(train_dataset, args.random_shift, args.seed)
        super().__init__(
            model=model,
            args=args,
            data_collator=collator,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=tokenizer,
            compute_metrics=self._zero_shot_metrics,
            callbacks=callbacks,
        )
        self._terms: dict[str, list[torch.Tensor]] = {}

    def _get_train_sampler(self, train_dataset: Any = None) -> EpochSampler:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return EpochSampler(len(rows), self._train_batch_size * self.args.world_size, self.args.seed)

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        output = model(**{name: value for name, value in inputs.items() if name != "labels"})
        if model.training:
            for name in ("contrastive", "reconstruction", "reconstructed_contrastive"):
                if (term := getattr(output, name)) is not None:
                    self._terms.setdefault(name, []).append(term.detach())
        return (output.loss, output) if return_outputs else output.loss

    def log(self, logs: dict[str, float], *args: Any, **kwargs: Any) -> None:
        """As in transformers, with the mean of each term of the loss since the last time."""
        if "loss" in logs:
            logs |= {name: torch.stack(terms).mean().item() for name, terms in self._terms.items()}
            self._terms = {}
        super().log(logs, *args, **kwargs)

    def prediction_step(self, model, inputs, prediction_loss_only, ignore_keys=None):
        """(loss of this batch by itself, agreement with each abnormality (N, 18), labels (N, 18))."""
        inputs = self._prepare_inputs(inputs)
        with torch.no_grad(), self.compute_loss_context_manager():
            loss, output = self.compute_loss(model, inputs, return_outputs=True)
            if prediction_loss_only:
                return loss, None, None
            return loss, self.agreement(output.image_embeds), inputs["labels"]

    @torch.no_grad()
    def agreement(self, images: torch.Tensor) -> torch.Tensor:
        """How far scans agree with the presence of each abnormality.

        Args:
            images: (N, E), from `ClipModel.embed_images` in evaluation mode.

        Returns:
            (N, 18), in official order; only the order of the scans means anything.
        """
        model = self.accelerator.unwrap_model(self.model)
        scores = model.similarity(images, self._prompts(model, self.args.prompt))
        if self.args.contrast == "absence":
            return scores - model.similarity(images, self._prompts(model, self.args.absence_prompt))
        return scores - scores.mean(dim=1, keepdim=True) if self.args.contrast == "others" else scores

    def _prompts(self, model: ClipModel, prompt: str) -> torch.Tensor:
        texts = self.data_collator.texts([prompt.format(label=label) for label in CT_RATE_LABELS])
        return model.embed_texts(**{name: tensor.to(self.args.device) for name, tensor in texts.items()})

    def _zero_shot_metrics(self, predicted: EvalPrediction) -> dict[str, float]:
        """AUROC of each abnormality that some scans have and some have not, and their mean."""
        scores, truth = np.asarray(predicted.predictions), np.asarray(predicted.label_ids)
        areas = {label: auroc(scores[:, place], truth[:, place]) for place, label in enumerate(CT_RATE_LABELS)}
        known = {label: area for label, area in areas.items() if area is not None}
        if not known:
            return {}
        each = {f"auroc_{label.lower().replace(' ', '_')}": area for label, area in known.items()}
        return {"auroc": float(np.mean([*known.values()])), **each}

    def save_vision_tower(self, path: str | Path) -> None:
        """Write the vision tower's weights to a .safetensors file, for `med3d-r1 init --vision-weights`. All processes
        call it: sharded weights are gathered, and one process writes.

        Raises:
            FileExistsError: there is such a file already.
        """
        prefix = "vision_tower."
        weights = self.accelerator.get_state_dict(self.model_wrapped)
        if self.args.should_save:
            save_weights({key: value for key, value in weights.items() if key.startswith(prefix)}, path)


__all__ = ["CONTRASTS", "ClipConfig", "ClipModel", "ClipTrainer", "Contrast"]
