"""SFT with LoRA on the decoder, whole or in 4 bits: what trains, what is saved, and how it is merged."""

import copy
import math

import pytest
import torch

from med3d_r1.checkpoints import load_model, load_processor
from med3d_r1.lora import lora_config
from med3d_r1.quantization import quantization_config
from med3d_r1.trainers import ARWSFTConfig, ARWSFTTrainer
from sft_rows import sft_dataset, write_scans
from tiny import tiny_checkpoint, tiny_processor

peft = pytest.importorskip("peft")


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_scans(tmp_path_factory.mktemp("scans"))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("start") / "model")


def trainer_of(model, scans, folder, **more):
    settings = {
        "max_steps": 2, "per_device_train_batch_size": 4, "learning_rate": 1e-2, "use_cpu": True, "save_steps": 2,
        "logging_steps": 1, "disable_tqdm": True,
    } | more  # fmt: skip
    adapters = lora_config(r=4)
    config = ARWSFTConfig(str(folder), **settings)
    return ARWSFTTrainer(model, config, sft_dataset(scans), processing_class=tiny_processor(), peft_config=adapters)


def weights_of(model):
    return {name: weights.detach().clone() for name, weights in model.named_parameters()}


@torch.no_grad()
def logits(model, trainer):
    batch = trainer.data_collator([trainer.train_dataset[0]])
    return model.eval()(input_ids=batch["input_ids"], pixel_values=batch["pixel_values"]).logits


def test_adapters_and_bridge_train_and_are_saved(checkpoint, scans, tmp_path):
    """The checkpoint holds adapters, bridge and processor; merged into the model that it began with, it is the model
    that was trained."""
    trainer = trainer_of(load_model(checkpoint, "cpu", torch.float32), scans, tmp_path)
    before = weights_of(trainer.model)
    trainer.train()
    moved = {name for name, weights in weights_of(trainer.model).items() if not torch.equal(weights, before[name])}
    assert any(".lora_B." in name for name in moved)
    assert all(".lora_" in name or ".bridge.modules_to_save." in name for name in moved)

    saved = tmp_path / "checkpoint-2"
    assert {"adapter_config.json", "adapter_model.safetensors"} <= {path.name for path in saved.iterdir()}
    assert (
        load_processor(checkpoint).num_image_tokens
        == type(trainer.processing_class).from_pretrained(saved).num_image_tokens
    )
    start = load_model(checkpoint, "cpu", torch.float32)
    merged = peft.PeftModel.from_pretrained(copy.deepcopy(start), saved).merge_and_unload()
    expected = logits(trainer.model, trainer)
    torch.testing.assert_close(logits(merged, trainer), expected, rtol=1e-4, atol=1e-4)
    assert (logits(start, trainer) - expected).abs().max() > 0.1


def test_adapters_on_4_bits(checkpoint, scans, tmp_path):
    """What trains is float32, though TRL would round it; the bridge begins with the very weights of its model."""
    pytest.importorskip("bitsandbytes")
    model = load_model(checkpoint, "cpu", torch.float32, quantization_config(4, torch.float32))
    bridge = {name: weights.clone() for name, weights in model.model.bridge.state_dict().items()}
    trainer = trainer_of(model, scans, tmp_path)
    trained = {name: weights for name, weights in trainer.model.named_parameters() if weights.requires_grad}
    assert {weights.dtype for weights in trained.values()} == {torch.float32}
    copies = trainer.model.get_base_model().model.bridge.modules_to_save["default"].state_dict()
    assert all(torch.equal(copies[name], weights) for name, weights in bridge.items())
    before = weights_of(trainer.model)
    trainer.train()
    after = weights_of(trainer.model)
    assert all(math.isfinite(line["loss"]) for line in trainer.state.log_history if "loss" in line)
    moved = {name for name in after if not torch.equal(after[name], before[name])}
    assert any(".lora_B." in name for name in moved)
    assert any(".bridge.modules_to_save." in name for name in moved)
    assert moved <= trained.keys()


def test_adapters_need_their_parts_saved(checkpoint, scans, tmp_path):
    with pytest.raises(ValueError, match="train has vision_tower, but PEFT would not save it"):
        trainer_of(load_model(checkpoint, "cpu"), scans, tmp_path, train=["vision_tower", "bridge"])


def test_adapters_that_were_trained_before_go_on(checkpoint, scans, tmp_path):
    """A model that comes with adapters keeps them, and its bridge."""
    trainer = trainer_of(load_model(checkpoint, "cpu", torch.float32), scans, tmp_path)
    trainer.train()
    before = weights_of(trainer.model)
    again = ARWSFTTrainer(
        trainer.model, ARWSFTConfig(str(tmp_path / "again"), use_cpu=True), sft_dataset(scans),
        processing_class=tiny_processor(),
    )  # fmt: skip
    assert all(torch.equal(weights, before[name]) for name, weights in again.model.named_parameters())
