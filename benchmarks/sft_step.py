"""What a feature store saves in stage 1: a step on encoded scans, beside the same step on prepared scans.

    python benchmarks/sft_step.py [--preset full|tiny] [--rounds 5]

Prints a table and a JSON line. The vision tower is frozen and of full size (12 layers), the decoder a small Qwen2;
weights are random. A step reads its scans, collates, goes forward and backward through bridge and frozen decoder, and
changes the bridge. The two take turns; times are medians, the gain is the median of the rounds' own ratios. It falls as
the decoder grows: what is saved is the vision tower alone.

Goal: 10 x.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import torch
from _report import machine, median_ratio, print_line, print_table, times_in_turns
from _sft import PRESETS, STEP, Preset, Step, model_and_processor, reports, write_encoded, write_scans

from med3d_r1.trainers import ARWSFTConfig, ARWSFTTrainer


def measure(preset: Preset, rounds: int, folder: Path) -> dict:
    """Seconds of a step, both ways."""
    model, processor = model_and_processor(preset)
    scans = reports(write_scans(folder, processor.image_processor, preset.batch), preset.sentences)
    encoded = reports(write_encoded(folder, model, processor.image_processor, preset.batch), preset.sentences)
    trainer = ARWSFTTrainer(model, ARWSFTConfig(str(folder), **STEP), scans, processing_class=processor)
    step = Step(trainer)
    times = times_in_turns({"encoding_s": lambda: step(scans), "store_s": lambda: step(encoded)}, rounds)
    median = {name: statistics.median(seconds) for name, seconds in times.items()}
    return {**median, "gain": median_ratio(times["encoding_s"], times["store_s"])}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args(arguments)
    preset = PRESETS[options.preset]
    with tempfile.TemporaryDirectory() as folder:
        results = measure(preset, options.rounds, Path(folder))
    print_table(
        [f"a step of {preset.batch} reports, s", "median", "gain"],
        [
            ["scans are encoded", f"{results['encoding_s']:.3f}", "1.0"],
            ["from the feature store", f"{results['store_s']:.3f}", f"{results['gain']:.1f}"],
        ],
    )
    print_line("sft_step", machine=machine(torch.get_num_threads()), preset=options.preset, **results)


if __name__ == "__main__":
    main()
