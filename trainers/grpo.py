"""Stage 2: GRPO on TRL's trainer. The policy answers each question a few times, and rewards decide what it learns.

`Med3DR1GRPOTrainer` is TRL's `GRPOTrainer`, and adds what that lacks here:

- a scan is read and encoded once for a generation batch, whatever the size of the group (`scan_inputs`);
- full training with beta > 0 takes any model object: the reference is a copy, and shares the weights that do not train;
- what shows that rewards are being hacked is logged (`watch`), held-out questions among it;
- a run that was killed goes on as if it had not been, also where several steps are made from one generation batch;
- rows without scans, and prompts that are too long, are refused rather than trained on without their volume.

Values without another source are those of the authors' release (laihaoran/Med3D-R1, 17ea522).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

try:
    from accelerate.utils import is_peft_model
    from transformers import GenerationConfig
    from trl import GRPOConfig, GRPOTrainer
    from trl.models.utils import unwrap_model_for_generation
    from trl.trainer import grpo_trainer
    from trl.trainer.utils import RepeatSampler
except ImportError as error:
    raise ImportError("GRPO needs TRL: pip install 'med3d-r1[train]'") from error

from ..checkpoints import load_model, load_processor
from ..rewards.completions import texts_of
from .checkpointing import WholeCheckpoints
from .fused_head import only_labelled_positions
from .parts import PARTS, choose_parts, table_of_parts
from .scan_inputs import FrozenTower, NumberedScans, ReferenceTower, Tower, TrainedTower, numbers_for_volumes
from .sft import train_in_float32
from .watch import HeldOutAccuracy, completion_shares


def _setting(value: Any, told: str) -> Any:
    """A field of the configuration with its line for `--help`."""
    return field(default=value, metadata={"help": told})


@dataclass
class Med3DR1GRPOConfig(GRPOConfig):
    """`GRPOConfig` with the values of Med3D-R1.

    Args:
        loss_type: "grpo": the mean over the tokens of a completion, then over completions, as the release computes
            it. TRL's default, "dapo", takes the mean over all tokens of the batch: long completions weigh more.
        scale_rewards: "group": the advantage is (r - mean) / (std + 1e-4) over the group, as in the release.
        max_prompt_length: longer prompts, volume tokens included, are refused: a truncated one would lose its volume.
        train: which of vision_tower, bridge and language_model train. The paper trains all.
        bridge_learning_rate_scale: the bridge's learning rate is so many times that of the rest.
        feature_cache_gb: a frozen vision tower's features are kept in memory up to this size for later steps; a scan
            takes 4.2 MB at full size in bfloat16.
        held_out_every: every so many steps, questions of `eval_dataset` are answered with their own and with swapped
            scans, greedily; 0 for never.
        held_out_items: at most so many of them, evenly spread over the data set.
        ddp_find_unused_parameters: each part that trains takes part in each step, so there is nothing to look for.
    """

    learning_rate: float = _setting(1e-6, "Peak learning rate (release).")
    num_generations: int = _setting(4, "Completions of a question: the size of a group (release).")
    num_iterations: int = _setting(1, "How often each generation is learnt from (release).")
    beta: float = _setting(0.04, "Weight of the KL divergence from the reference model (release).")
    epsilon: float = _setting(0.2, "The probability ratio is clipped to 1 +- this (release).")
    loss_type: str = _setting("grpo", "Mean over tokens, then over completions (release).")
    scale_rewards: str = _setting("group", "What advantages are divided by the deviation of (release).")
    temperature: float = _setting(0.6, "Of sampling (release).")
    top_p: float = _setting(0.95, "Of sampling (release).")
    top_k: int = _setting(30, "Of sampling (release).")
    max_completion_length: int = _setting(512, "Tokens of a completion at most (release).")
    log_multimodal: bool = _setting(False, "Whether loggers get the images: here they are paths, and no pictures.")
    max_prompt_length: int | None = _setting(1024, "Tokens of a prompt at most (release); longer ones are refused.")
    train: list[str] = field(
        default_factory=lambda: list(PARTS), metadata={"help": "Parts of the model that train: the paper trains all."}
    )
    bridge_learning_rate_scale: float = _setting(1.0, "The bridge's learning rate over that of the rest.")
    feature_cache_gb: float = _setting(4.0, "Memory for features of a frozen vision tower, kept for later steps.")
    held_out_every: int = _setting(50, "Steps between two measurements on held-out questions; 0: none.")
    held_out_items: int = _setting(64, "Held-out questions of a measurement.")
    ddp_find_unused_parameters: bool | None = _setting(False, "As in transformers.")


class Med3DR1GRPOTrainer(WholeCheckpoints, GRPOTrainer):
    """GRPO for Med3D-R1.

    Args:
        model: Med3DR1ForConditionalGeneration, one with adapters, or the name of a model folder.
        reward_funcs, eval_dataset, peft_config, callbacks, ...: as in TRL's trainer.
        train_dataset: rows with `images`, `prompt` and whatever columns the rewards ask for; see `mmvqa_rows`.
            `images` hold whatever the image processor reads by a path, encoded scans too.
        processing_class: the model's processor; default: that of the model's folder.

    Raises:
        ValueError: rows have no `images` column, or the settings contradict each other.
    """

    def __init__(
        self,
        model: Any,
        reward_funcs: Any = None,
        args: Med3DR1GRPOConfig | None = None,
        train_dataset: Any = None,
        eval_dataset: Any = None,
        processing_class: Any = None,
        peft_config: Any = None,
        callbacks: list | None = None,
        **kwargs,
    ):
        name = str(model) if isinstance(model, (str, Path)) else model.config._name_or_path
        args = args or Med3DR1GRPOConfig(f"{Path(name).name or 'med3d-r1'}-GRPO")
        for dataset in (train_dataset, eval_dataset):
            _require_images(dataset)
        if isinstance(model, (str, Path)):
            # Steps of 1e-6 need float32 weights; what is computed in follows `bf16`.
            model = load_model(name, device="cpu", dtype=(args.model_init_kwargs or {}).get("dtype", torch.float32))
        if peft_config is None:
            choose_parts(model, args.train)
        self._scans: dict[str, NumberedScans] = {}
        with self._copied_reference(model):
            super().__init__(
                model=model,
                reward_funcs=reward_funcs,
                args=args,
                train_dataset=train_dataset,
                eval_dataset=eval_dataset,
                processing_class=processing_class or load_processor(name),
                peft_config=peft_config,
                callbacks=callbacks,
                **kwargs,
            )
        if peft_config is not None:
            choose_parts(self.model, args.train)
        if not (self.is_deepspeed_enabled or self.is_fsdp_enabled):  # these keep such copies themselves
            train_in_float32(self.model, fresh=peft_config is not None)
        self._policy, self._policy_tower, self._reference_tower = self._choose_towers()
        if self.accelerator.is_main_process:
            print(table_of_parts(self.model), self._memory_of_reference(), sep="\n")
        if args.held_out_every and eval_dataset is not None:
            self.add_callback(
                HeldOutAccuracy(
                    eval_dataset, self.answer_greedily, self._log_now, args.held_out_every, args.held_out_items
                )
            )

    # The reference model

    @contextmanager
    def _copied_reference(self, model: Any) -> Iterator[None]:
        """In this context TRL's reference model is a copy of the policy, not another one loaded by name: a model that
        was assembled in memory has no name, and the code of this package needs no trust. Weights that do not train
        are shared, unless they are to be divided over processes."""

        def copied(name: str, **options) -> Any:
            shared = {}
            if not (self.is_fsdp_enabled or self.is_deepspeed_enabled):
                shared = {id(weights): weights for weights in model.parameters() if not weights.requires_grad}
            return copy.deepcopy(model, shared).requires_grad_(False).eval()

        load = grpo_trainer.create_model_from_path
        grpo_trainer.create_model_from_path = copied
        try:
            yield
        finally:
            grpo_trainer.create_model_from_path = load

    def _memory_of_reference(self) -> str:
        if self.beta == 0.0:
            return "reference model: none (beta is 0)"
        if self.ref_model is None:
            return "reference model: the policy without its adapters; takes no memory of its own"
        policy = {id(weights) for weights in self.model.parameters()}
        own = [weights for weights in self.ref_model.parameters() if id(weights) not in policy]
        count, size = sum(weights.numel() for weights in own), sum(weights.nbytes for weights in own)
        return f"reference model: a copy of {count:,} weights, {size / 1e9:,.2f} GB; what does not train is shared"

    # Scans: read and encoded once

    def _choose_towers(self) -> tuple[Any, Tower, Tower]:
        """The policy's Med3DR1Model, and where it and the reference model get their features."""
        policy = _inner(self.accelerator.unwrap_model(self.model))
        context = self.accelerator.autocast
        if not any(weights.requires_grad for weights in policy.vision_tower.parameters()):
            sharded = self.is_fsdp_enabled or self._dist.is_zero3
            frozen = FrozenTower(policy, self.args.feature_cache_gb * 1e9, context, sharded)
            return policy, frozen, frozen
        if is_peft_model(self.model):
            raise ValueError(
                "with adapters the vision tower cannot train: the reference model is the policy without its adapters, "
                "and would see with the trained tower. Leave vision_tower out of `train` and of the adapters"
            )
        trained = TrainedTower(policy, lambda: self.state.global_step, lambda: self.accelerator.sync_gradients, context)
        reference = None
        if self.ref_model is not None:
            reference = ReferenceTower(_inner(self.accelerator.unwrap_model(self.ref_model)))
        return policy, trained, reference

    @property
    def _mode(self) -> str:
        """As TRL has it: what is asked between two steps of training is "eval"."""
        return "train" if self.model.training else "eval"

    def _generate_and_score_completions(self, inputs):
        for row in inputs:
            if not row.get("images"):
                raise ValueError(f"a row has no scan in `images`, and would train without one: {_excerpt(row)}")
        reader, scans = self.processing_class, NumberedScans(self.processing_class.image_processor)
        self._scans[self._mode] = scans
        self.processing_class = copy.copy(reader)
        self.processing_class.image_processor = scans
        try:
            return super()._generate_and_score_completions(inputs)
        finally:
            self.processing_class = reader

    def _tokenize_prompts(self, prompts):
        prompt_ids, images, fields = super()._tokenize_prompts(prompts)
        longest, limit = max(map(len, prompt_ids)), self.args.max_prompt_length
        if limit is not None and longest > limit:
            raise ValueError(
                f"a prompt has {longest} tokens, and max_prompt_length allows {limit}. It is not cut, because its "
                "volume might be: shorten it, or raise max_prompt_length"
            )
        return prompt_ids, images, fields

    def _generate_single_turn(self, *args, **kwargs):
        with numbers_for_volumes(self._policy, self._scans[self._mode], self._policy_tower):
            return super()._generate_single_turn(*args, **kwargs)

    def _get_per_token_logps_and_entropies(self, model, *args, **kwargs):
        of_reference = self.ref_model is not None and model is self.ref_model
        inner = _inner(self.accelerator.unwrap_model(self.ref_model)) if of_reference else self._policy
        tower = self._reference_tower if of_reference else self._policy_tower
        scans = numbers_for_volumes(inner, self._scans[self._mode], tower)
        with scans, only_labelled_positions(self.accelerator.device):
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)

    # What is watched

    def _calculate_rewards(self, inputs, prompts, completions, completion_ids_list):
        rewards = super()._calculate_rewards(inputs, prompts, completions, completion_ids_list)
        options = [row.get("options") for row in inputs]
        for name, value in completion_shares(texts_of(completions), prompts, options).items():
            self._log_metric(name, value)
        return rewards

    def _log_now(self, name: str, value: float) -> None:
        self._metrics["train"][name].append(value)

    def answer_greedily(self, prompts: Sequence[Any], images: Sequence[Sequence[str]]) -> list[str]:
        """What the policy says as of now. Every process answers all of them; no random numbers are drawn.

        Args:
            prompts: messages, one conversation each.
            images: the scans of each.
        """
        greedy = {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        return self._answer(prompts, images, {**self.generation_kwargs, **greedy})

    def answer_by_chance(self, prompts: Sequence[Any], images: Sequence[Sequence[str]], seed: int) -> list[str]:
        """One answer each, drawn as in training, but with random numbers of its own. Other arguments as above."""
        device = self.accelerator.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            return self._answer(prompts, images, self.generation_kwargs)

    @torch.no_grad()
    def _answer(self, prompts: Sequence[Any], images: Sequence[Sequence[str]], settings: dict[str, Any]) -> list[str]:
        """Without the dropout that adapters may have."""
        processor, texts = self.processing_class, []
        config = GenerationConfig(**settings, disable_compile=True)
        size = self.args.per_device_eval_batch_size
        training = self.model.training
        self.model.eval()
        for start in range(0, len(prompts), size):
            batch = slice(start, start + size)
            scans = NumberedScans(processor.image_processor)
            text = processor.apply_chat_template(
                list(prompts[batch]), tokenize=False, add_generation_prompt=True, **self.chat_template_kwargs
            )
            inputs = processor(text=text, expand_image_tokens=True, padding=True, return_tensors="pt")
            inputs |= scans([source for of_prompt in images[batch] for source in of_prompt])
            inputs = {name: value.to(self.accelerator.device) for name, value in inputs.items()}
            with (
                unwrap_model_for_generation(
                    self.model_wrapped,
                    self.accelerator,
                    gather_deepspeed3_params=self.args.ds3_gather_for_generation,
                    gradient_checkpointing_kwargs=self.args.gradient_checkpointing_kwargs,
                ) as model,
                self._dist.summon_full_params(self.model_wrapped, recurse=False),
                numbers_for_volumes(self._policy, scans, self._policy_tower),
            ):
                ids = model.generate(**inputs, generation_config=config)
            texts += processor.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        self.model.train(training)
        return texts

    # The optimizer

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """TRL's, with groups of their own for the bridge where its learning rate is another."""
        fresh, scale = self.optimizer is None, self.args.bridge_learning_rate_scale
        optimizer = super().create_optimizer(model)
        if fresh and scale != 1.0:
            bridge = {id(weights) for weights in self._policy.bridge.parameters()}
            for group in list(optimizer.param_groups):
                of_bridge = [weights for weights in group["params"] if id(weights) in bridge]
                group["params"] = [weights for weights in group["params"] if id(weights) not in bridge]
                if of_bridge:
                    optimizer.add_param_group({**group, "params": of_bridge, "lr": group["lr"] * scale})
        return optimizer

    # Going on after a stop

    def _get_train_sampler(self, dataset=None):
        sampler = super()._get_train_sampler(dataset)
        return _ResumableSampler(sampler, lambda: math.floor(self.state.epoch or 0))

    def _save_rng_state(self, output_dir):
        """With the random numbers' state, where in its generation batch the run is."""
        super()._save_rng_state(output_dir)
        halfway = self._step % (self.args.steps_per_generation * self.num_iterations) != 0
        state = {"step": self._step}
        if halfway:
            state |= {"inputs": self._buffered_inputs, "scans": self._scans["train"].sources}
        torch.save(state, self._generation_file(output_dir))

    def _load_rng_state(self, checkpoint):
        super()._load_rng_state(checkpoint)
        file = self._generation_file(checkpoint)
        if not file.is_file():
            return
        state = torch.load(file, weights_only=True)
        self._step = state["step"]
        if "inputs" in state:
            move = super(GRPOTrainer, self)._prepare_inputs
            self._buffered_inputs = [move(inputs) for inputs in state["inputs"]]
            self._scans["train"] = NumberedScans(self.processing_class.image_processor, state["scans"])

    def _generation_file(self, checkpoint: str) -> Path:
        return Path(checkpoint) / f"generation_{self.accelerator.process_index}.pt"


class _ResumableSampler(RepeatSampler):
    """TRL's sampler, in the same order; but an epoch's order does not depend on whether those before were drawn by the
    same process, so that a run can resume in a later one."""

    def __init__(self, sampler: RepeatSampler, epoch: Any):
        super().__init__(
            sampler.data_source,
            sampler.mini_repeat_count,
            sampler.batch_size,
            sampler.repeat_count,
            sampler.shuffle,
            sampler.seed,
        )
        self._epoch = epoch

    def __iter__(self):
        if self.shuffle:
            self.generator.manual_seed(self.seed)
            for _ in range(self._epoch()):
                torch.randperm(self.num_samples, generator=self.generator)
        return super().__iter__()


def _inner(model: Any) -> Any:
    """The Med3DR1Model in a model with its head, with or without adapters."""
    return (model.get_base_model() if is_peft_model(model) else model).model


def _require_images(dataset: Any) -> None:
    columns = getattr(dataset, "column_names", None)
    if columns is not None and not isinstance(columns, dict) and "images" not in columns:
        raise ValueError(
            f"the rows have no column 'images', so the model would train on text alone; they have {', '.join(columns)}"
        )


def _excerpt(row: dict) -> str:
    text = str(row)
    return text if len(text) <= 200 else f"{text[:200]} ..."


__all__ = ["Med3DR1GRPOConfig", "Med3DR1GRPOTrainer"]
