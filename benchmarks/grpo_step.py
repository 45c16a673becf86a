"""How long a step of GRPO takes beside TRL's own trainer, and how often each reads and encodes a scan.

    python benchmarks/grpo_step.py [--preset full|half|tiny] [--group 8] [--rounds 3] [--dtype bfloat16|float32]

Prints a table and a JSON line. A step is one question on one prepared scan: a group of completions of equal length,
the reference model, the update. The 12-layer vision tower stands before a small Qwen2; all weights are random float32,
and both trainers have the same model, question and settings. They take turns; times are medians, ratios are medians of
the rounds' own ratios. At full size a round takes many minutes on two cores; "half" has the same towers and half the
voxels along each axis, so that encoding is a smaller part of a step and the gain is, if anything, smaller too.

Goal: with a frozen tower and with one that trains, half the time of TRL's trainer at a group of 8.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from _report import machine, median_ratio, print_line, print_table, times_in_turns
from datasets import Dataset
from transformers import PrinterCallback
from trl import GRPOTrainer

from med3d_r1 import Med3DR1Config, Med3DR1ForConditionalGeneration, Med3DR1ImageProcessor, Med3DR1Processor
from med3d_r1.checkpoints import IMAGE_PROCESSORS, choose_dtype, load_model, save_checkpoint
from med3d_r1.configuration_med3d_r1 import TINY_QWEN2, TINY_VISION
from med3d_r1.data.phantom import make_phantom
from med3d_r1.prompts_med3d_r1 import question_messages
from med3d_r1.tiny import tiny_tokenizer
from med3d_r1.trainers import Med3DR1GRPOConfig, Med3DR1GRPOTrainer
from med3d_r1.trainers.parts import PARTS, choose_parts

SMALL_QWEN2 = TINY_QWEN2 | {
    "hidden_size": 512,
    "intermediate_size": 1408,
    "num_hidden_layers": 6,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "initializer_range": 0.02,
}
FROZEN, TRAINED = "frozen", "trained"
TRL, OURS, KNOWN = "TRL", "Med3D-R1", "Med3D-R1, scan met before"


HALF = {"spacing": (5.25, 2.625, 2.625), "field_size": (64, 128, 128), "size": (64, 128, 128)}


@dataclass(frozen=True)
class Preset:
    """What is measured: the two towers, the grid of the scans, and how many tokens a completion has."""

    text_config: dict
    vision_config: dict
    image_processor: dict
    new_tokens: int


PRESETS = {
    "full": Preset(SMALL_QWEN2, {}, IMAGE_PROCESSORS["3b"], new_tokens=64),
    "half": Preset(SMALL_QWEN2, {"image_size": HALF["size"]}, HALF, new_tokens=64),
    "tiny": Preset(TINY_QWEN2, TINY_VISION, IMAGE_PROCESSORS["tiny"], new_tokens=4),
}


class Counted:
    """An image processor that counts the scans that it reads."""

    def __init__(self, image_processor: Med3DR1ImageProcessor):
        self._image_processor = image_processor
        self.reads = 0

    def __call__(self, images: list, **kwargs) -> Any:
        self.reads += len(images)
        return self._image_processor(images, **kwargs)


class Alternative:
    """A trainer, and what its steps do."""

    def __init__(self, trainer: GRPOTrainer):
        self.trainer = trainer
        self.trainer.remove_callback(PrinterCallback)
        self.seconds: list[float] = []
        self.encoded, self.trained = 0, 0
        self.reader = trainer.processing_class.image_processor = Counted(trainer.processing_class.image_processor)
        for tower in {model.model.vision_tower for model in (trainer.model, trainer.ref_model)}:
            tower.register_forward_pre_hook(self._count)

    def _count(self, tower: Any, inputs: tuple) -> None:
        if torch.is_grad_enabled() and any(weights.requires_grad for weights in tower.parameters()):
            self.trained += len(inputs[0])
        else:
            self.encoded += len(inputs[0])

    def step(self) -> None:
        self.reader.reads = self.encoded = self.trained = 0
        self.trainer.train()
        self.seconds.append(self.trainer.state.log_history[0]["step_time"])  # without the trainer's own start


def write_model(preset: Preset, folder: Path) -> None:
    """A model folder: TRL's trainer loads its reference model from there."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    names = ("image", "<|image_pad|>"), ("vision_start", "<|vision_start|>"), ("vision_end", "<|vision_end|>")
    config = Med3DR1Config(
        text_config=preset.text_config,
        vision_config=preset.vision_config,
        **{f"{name}_token_id": tokenizer.convert_tokens_to_ids(token) for name, token in names},
    )
    model = Med3DR1ForConditionalGeneration._from_config(config)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    image_processor = Med3DR1ImageProcessor(**preset.image_processor)
    save_checkpoint(model, Med3DR1Processor(image_processor, tokenizer, config.num_image_tokens), folder)


