"""Stage 1: supervised fine-tuning on reports and questions, with abnormality re-weighting (ARW).

    L = - sum_t a_t log P(y_t) / normaliser        paper eq. 4-5, a_t from `arw`

`ARWSFTTrainer` is TRL's `SFTTrainer` with these weights. The sum runs over the completions' tokens of all rows between
two steps of the optimizer, on all processes: how they are divided into batches, accumulation and processes changes
nothing. log P comes from TRL's fused head, which never holds the logits of all positions.

The paper does not say by what L is divided. "sum_weights" divides by the sum of the a_t, as the authors' release
(laihaoran/Med3D-R1, 17ea522) does, so that L stays a mean; "tokens" by the number of tokens, so that abnormal ones add
to it. Values without another source are those of FACTS: paper 4.2 and the release's script for this stage.

A checkpoint is a model folder with its processor. With adapters it holds these alone; to put them into the model:

    PeftModel.from_pretrained(load_model(base), checkpoint).merge_and_unload()
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import torch

try:
    from accelerate.utils import is_peft_model
    from trl import SFTConfig, SFTTrainer
    from trl.data_utils import get_dataset_column_names
except ImportError as error:
    raise ImportError("SFT needs TRL: pip install 'med3d-r1[train]'") from error

from ..checkpoints import load_model, load_processor
from ..data.feature_store import vision_tower
from .arw import IGNORED, ARWCollator
from .checkpointing import WholeCheckpoints
from .fused_head import only_labelled_positions
from .parts import choose_parts, table_of_parts, trainable

COLUMNS = ("images", "prompt", "completion")


@dataclass
class ARWSFTConfig(SFTConfig):
    """`SFTConfig` with the values of Med3D-R1.

    Args:
        abnormal_weight: lambda, the weight of tokens of abnormal sentences; 1 switches the re-weighting off.
        normalizer: what the sum is divided by, "sum_weights" (release) or "tokens"; see above.
        train: which of vision_tower, bridge and language_model train. The paper trains the bridge, and LoRA on the
            decoder in an ablation (table 3): adapters come by `peft_config`.
        max_length: None: nothing is cut. Else completions are cut, and a prompt that is as long is refused: it holds
            the volume.
        bf16, activation_checkpointing: None: on a GPU (bf16 where it can), not on a CPU, where they only cost time.
        ddp_find_unused_parameters: each part that trains takes part in each step, so there is nothing to look for.
    """

    learning_rate: float = 1e-4
    lr_scheduler_type: str = "cosine"
    warmup_steps: float = 0.03  # a share of all steps
    weight_decay: float = 0.01
    per_device_train_batch_size: int = 2
    num_train_epochs: float = 1.0
    max_length: int | None = field(default=None, metadata={"help": "Completions are cut there; prompts never."})
    gradient_checkpointing: bool | None = field(default=None, metadata={"help": "Old name; activation_checkpointing."})
    ddp_find_unused_parameters: bool | None = field(default=False, metadata={"help": "As in transformers."})
    abnormal_weight: float = field(default=1.10, metadata={"help": "Lambda, the weight of abnormal sentences."})
    normalizer: Literal["sum_weights", "tokens"] = field(
        default="sum_weights", metadata={"help": "What the weighted sum is divided by."}
    )
    train: list[str] = field(default_factory=lambda: ["bridge"], metadata={"help": "Parts of the model that train."})

    def __post_init__(self):
        on_gpu = torch.cuda.is_available() and not self.use_cpu
        if self.activation_checkpointing is None and self.gradient_checkpointing is None:
            self.activation_checkpointing = on_gpu
        if self.bf16 is None:
            self.bf16 = on_gpu and not self.fp16 and torch.cuda.is_bf16_supported(including_emulation=False)
        super().__post_init__()
        self._refuse()

    def _refuse(self) -> None:
        if self.normalizer not in ("sum_weights", "tokens"):
            raise ValueError(f"normalizer is sum_weights or tokens, not {self.normalizer!r}")
        if not self.abnormal_weight > 0:
            raise ValueError(f"abnormal_weight is a positive number, not {self.abnormal_weight}")
        refused = {
            "packing": (self.packing, "rows of several scans cannot be put into one sequence"),
            "padding_free": (self.padding_free, "rows of several scans cannot be put into one sequence"),
            "loss_type": (self.loss_type != "nll", "the loss is the weighted negative log-likelihood, nll"),
            "label_smoothing_factor": (self.label_smoothing_factor > 0, "the fused head gives no smoothed loss"),
            "use_liger_kernel": (self.use_liger_kernel, "TRL has given it up for its fused head"),
            "completion_only_loss": (self.completion_only_loss is False, "prompts carry no weight"),
            "assistant_only_loss": (self.assistant_only_loss, "rows are prompts and completions, not `messages`"),
        }
        for name, (is_set, reason) in refused.items():
            if is_set:
                raise ValueError(f"{name}={getattr(self, name)!r} does not go with ARW: {reason}. Leave it out")


class ARWSFTTrainer(WholeCheckpoints, SFTTrainer):
    """SFT for Med3D-R1.

    Args:
        model: Med3DR1ForConditionalGeneration, one with adapters, or the name of a model folder.
        args: default: `ARWSFTConfig` with all its defaults.
        train_dataset, eval_dataset: rows of `data.rows`: `images`, `prompt`, `completion`, and `abnormal_spans` where
            there is something to re-weight. `images` hold whatever the image processor reads by a path: scans,
            prepared scans, encoded scans.
        processing_class: the model's processor; default: that of the model's folder.
        peft_config: adapters, such as `lora_config()` makes. Parts of `train` beside the decoder must be in its
            `modules_to_save`.
        callbacks and others: as in TRL's trainer.

    Raises:
        ValueError: the rows would train on text alone or lack a column, or a part cannot train.
    """

    loss_is_scaled_for_ga = True  # the normaliser counts all batches of a step

    def __init__(
        self,
        model: Any,
        args: ARWSFTConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        peft_config: Any = None,
        callbacks: list | None = None,
        **kwargs,
    ):
        name = str(model) if isinstance(model, (str, Path)) else model.config._name_or_path
        args = args or ARWSFTConfig(f"{Path(name).name or 'med3d-r1'}-SFT")
        if refused := {"data_collator", "compute_loss_func", "formatting_func"} & kwargs.keys():
            raise ValueError(f"{min(refused)} would go around the re-weighting: leave it out")
        evaluated = eval_dataset if isinstance(eval_dataset, dict) else {"eval": eval_dataset}
        for dataset in (train_dataset, *evaluated.values()):
            if dataset is not None:
                require_columns(get_dataset_column_names(dataset), args.abnormal_weight)
        if isinstance(model, (str, Path)):
            # Steps of 1e-4 need float32 weights; what is computed in follows `bf16`.
            model = load_model(name, device="cpu", dtype=(args.model_init_kwargs or {}).get("dtype", torch.float32))
        if peft_config is None and not is_peft_model(model):
            choose_parts(model, args.train)
        super().__init__(
            model=model,
            args=args,
            train_dataset=train_dataset,
            eval_dataset=eval_dataset,
            processing_class=processing_class or load_processor(name),
            peft_config=peft_config,
            callbacks=callbacks,
            **kwargs,
        )
        choose_parts(self.model, args.train)
        if not (self.is_deepspeed_enabled or self.is_fsdp_enabled):  # these keep such copies themselves
            train_in_float32(self.model, fresh=peft_config is not None)
        settings = {one.name: getattr(self.data_collator, one.name) for one in fields(self.data_collator)}
        self.data_collator = ARWCollator(**settings, abnormal_weight=args.abnormal_weight)
        self._tower, self._tower_trains = vision_tower(self.model), trainable(self.model)["vision_tower"] > 0
        if self.accelerator.is_main_process:
            print(table_of_parts(self.model))

    def _set_signature_columns_if_needed(self):
        fresh = self._signature_columns is None
        super()._set_signature_columns_if_needed()
        if fresh:
            self._signature_columns = [*self._signature_columns, "abnormal_spans"]

    def _get_num_items_in_batch(self, batch_samples: list, device: torch.device) -> torch.Tensor:
        """What the sum over these batches, on all processes, is divided by."""
        total = sum(self._normaliser(batch["labels"], batch["token_weights"]) for batch in batch_samples).to(device)
        if self.args.average_tokens_across_devices:
            total = self.accelerator.gather(total).sum() / self.get_tp_size()
        return total

    def _normaliser(self, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """Labels and weights (B, T) of one batch -> its share. Nothing is predicted at the first position."""
        if self.args.normalizer == "tokens":
            return (labels[:, 1:] != IGNORED).sum().float()
        return weights[:, 1:].sum()

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """TRL's loss of log-probabilities that are multiplied by their weights first.

        Raises:
            ValueError: the vision tower is to train, and the scans are encoded already.
        """
        if not self._tower_trains:
            self._tower.eval()
        elif inputs["pixel_values"].ndim == 3:
            raise ValueError(
                "the vision tower trains, so `images` must hold scans, and these are encoded already. Give the scans, "
                "or leave vision_tower out of `train`"
            )
        weights = inputs.pop("token_weights")
        if num_items_in_batch is None:  # in evaluation TRL divides by the number of tokens
            labels = inputs["labels"]
            tokens = (labels[:, 1:] != IGNORED).sum()
            weights = weights * (tokens / self._normaliser(labels, weights).clamp(min=1))

        def weighted(**arguments):
            outputs = model(**arguments)
            if arguments.get("fused_lm_head"):
                outputs.log_probs = outputs.log_probs * weights[:, 1:]
            return outputs

        with only_labelled_positions(weights.device):
            return super().compute_loss(weighted, inputs, return_outputs, num_items_in_batch)


def require_columns(columns: list[str], abnormal_weight: float) -> None:
    """
    Raises:
        ValueError: rows with these columns would train without their scans, or without re-weighting.
    """
    there = ", ".join(columns)
    if "images" not in columns:
        raise ValueError(
            f"the rows have no column 'images', so the model would train on text alone; they have {there}. Put the "
            "path of each scan into `images`, a list"
        )
    if missing := [column for column in COLUMNS if column not in columns]:
        raise ValueError(f"rows have the columns {', '.join(COLUMNS)}; {missing[0]!r} is missing among {there}")
    if abnormal_weight != 1.0 and "abnormal_spans" not in columns:
        raise ValueError(
            f"abnormal_weight is {abnormal_weight}, and the rows have no column 'abnormal_spans' that says what is "
            "abnormal: add it (an empty list where nothing is), or set abnormal_weight to 1"
        )


def train_in_float32(model: torch.nn.Module, fresh: bool) -> None:
    """Keep weights that train in float32, whatever the model was loaded in: in bfloat16 small steps round to none.

    Args:
        model: in which it is settled what trains.
        fresh: adapters are new. TRL has then rounded them to bfloat16 where the model is quantised, and with them the
            parts that PEFT trains as a copy; these get back what the original still holds.
    """
    for weights in model.parameters():
        if weights.requires_grad and weights.dtype in (torch.bfloat16, torch.float16):
            weights.data = weights.data.float()
    if fresh:
        from peft.utils import ModulesToSaveWrapper

        for module in model.modules():
            if isinstance(module, ModulesToSaveWrapper):
                for copy in module.modules_to_save.values():
                    copy.load_state_dict(module.original_module.state_dict())


__all__ = ["COLUMNS", "ARWSFTConfig", "ARWSFTTrainer", "require_columns", "train_in_float32"]
