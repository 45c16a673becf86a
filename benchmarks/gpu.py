"""A step of SFT, a step of GRPO and generation with the whole model on one GPU, through the project's own trainers.

    python benchmarks/gpu.py [--preset 3b|tiny] [--device cuda|cpu] [--train bridge|all] [--steps 5] ...

Prints a table and a JSON line: seconds, tokens per second, share of the peak (MFU), peak memory. Weights are random, so
are rewards; scans are synthetic and prepared, and are read and encoded in every step. The first step is not counted.

What counts as work are the matrix products that the step needs, a multiplication and an addition being two operations:

    vision tower   per scan                  753 GFLOP at full size, see encode.py
    bridge         per scan                  pooling, projection, gate
    decoder        per sequence of S tokens  linear maps 2 S x weights; attention, as each token sees itself and those
                                             before it, 2 products x 2 S (S + 1) / 2 x width of all heads, a layer
    head           per predicted token       2 x width x vocabulary

The backward pass of a product X W takes two more of its size, one for X and one for W: a part that trains counts three
times its forward pass, but its first map only twice where nothing below it trains. A decoder that is frozen above a
bridge that trains counts twice for linear maps and head, which need no gradient for W, and three times for attention,
both of whose factors come from below. A vision tower below all that trains counts once. Norms, softmax, the masked half
of attention, padding, the optimizer and what activation checkpointing computes again do not count, so the share is a
lower bound of what the GPU does. GRPO's update has the forward pass of the reference model in it. Of generation a token
counts one forward pass, and the prompt one for each completion.

Goal: an MFU of 40 % for the SFT step.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from _report import machine, peak_mb, print_line, print_table
from encode import flops as vision_flops
from encode import layer_flops
from transformers import TrainerCallback

from med3d_r1 import Med3DR1Config, Med3DR1ForConditionalGeneration, Med3DR1Processor
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.checkpoints import IMAGE_PROCESSORS
from med3d_r1.data.phantom import make_phantom
from med3d_r1.data.rows import as_dataset
from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.prompts_med3d_r1 import question_messages, report_messages
from med3d_r1.tiny import tiny_tokenizer
from med3d_r1.trainers import ARWSFTConfig, ARWSFTTrainer, Med3DR1GRPOConfig, Med3DR1GRPOTrainer

PEAK_TFLOPS = {"A100": 312.0, "H100": 989.5, "H200": 989.5}
"""bfloat16 with dense matrices, as NVIDIA's data sheets state it (SXM modules)."""

PARTS = {"bridge": ["bridge"], "all": ["vision_tower", "bridge", "language_model"]}


@dataclass(frozen=True)
class Work:
    """Operations of one forward pass through the parts, each for one scan, one sequence, one predicted token.

    Attributes:
        vision, bridge: of a scan; `patches` and `pooling` are their first maps.
        linear: of a token in the decoder's linear maps.
        width: of all heads of all layers: what attention multiplies.
        head: of a predicted token.
    """

    vision: int
    patches: int
    bridge: int
    pooling: int
    linear: int
    width: int
    head: int

    @classmethod
    def of(cls, config: Med3DR1Config) -> Work:
        text, tokens = config.text_config, config.num_image_tokens
        width, inner = text.hidden_size, text.intermediate_size
        size = getattr(text, "head_dim", None) or width // text.num_attention_heads
        queries, keys = text.num_attention_heads * size, text.num_key_value_heads * size
        weights = 2 * width * queries + 2 * width * keys + 3 * width * inner
        vision = config.vision_config
        pooling = 2 * tokens * vision.hidden_size * math.prod(config.pool_size) * width
        gate = 2 * width * width + width * (1 if config.gate == "token" else width)
        return cls(
            vision=vision_flops(vision),
            patches=vision_flops(vision) - layer_flops(vision),
            bridge=pooling + 2 * tokens * (width * width + config.residual_alignment * gate),
            pooling=pooling,
            linear=2 * weights * text.num_hidden_layers,
            width=queries * text.num_hidden_layers,
            head=2 * width * text.vocab_size,
        )

    def attention(self, tokens: int) -> int:
        """Of a sequence, each token seeing itself and those before it."""
        return 2 * tokens * (tokens + 1) * self.width

    def forward(self, tokens: int, predicted: int) -> int:
        """Of a sequence through decoder and head."""
        return tokens * self.linear + self.attention(tokens) + predicted * self.head

    def training(self, train: list[str], scans: int, sequences: int, tokens: int, predicted: int) -> int:
        """Forward and backward, for so many scans, and sequences of so many tokens, of which some are predicted."""
        if "vision_tower" in train:
            scan = 3 * self.vision - self.patches + 3 * self.bridge
        else:
            scan = self.vision + 3 * self.bridge - self.pooling
        weights = 3 if "language_model" in train else 2
        decoder = weights * (tokens * self.linear + predicted * self.head) + 3 * self.attention(tokens)
        return scans * scan + sequences * decoder

    def generation(self, scans: int, sequences: int, prompt: int, new: int) -> int:
        """The same prompt's length and number of new tokens in all sequences."""
        return scans * (self.vision + self.bridge) + sequences * self.forward(prompt + new, new)