def letters_reward(completions: list, **kwargs) -> list[float]:
    """Differs between the completions of a group, so that there is something to learn."""
    return [sum(map(ord, completion[0]["content"])) % 7 / 7 for completion in completions]


def alternative(
    name: str, tower: str, folder: Path, row: dict, preset: Preset, group: int, dtype: torch.dtype
) -> Alternative:
    model = load_model(folder / "model", "cpu", torch.float32)
    train = [part for part in PARTS if part != "vision_tower" or tower == TRAINED]
    config = Med3DR1GRPOConfig(
        str(folder / "run"), max_steps=1, per_device_train_batch_size=group, num_generations=group, train=train,
        max_completion_length=preset.new_tokens, generation_kwargs={"min_new_tokens": preset.new_tokens},
        feature_cache_gb=4.0 if name == KNOWN else 0.0, held_out_every=0, use_cpu=True, bf16=dtype == torch.bfloat16,
        trust_remote_code=True, save_strategy="no", report_to="none", disable_tqdm=True, logging_steps=1,
    )  # fmt: skip
    choose_parts(model, train)
    processor = Med3DR1Processor.from_pretrained(folder / "model")
    trainer = GRPOTrainer if name == TRL else Med3DR1GRPOTrainer
    with redirect_stdout(StringIO()):  # ours tells what trains
        return Alternative(trainer(model, letters_reward, config, Dataset.from_list([row]), processing_class=processor))


def measure(preset: Preset, group: int, rounds: int, dtype: torch.dtype) -> list[dict]:
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_model(preset, folder / "model")
        scan = make_phantom(0, (64, 96, 96)).ct_volume()
        Med3DR1ImageProcessor(**preset.image_processor).prepare(scan).save(folder / "scan.npz")
        options = ["Emphysema", "Lung nodule", "Cardiomegaly", "Atelectasis"]
        row = {"images": [str(folder / "scan.npz")], "prompt": question_messages("Which is present?", options)}
        cases = [(FROZEN, TRL), (FROZEN, OURS), (FROZEN, KNOWN), (TRAINED, TRL), (TRAINED, OURS)]
        steps = {(tower, name): alternative(name, tower, folder, row, preset, group, dtype) for tower, name in cases}
        times_in_turns({case: one.step for case, one in steps.items()}, rounds)
        times = {case: one.seconds[1:] for case, one in steps.items()}
    return [
        {
            "tower": tower,
            "trainer": name,
            "s": statistics.median(times[tower, name]),
            "ratio": median_ratio(times[tower, name], times[tower, TRL]),
            "reads": one.reader.reads,
            "encoded": one.encoded,
            "encoded_with_gradient": one.trained,
        }
        for (tower, name), one in steps.items()
    ]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dtype", choices=("bfloat16", "float32"), help="of the products; default: the fast one here")
    options = parser.parse_args(arguments)
    dtype = getattr(torch, options.dtype) if options.dtype else choose_dtype("cpu")[0]
    rows = measure(PRESETS[options.preset], options.group, options.rounds, dtype)
    print_table(
        ["tower, trainer", "s a step", "of TRL's", "scans read", "encoded", "with gradient"],
        [
            [f"{row['tower']}, {row['trainer']}", f"{row['s']:.2f}", f"{row['ratio']:.3f}", row["reads"],
             row["encoded"], row["encoded_with_gradient"]]
            for row in rows
        ],
    )  # fmt: skip
    print_line(
        "grpo_step", machine=machine(torch.get_num_threads()), preset=options.preset, group=options.group,
        dtype=str(dtype).removeprefix("torch."), rows=rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
