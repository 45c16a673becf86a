"""What the loss over 151,665 words takes of memory: TRL's fused head beside logits of all positions.

    python benchmarks/vocabulary_loss.py [--preset full|tiny]

Prints a table and a JSON line. A step's last part alone: hidden states of the decoder's width (2048), the frozen head,
the loss of the labelled tokens, and the gradient of the hidden states. Of each row 343 positions are a volume's, some
are the prompt's, and the rest are labelled. Each way in a process of its own; what it adds is its peak less the peak
before, when head and hidden states were made. Seconds are of one run: the machine's caches are cold.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import dataclass

import torch
from _report import machine, peak_mb, print_line, print_table
from torch import nn
from transformers.modeling_outputs import BaseModelOutput
from trl.trainer.utils import add_fused_lm_head

from med3d_r1 import Med3DR1Config
from med3d_r1.trainers.fused_head import only_labelled_positions

LOGITS, EVERY_POSITION, LABELLED = "logits of all positions", "fused head, every position", "fused head, labelled alone"
WAYS = (LOGITS, EVERY_POSITION, LABELLED)


@dataclass(frozen=True)
class Size:
    """Words, width, and the rows of a step: how many, their positions, and how many of these are labelled."""

    words: int
    width: int
    rows: int
    positions: int
    labelled: int


SIZES = {
    "full": Size(words=151_665, width=2048, rows=2, positions=640, labelled=240),
    "tiny": Size(words=500, width=16, rows=2, positions=40, labelled=10),
}


class Given(nn.Module):
    """In place of a decoder: hidden states that are there already."""

    def __init__(self, hidden: torch.Tensor):
        super().__init__()
        self.hidden = nn.Parameter(hidden)

    def forward(self, **kwargs) -> BaseModelOutput:
        return BaseModelOutput(last_hidden_state=self.hidden)


class Head(nn.Module):
    """As much of a language model as the loss sees."""

    def __init__(self, size: Size):
        super().__init__()
        self.config = Med3DR1Config(text_config={"model_type": "qwen2", "vocab_size": size.words})
        self.base_model = Given(torch.randn(size.rows, size.positions, size.width))
        self.lm_head = nn.Linear(size.width, size.words, bias=False).requires_grad_(False)

    def get_output_embeddings(self) -> nn.Linear:
        return self.lm_head

    def forward(self, labels: torch.Tensor) -> torch.Tensor:
        logits = self.lm_head(self.base_model().last_hidden_state[:, :-1])
        return nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels[:, 1:].flatten())


def measure(way: str, size: Size) -> dict[str, float]:
    """What one loss and its gradient add to the peak of this process."""
    torch.manual_seed(0)
    model = Head(size)
    labels = torch.randint(0, size.words, (size.rows, size.positions))
    labels[:, : -size.labelled] = -100
    add_fused_lm_head(model, outputs=("log_probs", "entropy", "is_top1"))
    before, start = peak_mb(), time.perf_counter()
    if way == LOGITS:
        loss = model(labels=labels)
    else:
        with only_labelled_positions(torch.device("cpu" if way == LABELLED else "meta")):
            loss = model(labels=labels, fused_lm_head=True).loss
    loss.backward()
    return {"added_mb": peak_mb() - before, "s": time.perf_counter() - start, "loss": loss.item()}


def in_own_process(preset: str, way: str) -> dict[str, float]:
    """What `measure` finds in a fresh process."""
    command = [sys.executable, __file__, "--preset", preset, "--way", way]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(output.splitlines()[-1])


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--preset", choices=SIZES, default="full")
    parser.add_argument("--way", choices=WAYS, help="only measure this one, in this process")
    options = parser.parse_args(arguments)
    if options.way:
        print(json.dumps(measure(options.way, SIZES[options.preset])))
        return
    results = {way: in_own_process(options.preset, way) for way in WAYS}
    print_table(
        ["loss and gradient", "MB added", "share of logits", "s", "loss"],
        [
            [
                way,
                f"{found['added_mb']:.0f}",
                f"{found['added_mb'] / max(results[LOGITS]['added_mb'], 1e-9):.2f}",
                f"{found['s']:.2f}",
                f"{found['loss']:.4f}",
            ]
            for way, found in results.items()
        ],
    )
    print_line("vocabulary_loss", machine=machine(torch.get_num_threads()), preset=options.preset, results=results)


if __name__ == "__main__":
    main()
