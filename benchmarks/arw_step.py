"""What re-weighting costs: a step of ARWSFTTrainer beside one of TRL's own SFTTrainer, in time and memory.

    python benchmarks/arw_step.py [--preset full|tiny] [--rounds 10]

Prints a table and a JSON line. Scans are encoded, so that no vision tower hides the difference; the decoder is a small
Qwen2, weights are random, and the bridge trains. On a CPU our trainer scores labelled positions only
(`trainers/fused_head.py`), as TRL does on GPUs; the row "every position" is ours without that, so that the cost
of the weights themselves is seen. The alternatives take turns; times are medians, ratios are medians of the rounds' own
ratios. Memory is the peak of a process of its own, and what its imports took of it.

Goal: 1.02 x the time and the memory of TRL.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from _report import machine, median_ratio, peak_mb, print_line, print_table, times_in_turns
from _sft import PRESETS, STEP, Preset, Step, model_and_processor, reports, write_encoded
from trl import SFTConfig, SFTTrainer

from med3d_r1.trainers import ARWSFTConfig, ARWSFTTrainer, sft
from med3d_r1.trainers.parts import choose_parts

STOCK, OURS, EVERY_POSITION = "TRL's SFTTrainer", "ARWSFTTrainer", "ARWSFTTrainer, every position"
NAMES = (STOCK, OURS, EVERY_POSITION)


def step_of(name: str, preset: Preset, folder: Path) -> Callable[[], None]:
    """One alternative, with a model of its own."""
    model, processor = model_and_processor(preset)
    scans = write_encoded(folder, model, processor.image_processor, preset.batch)
    rows = reports(scans, preset.sentences)
    if name == STOCK:
        choose_parts(model, ["bridge"])
        config = SFTConfig(str(folder), max_length=None, bf16=False, activation_checkpointing=False, **STEP)
        return Step(SFTTrainer(model, config, train_dataset=rows, processing_class=processor))
    step = Step(ARWSFTTrainer(model, ARWSFTConfig(str(folder), **STEP), rows, processing_class=processor))
    return step if name == OURS else lambda: scoring_every_position(step)


def scoring_every_position(step: Callable[[], None]) -> None:
    compacting = sft.only_labelled_positions
    sft.only_labelled_positions = lambda device: contextlib.nullcontext()
    try:
        step()
    finally:
        sft.only_labelled_positions = compacting


def measure_memory(name: str, preset: Preset, folder: Path) -> dict[str, float]:
    """The peak of this process when it has made two steps, and what its imports took alone."""
    imports = peak_mb()
    step = step_of(name, preset, folder)
    step()
    step()
    return {"imports_mb": imports, "peak_mb": peak_mb()}


def memory_of_own_process(preset: str, name: str) -> dict[str, float]:
    """What `measure_memory` finds in a fresh process."""
    command = [sys.executable, __file__, "--preset", preset, "--memory", name]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=PRESETS, default="full")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--memory", choices=NAMES, metavar="NAME", help="only measure memory, in this process")
    options = parser.parse_args(arguments)
    preset = PRESETS[options.preset]
    with tempfile.TemporaryDirectory() as folder:
        if options.memory:
            print(json.dumps(measure_memory(options.memory, preset, Path(folder))))
            return
        # First, as a process begins with the peak of the one that starts it.
        memory = {name: memory_of_own_process(options.preset, name) for name in NAMES}
        times = times_in_turns({name: step_of(name, preset, Path(folder)) for name in NAMES}, options.rounds)
    results = {
        name: {
            "s": statistics.median(times[name]),
            "time_ratio": median_ratio(times[name], times[STOCK]),
            "memory_ratio": memory[name]["peak_mb"] / memory[STOCK]["peak_mb"],
            **memory[name],
        }
        for name in NAMES
    }
    print_table(
        ["one step", "s", "ratio", "peak MB", "imports alone", "ratio"],
        [
            [
                name,
                f"{r['s']:.3f}",
                f"{r['time_ratio']:.3f}",
                f"{r['peak_mb']:.0f}",
                f"{r['imports_mb']:.0f}",
                f"{r['memory_ratio']:.3f}",
            ]
            for name, r in results.items()
        ],
    )
    print_line("arw_step", machine=machine(torch.get_num_threads()), preset=options.preset, results=results)


if __name__ == "__main__":
    main()
