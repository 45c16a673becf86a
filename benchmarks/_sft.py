"""What the benchmarks of supervised fine-tuning share: a model with random weights, scans, rows, one step."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from med3d_r1 import Med3DR1Config, Med3DR1ForConditionalGeneration, Med3DR1Processor
from med3d_r1.checkpoints import IMAGE_PROCESSORS
from med3d_r1.configuration_med3d_r1 import TINY_QWEN2, TINY_VISION
from med3d_r1.data.phantom import make_phantom
from med3d_r1.data.rows import as_dataset
from med3d_r1.encoded_med3d_r1 import save_encoded
from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.prompts_med3d_r1 import report_messages
from med3d_r1.tiny import tiny_tokenizer

SMALL_QWEN2 = {
    "model_type": "qwen2",
    "vocab_size": 32000,
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
SENTENCE = "A small nodule is seen in the upper lobe of the right lung. "
STEP = {"learning_rate": 1e-4, "max_steps": 1, "use_cpu": True, "save_strategy": "no", "disable_tqdm": True}


@dataclass(frozen=True)
class Preset:
    """What is measured: decoder, vision tower, image processor, rows of a step, sentences of a report."""

    text_config: dict
    vision_config: dict
    image_processor: dict
    batch: int
    sentences: int


PRESETS = {
    "full": Preset(SMALL_QWEN2, {}, IMAGE_PROCESSORS["3b"], batch=2, sentences=8),
    "tiny": Preset(TINY_QWEN2, TINY_VISION, IMAGE_PROCESSORS["tiny"], batch=2, sentences=1),
}


def model_and_processor(preset: Preset) -> tuple[Med3DR1ForConditionalGeneration, Med3DR1Processor]:
    """Random weights; the tokenizer is the tiny one, as any will do."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>")
        for name, token in (("image", "image_pad"), ("vision_start", "vision_start"), ("vision_end", "vision_end"))
    }
    config = Med3DR1Config(text_config=preset.text_config, vision_config=preset.vision_config, **ids)
    model = Med3DR1ForConditionalGeneration(config)
    image_processor = Med3DR1ImageProcessor(**preset.image_processor)
    return model, Med3DR1Processor(image_processor, tokenizer, num_image_tokens=config.num_image_tokens)


def write_scans(folder: Path, image_processor: Med3DR1ImageProcessor, count: int) -> list[str]:
    """Synthetic chests, prepared."""
    paths = []
    for seed in range(count):
        path = folder / f"{seed}.npz"
        image_processor.prepare(make_phantom(seed, image_processor.size).ct_volume()).save(path)
        paths.append(str(path))
    return paths


def write_encoded(folder: Path, model: Any, image_processor: Med3DR1ImageProcessor, count: int) -> list[str]:
    """Files of encoded scans that hold noise: a step takes as long with it."""
    vision, paths = model.config.vision_config, []
    record = {"preprocessing": image_processor.tensor_preprocessing}
    for seed in range(count):
        path = folder / f"{seed}.safetensors"
        save_encoded(path, torch.randn(vision.num_tokens, vision.hidden_size), record)
        paths.append(str(path))
    return paths


def reports(scans: list[str], sentences: int):
    """A row for each scan; half of the sentences are abnormal."""
    spans = [[start * len(SENTENCE), (start + 1) * len(SENTENCE)] for start in range(0, sentences, 2)]
    completion = [{"role": "assistant", "content": SENTENCE * sentences}]
    row = {"prompt": report_messages(), "completion": completion, "abnormal_spans": spans}
    return as_dataset([{"images": [scan], **row} for scan in scans])


class Step:
    """A trainer's step: read and collate all rows of its data set, forward, backward, optimizer."""

    def __init__(self, trainer: Any):
        self.trainer = trainer
        trainer.create_optimizer_and_scheduler(num_training_steps=1)

    def __call__(self, dataset=None) -> None:
        trainer = self.trainer
        rows = trainer._remove_unused_columns(dataset or trainer.train_dataset)
        batch = dict(trainer.data_collator([rows[index] for index in range(len(rows))]))
        divisor = trainer._get_num_items_in_batch([batch], trainer.args.device)
        trainer.training_step(trainer.model, batch, divisor)
        trainer.optimizer.step()
        trainer.model.zero_grad()
