"""How fast the vision tower encodes one volume, beside the machine's own matrix products and torch's own layers.

    python benchmarks/encode.py [--preset full|tiny] [--rounds 5]

Prints a table and a JSON line. All alternatives take turns; times are medians, shares and speed-ups are medians of the
rounds' own ratios. Weights and volume are random, and only matrix products count as work (see `flops`).

Goals: float32 at 80 % of the machine's float32 rate. Where the processor multiplies in bfloat16 (AMX, AVX512-BF16),
bfloat16 4 times as fast as float32, and each of its tokens at a cosine of 0.999 or more to its float32 token.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import statistics
import subprocess
import sys
from collections.abc import Callable

import torch
from _report import machine, median_ratio, peak_mb, print_line, print_table, times_in_turns
from torch import nn

from med3d_r1 import Med3DR1VisionConfig
from med3d_r1.configuration_med3d_r1 import TINY_VISION
from med3d_r1.vision_med3d_r1 import Med3DR1VisionModel

PRESETS = {"full": {}, "tiny": TINY_VISION}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
PRODUCTS, OURS = "bare matrix products", "Med3D-R1 vision tower"
PLAIN, FAST = "nn.TransformerEncoder", "nn.TransformerEncoder, fast path"


def linear_shapes(config: Med3DR1VisionConfig) -> list[tuple[int, int]]:
    """(in, out) of the four linear maps of a layer."""
    width, inner = config.hidden_size, config.intermediate_size
    return [(width, 3 * width), (width, width), (width, inner), (inner, width)]


def linear_flops(config: Med3DR1VisionConfig) -> int:
    """Multiplications and additions in the linear maps of all layers: 467e9 at full size."""
    length = 1 + config.num_tokens
    return config.num_hidden_layers * sum(2 * length * rows * columns for rows, columns in linear_shapes(config))


def layer_flops(config: Med3DR1VisionConfig) -> int:
    """With the two products of attention: 744e9."""
    length = 1 + config.num_tokens
    return linear_flops(config) + config.num_hidden_layers * 2 * (2 * length**2 * config.hidden_size)


def flops(config: Med3DR1VisionConfig) -> int:
    """With the patch embedding: 753e9, all the matrix products of one volume."""
    voxels = config.num_channels * math.prod(config.patch_size)
    return layer_flops(config) + 2 * config.num_tokens * voxels * config.hidden_size


def vision_tower(config: Med3DR1VisionConfig, dtype: torch.dtype = torch.float32) -> Med3DR1VisionModel:
    torch.manual_seed(0)
    return Med3DR1VisionModel._from_config(config, dtype=dtype).eval()


def volume(config: Med3DR1VisionConfig) -> torch.Tensor:
    """Noise over the range that the image processor gives, (1, 1, D, H, W)."""
    return torch.empty(1, config.num_channels, *config.image_size).uniform_(-6.116, 2.051)


def matrix_products(config: Med3DR1VisionConfig, dtype: torch.dtype) -> Callable[[], None]:
    """The linear maps of all layers, without their biases: the work of `linear_flops` and nothing else."""
    pairs = [
        (torch.randn(1 + config.num_tokens, rows).to(dtype), torch.randn(rows, columns).to(dtype))
        for rows, columns in linear_shapes(config)
    ]

    def multiply():
        for _ in range(config.num_hidden_layers):
            for tokens, weight in pairs:
                torch.mm(tokens, weight)

    return multiply


def transformer_encoder(config: Med3DR1VisionConfig, dtype: torch.dtype, fast_path: bool) -> Callable[[], None]:
    """torch's own layers of the same size, with or without their fused inference path; no patch embedding."""
    layer = nn.TransformerEncoderLayer(
        config.hidden_size, config.num_attention_heads, config.intermediate_size, dropout=0.0, activation="gelu",
        layer_norm_eps=config.layer_norm_eps, batch_first=True, norm_first=True,
    )  # fmt: skip
    encoder = nn.TransformerEncoder(layer, config.num_hidden_layers, enable_nested_tensor=False).eval().to(dtype)
    tokens = torch.randn(1, 1 + config.num_tokens, config.hidden_size).to(dtype)

    def encode():
        torch.backends.mha.set_fastpath_enabled(fast_path)
        encoder(tokens)
        torch.backends.mha.set_fastpath_enabled(True)

    return encode


