"""One step of TRL's own trainers, unchanged, on the tiny model and scans given as paths."""

import math

import pytest
import torch
from datasets import Dataset
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback
from trl import GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from med3d_r1.prompts_med3d_r1 import question_messages
from scans import synthetic_chest, write_nifti
from tiny import tiny_checkpoint

ANSWER = "<think>Air spaces are enlarged.</think><answer>A</answer>"

COMMON = {
    "max_steps": 1,
    "learning_rate": 1e-3,
    "bf16": False,
    "activation_checkpointing": False,
    "use_cpu": True,
    "report_to": "none",
    "save_strategy": "no",
    "disable_tqdm": True,
}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("trl") / "model"))


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    return [str(write_nifti(folder / f"{seed}.nii.gz", synthetic_chest((36, 48, 48), seed=seed))) for seed in (0, 1)]


@pytest.fixture
def model(checkpoint):
    return AutoModelForImageTextToText.from_pretrained(checkpoint, trust_remote_code=True)


@pytest.fixture
def processor(checkpoint):
    return AutoProcessor.from_pretrained(checkpoint, trust_remote_code=True)


class BridgeGradient(TrainerCallback):
    """Notes the norm of the bridge's gradient, which only a volume in the forward pass can give."""

    def on_pre_optimizer_step(self, args, state, control, model=None, **kwargs):
        gradients = [p.grad for p in model.model.bridge.parameters() if p.grad is not None]
        self.norm = float(torch.stack([gradient.norm() for gradient in gradients]).norm())


@pytest.fixture
def bridge_gradient():
    return BridgeGradient()


@pytest.fixture
def encoded(model):
    """Shapes of what the vision tower was given."""
    shapes = []
    model.model.vision_tower.register_forward_pre_hook(
        lambda tower, args, kwargs: shapes.append(tuple((args or tuple(kwargs.values()))[0].shape)), with_kwargs=True
    )
    return shapes


def prompts():
    return [question_messages(question, ["Emphysema", "Lung nodule"]) for question in ("Which?", "Which is present?")]


def sft_row(scan, prompt, layout):
    if layout == "messages":
        answer = {"role": "assistant", "content": [{"type": "text", "text": ANSWER}]}
        return {"images": [scan], "messages": [*prompt, answer]}
    return {"images": [scan], "prompt": prompt, "completion": [{"role": "assistant", "content": ANSWER}]}


@pytest.mark.parametrize("layout", ["prompt-completion", "messages"])
def test_sft_takes_a_step(model, processor, scans, layout, bridge_gradient, encoded, tmp_path):
    trainer = SFTTrainer(
        model=model,
        processing_class=processor,
        train_dataset=Dataset.from_list(
            [sft_row(scan, prompt, layout) for scan, prompt in zip(scans, prompts(), strict=True)]
        ),
        args=SFTConfig(
            tmp_path, per_device_train_batch_size=2, max_length=None, assistant_only_loss=layout == "messages", **COMMON
        ),
        callbacks=[bridge_gradient],
    )
    batch = trainer.data_collator([trainer.train_dataset[0], trainer.train_dataset[1]])
    assert batch["pixel_values"].shape == (2, 1, 32, 64, 64)
    said = processor.tokenizer(ANSWER + "<|im_end|>")["input_ids"]
    newline = processor.tokenizer("\n")["input_ids"] if layout == "prompt-completion" else []
    assert all(row[row != -100].tolist() == said + newline for row in batch["labels"])

    assert math.isfinite(trainer.train().training_loss)
    assert encoded == [(2, 1, 32, 64, 64)]
    assert bridge_gradient.norm > 0


def test_grpo_takes_a_step(model, processor, scans, bridge_gradient, encoded, tmp_path):
    """With a reference model (beta > 0), as in the release; rewards that differ within a group, so there is a loss."""
    rewarded = []

    def alternating_reward(completions, answer, **kwargs):
        rewarded.extend(zip(completions, answer, strict=True))
        return [float(index % 2) for index in range(len(completions))]

    trainer = GRPOTrainer(
        model=model,
        processing_class=processor,
        reward_funcs=alternating_reward,
        train_dataset=Dataset.from_list(
            [{"images": [scan], "prompt": prompt, "answer": "A"} for scan, prompt in zip(scans, prompts(), strict=True)]
        ),
        args=GRPOConfig(
            tmp_path, per_device_train_batch_size=4, num_generations=2, max_completion_length=6, beta=0.04,
            trust_remote_code=True, log_multimodal=False, **COMMON,
        ),
        callbacks=[bridge_gradient],
    )  # fmt: skip
    assert math.isfinite(trainer.train().training_loss)
    assert len(rewarded) == 4
    assert all(answer == "A" for _, answer in rewarded)
    assert set(encoded) == {(4, 1, 32, 64, 64)}
    assert bridge_gradient.norm > 0