class Clock(TrainerCallback):
    """Seconds of each step, the waiting for the GPU in it, and of the generation within it."""

    def __init__(self, device: str):
        self.device, self.steps, self.generations = device, [], []

    def now(self) -> float:
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_step_begin(self, args, state, control, **kwargs):
        self._start = self.now()

    def on_step_end(self, args, state, control, **kwargs):
        self.steps.append(self.now() - self._start)

    @contextlib.contextmanager
    def generating(self) -> Iterator[None]:
        start = self.now()
        yield
        self.generations.append(self.now() - start)


def model_and_processor(preset: str, device: str):
    """The whole model with random weights. Its tokenizer is the tiny one: real ones cannot ship, and any will do."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    ids = {
        f"{name}_token_id": tokenizer.convert_tokens_to_ids(token)
        for name, token in (
            ("image", "<|image_pad|>"),
            ("vision_start", "<|vision_start|>"),
            ("vision_end", "<|vision_end|>"),
        )
    }
    config = Med3DR1Config.preset(preset, **{"vocabulary_size": len(tokenizer)}, **ids)
    with torch.device(device):
        model = Med3DR1ForConditionalGeneration(config)
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    image_processor = Med3DR1ImageProcessor(**IMAGE_PROCESSORS[preset])
    processor = Med3DR1Processor(image_processor, tokenizer, num_image_tokens=config.num_image_tokens)
    return model, processor


def write_scans(folder: Path, image_processor: Med3DR1ImageProcessor, count: int) -> list[str]:
    """Synthetic chests, prepared."""
    paths = []
    for seed in range(count):
        path = folder / f"{seed}.npz"
        image_processor.prepare(make_phantom(seed, image_processor.size).ct_volume()).save(path)
        paths.append(str(path))
    return paths


def measure_sft(options: argparse.Namespace, model, processor, scans: list[str], folder: Path) -> dict:
    """Reports of one length on all scans in turn."""
    words = " ".join(f"{label} is seen." for label in CT_RATE_LABELS) + " "
    tokenizer = processor.tokenizer
    words *= 1 + options.completion // len(tokenizer(words)["input_ids"])
    text = tokenizer.decode(tokenizer(words)["input_ids"][: options.completion])
    rows = [
        {
            "images": [scans[index % len(scans)]],
            "prompt": report_messages(),
            "completion": [{"role": "assistant", "content": text}],
            "abnormal_spans": [[0, 20]],
        }
        for index in range(options.batch * (options.steps + 1))
    ]
    clock = Clock(options.device)
    trainer = ARWSFTTrainer(
        model=model,
        args=ARWSFTConfig(str(folder), train=PARTS[options.train], **common(options, options.batch)),
        train_dataset=as_dataset(rows),
        processing_class=processor,
        callbacks=[clock],
    )
    shapes = trainer.data_collator([trainer.train_dataset[0]])
    tokens, predicted = shapes["input_ids"].shape[1], int((shapes["labels"] != -100).sum())
    reset_peak(options.device)
    trainer.train()
    work = Work.of(model.config).training(PARTS[options.train], options.batch, options.batch, tokens, predicted)
    return result("SFT step", clock.steps[1:], options, work, options.batch * tokens)


def measure_grpo(options: argparse.Namespace, model, processor, scans: list[str], folder: Path) -> list[dict]:
    """Groups of completions of one length; generation and the rest of the step apart."""
    rng = torch.Generator().manual_seed(0)
    prompts = max(1, options.batch // options.group)
    rows = [
        {
            "images": [scans[index % len(scans)]],
            "prompt": question_messages("Which of these is present in this scan?", list(CT_RATE_LABELS[:4])),
            "options": list(CT_RATE_LABELS[:4]),
            "answer": "A",
        }
        for index in range(prompts * (options.steps + 1))
    ]

    def random_reward(completions, **kwargs):
        return torch.rand(len(completions), generator=rng).tolist()

    clock = Clock(options.device)
    trainer = Med3DR1GRPOTrainer(
        model=model,
        reward_funcs=random_reward,
        args=Med3DR1GRPOConfig(
            str(folder),
            train=PARTS[options.train],
            num_generations=options.group,
            max_completion_length=options.completion,
            generation_kwargs={"min_new_tokens": options.completion},
            feature_cache_gb=0.0,
            **common(options, prompts * options.group),
        ),
        train_dataset=as_dataset(rows),
        processing_class=processor,
        callbacks=[clock],
    )
    generate, lengths = trainer._generate_single_turn, []

    def timed(prompt_ids, *args, **kwargs):
        lengths.append(len(prompt_ids[0]))
        with clock.generating():
            return generate(prompt_ids, *args, **kwargs)

    trainer._generate_single_turn = timed
    reset_peak(options.device)
    trainer.train()
    work, new, copies = Work.of(model.config), options.completion, prompts * options.group
    update = work.training(PARTS[options.train], prompts, copies, lengths[0] + new, new)
    update += copies * work.forward(lengths[0] + new, new) * (trainer.beta > 0)
    if "vision_tower" not in PARTS[options.train]:  # then features are kept from the generation
        update -= prompts * work.vision
    rest = [step - generation for step, generation in zip(clock.steps, clock.generations, strict=True)]
    generation = work.generation(prompts, copies, lengths[0], new)
    return [
        result("GRPO generation", clock.generations[1:], options, generation, copies * new),
        result("GRPO update", rest[1:], options, update, copies * (lengths[0] + new)),
    ]


def common(options: argparse.Namespace, batch: int) -> dict:
    """What both trainers are told."""
    return {
        "per_device_train_batch_size": batch,
        "dataloader_num_workers": 8 * (options.device == "cuda"),  # to read scans while the GPU computes
        "max_steps": options.steps + 1,
        "bf16": options.device == "cuda",
        "use_cpu": options.device == "cpu",
        "activation_checkpointing": options.checkpointing,
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
        "logging_steps": options.steps + 1,
    }


def result(name: str, seconds: list[float], options: argparse.Namespace, work: int, tokens: int) -> dict:
    median = statistics.median(seconds)
    peak = options.peak_tflops
    return {
        "name": name,
        "s": median,
        "tokens_per_s": tokens / median,
        "tflops": work / median / 1e12,
        "mfu": work / median / 1e12 / peak if peak else None,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9 if options.device == "cuda" else peak_mb() / 1e3,
    }


def reset_peak(device: str) -> None:
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def bare_tflops(device: str, size: int, rounds: int = 20) -> float:
    """What square matrix products alone reach here, bfloat16 on a GPU, float32 elsewhere."""
    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    clock, times = Clock(device), []
    for _ in range(rounds + 3):
        start = clock.now()
        a @ b
        times.append(clock.now() - start)
    return 2 * size**3 / statistics.median(times[3:]) / 1e12


def peak_of(device: str) -> float | None:
    """The data sheet's rate of this GPU; None for what is not in the table."""
    name = torch.cuda.get_device_name() if device == "cuda" else ""
    return next((rate for gpu, rate in PEAK_TFLOPS.items() if gpu in name), None)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=("3b", "tiny"), default="3b")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--train", choices=PARTS, default="all", help="parts that train in both stages")
    parser.add_argument("--steps", type=int, default=5, help="that are counted")
    parser.add_argument("--batch", type=int, default=8, help="sequences of a step")
    parser.add_argument("--group", type=int, default=4, help="completions of a question")
    parser.add_argument("--completion", type=int, default=256, help="tokens of a report or an answer")
    parser.add_argument("--scans", type=int, default=2, help="distinct scans")
    parser.add_argument("--checkpointing", action="store_true", help="compute activations again to save memory")
    parser.add_argument("--peak-tflops", type=float, help="of the GPU, if the script does not know it")
    options = parser.parse_args(arguments)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("torch sees no GPU here; --preset tiny --device cpu tries the script without one")
    options.peak_tflops = options.peak_tflops or peak_of(options.device)

    bare = bare_tflops(options.device, 8192 if options.preset == "3b" else 256)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for measure in (measure_sft, measure_grpo):
            model, processor = model_and_processor(options.preset, options.device)
            scans = write_scans(Path(folder), processor.image_processor, options.scans)
            found = measure(options, model, processor, scans, Path(folder) / measure.__name__)
            rows += found if isinstance(found, list) else [found]
            del model
    print_table(
        ["", "s", "tokens/s", "TFLOP/s", "MFU", "of bare products", "peak GB"],
        [
            [
                row["name"],
                f"{row['s']:.3f}",
                f"{row['tokens_per_s']:.0f}",
                f"{row['tflops']:.3g}",
                "" if row["mfu"] is None else f"{row['mfu']:.1%}",
                f"{row['tflops'] / bare:.1%}",
                f"{row['peak_gb']:.1f}",
            ]
            for row in rows
        ],
    )
    gpu = torch.cuda.get_device_name() if options.device == "cuda" else None
    print_line(
        "gpu", machine=machine(torch.get_num_threads()), gpu=gpu, options=vars(options), bare_tflops=bare, rows=rows
    )


if __name__ == "__main__":
    main()