def memory_of_own_process(preset: str, dtype: str) -> dict[str, float]:
    """What `measure_memory` finds in a fresh process."""
    command = [sys.executable, __file__, "--preset", preset, "--memory", dtype]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


@torch.inference_mode()
def measure_memory(config: Med3DR1VisionConfig, dtype: torch.dtype) -> dict[str, float]:
    """The peak of this process when it has encoded one volume, and what its imports took alone."""
    imports = peak_mb()
    vision_tower(config, dtype)(volume(config))
    return {"imports_mb": imports, "peak_mb": peak_mb()}


def alternatives(
    config: Med3DR1VisionConfig, towers: dict[str, Med3DR1VisionModel], pixel_values: torch.Tensor
) -> dict[tuple[str, str], tuple[int, Callable[[], object]]]:
    """(dtype, name) -> the floating-point operations of one run, and the run."""
    found = {}
    for name, dtype in DTYPES.items():
        found[name, PRODUCTS] = linear_flops(config), matrix_products(config, dtype)
        found[name, OURS] = flops(config), lambda tower=towers[name]: tower(pixel_values)
        found[name, PLAIN] = layer_flops(config), transformer_encoder(config, dtype, fast_path=False)
        found[name, FAST] = layer_flops(config), transformer_encoder(config, dtype, fast_path=True)
    return found


@torch.inference_mode()
def measure(config: Med3DR1VisionConfig, rounds: int) -> dict:
    """Seconds, rates and shares of all alternatives, and how bfloat16 compares with float32."""
    tower, pixel_values = vision_tower(config), volume(config)
    towers = {"float32": tower, "bfloat16": copy.deepcopy(tower).bfloat16()}
    tokens = [tower(pixel_values).last_hidden_state[0].float() for tower in towers.values()]
    cosine = nn.functional.cosine_similarity(*tokens, dim=-1)

    works = alternatives(config, towers, pixel_values)
    times = times_in_turns({key: run for key, (_, run) in works.items()}, rounds)
    rows = []
    for (dtype, name), seconds in times.items():
        work, median = works[dtype, name][0], statistics.median(seconds)
        share = work / linear_flops(config) * median_ratio(times[dtype, PRODUCTS], seconds)
        rows.append({"name": name, "dtype": dtype, "s": median, "tflops": work / median / 1e12, "share": share})
    return {
        "gflop": flops(config) / 1e9,
        "rows": rows,
        "bfloat16_speedup": median_ratio(times["float32", OURS], times["bfloat16", OURS]),
        "bfloat16_cosine_mean": cosine.mean().item(),
        "bfloat16_cosine_min": cosine.min().item(),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory", choices=DTYPES, metavar="DTYPE", help="only measure memory, in this process")
    options = parser.parse_args(arguments)
    config = Med3DR1VisionConfig(**PRESETS[options.preset])
    if options.memory:
        print(json.dumps(measure_memory(config, DTYPES[options.memory])))
        return

    memory = {dtype: memory_of_own_process(options.preset, dtype) for dtype in DTYPES}
    results = measure(config, options.rounds)
    print_table(
        ["one volume", "dtype", "s", "TFLOP/s", "of the bare rate"],
        [[r["name"], r["dtype"], f"{r['s']:.3f}", f"{r['tflops']:.3f}", f"{r['share']:.0%}"] for r in results["rows"]],
    )
    print()
    print_table(
        ["bfloat16 beside float32", "faster", "token cosine, mean", "minimum"],
        [[OURS, *(f"{results[f'bfloat16_{key}']:.6g}" for key in ("speedup", "cosine_mean", "cosine_min"))]],
    )
    print()
    print_table(
        ["memory", "peak MB", "imports alone"],
        [[dtype, f"{used['peak_mb']:.0f}", f"{used['imports_mb']:.0f}"] for dtype, used in memory.items()],
    )
    print_line("encode", machine=machine(torch.get_num_threads()), preset=options.preset, memory=memory, **results)


if __name__ == "__main__":
    main()
