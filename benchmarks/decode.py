"""How fast text is generated behind a volume, beside the same decoder without vision, and what encoding once saves.

    python benchmarks/decode.py [--preset full|tiny] [--rounds 5]

Prints two tables and a JSON line. The decoder is a Qwen2 of middle size with random weights; it is one and the same in
both models, with prompts of one length. Greedy, one prompt, the volume already encoded. Alternatives take turns; times
are medians, ratios are medians of the rounds' own ratios.

Goal: 98 % of the bare decoder's tokens per second.
"""

from __future__ import annotations

import argparse
import statistics
from dataclasses import dataclass

import torch
from _report import machine, median_ratio, print_line, print_table, times_in_turns
from transformers import Qwen2ForCausalLM

from med3d_r1 import Med3DR1Config, Med3DR1ForConditionalGeneration
from med3d_r1.configuration_med3d_r1 import TINY_QWEN2, TINY_VISION

MIDDLE_QWEN2 = {
    "model_type": "qwen2",
    "vocab_size": 32000,
    "hidden_size": 1024,
    "intermediate_size": 2816,
    "num_hidden_layers": 12,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Preset:
    """What is measured: the decoder, the vision tower, and how much text goes in and comes out."""

    text_config: dict
    vision_config: dict
    text_tokens: int
    new_tokens: int
    questions: int
    tokens_per_answer: int


PRESETS = {
    "full": Preset(MIDDLE_QWEN2, {}, text_tokens=100, new_tokens=64, questions=4, tokens_per_answer=16),
    "tiny": Preset(TINY_QWEN2, TINY_VISION, text_tokens=8, new_tokens=4, questions=2, tokens_per_answer=2),
}


def models(preset: Preset, dtype: torch.dtype) -> tuple[Med3DR1ForConditionalGeneration, Qwen2ForCausalLM]:
    """Med3D-R1, and its own decoder in a model without vision."""
    torch.manual_seed(0)
    last = preset.text_config["vocab_size"] - 1
    config = Med3DR1Config(
        text_config=preset.text_config, vision_config=preset.vision_config,
        image_token_id=last, vision_start_token_id=last - 1, vision_end_token_id=last - 2,
    )  # fmt: skip
    model = Med3DR1ForConditionalGeneration._from_config(config, dtype=dtype).eval()
    bare = Qwen2ForCausalLM._from_config(config.text_config, dtype=dtype).eval()
    bare.model, bare.lm_head = model.model.language_model, model.lm_head
    return model, bare


def generate(model, input_ids: torch.Tensor, new_tokens: int, **inputs) -> None:
    """So many tokens and not one less: random weights would end at any time."""
    output = model.generate(
        input_ids, attention_mask=torch.ones_like(input_ids), do_sample=False,
        max_new_tokens=new_tokens, min_new_tokens=new_tokens, pad_token_id=0, **inputs,
    )  # fmt: skip
    if output.shape[1] != input_ids.shape[1] + new_tokens:
        raise RuntimeError(f"{output.shape[1] - input_ids.shape[1]} tokens were generated, not {new_tokens}")


@torch.inference_mode()
def measure(preset: Preset, dtype: torch.dtype, rounds: int) -> dict:
    """Tokens per second with and without vision; seconds for some questions on one scan, both ways."""
    model, bare = models(preset, dtype)
    config = model.config
    text = torch.randint(0, config.vision_end_token_id, (1, config.num_image_tokens + preset.text_tokens))
    prompt = text.clone()
    prompt[:, : config.num_image_tokens] = config.image_token_id
    volume = torch.randn(1, 1, *config.vision_config.image_size)
    features = model.encode_volumes(volume)

    def ask(encode_once: bool):
        pixel_values = model.encode_volumes(volume) if encode_once else volume
        for _ in range(preset.questions):
            generate(model, prompt, preset.tokens_per_answer, pixel_values=pixel_values)

    times = times_in_turns(
        {
            "with_vision": lambda: generate(model, prompt, preset.new_tokens, pixel_values=features),
            "bare": lambda: generate(bare, text, preset.new_tokens),
            "encoded_each_time": lambda: ask(encode_once=False),
            "encoded_once": lambda: ask(encode_once=True),
        },
        rounds,
    )
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    return {
        "with_vision_tokens_per_s": preset.new_tokens / median["with_vision"],
        "bare_tokens_per_s": preset.new_tokens / median["bare"],
        "ratio": median_ratio(times["bare"], times["with_vision"]),
        "encoded_each_time_s": median["encoded_each_time"],
        "encoded_once_s": median["encoded_once"],
        "gain": median_ratio(times["encoded_each_time"], times["encoded_once"]),
    }


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    preset = PRESETS[options.preset]

    results = {name: measure(preset, dtype, options.rounds) for name, dtype in DTYPES.items()}
    print_table(
        ["tokens per second", "behind a volume", "bare Qwen2", "ratio"],
        [
            [name, f"{r['with_vision_tokens_per_s']:.1f}", f"{r['bare_tokens_per_s']:.1f}", f"{r['ratio']:.3f}"]
            for name, r in results.items()
        ],
    )
    print()
    print_table(
        [f"{preset.questions} questions on one scan, s", "encoded each time", "encoded once", "ratio"],
        [
            [name, f"{r['encoded_each_time_s']:.2f}", f"{r['encoded_once_s']:.2f}", f"{r['gain']:.2f}"]
            for name, r in results.items()
        ],
    )
    print_line("decode", machine=machine(torch.get_num_threads()), preset=options.preset, **results)


if __name__ == "__main__":
    main()
