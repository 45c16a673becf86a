"""TRL's fused head, which gives the log-probabilities of labels without the logits of all words, on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from trl.trainer import utils


@contextmanager
def only_labelled_positions(device: torch.device) -> Iterator[None]:
    """Within this context the head scores no position without a label on a CPU either, as it does on a GPU.

    Where there is no Triton TRL scores all of them, for accelerators that compile a program for each shape; a CPU
    does not. Volume and prompt are most of a row: at the tiny preset they were a quarter of a step of SFT.
    """
    compacts = utils._use_triton
    if device.type == "cpu":
        utils._use_triton = lambda device: True
    try:
        yield
    finally:
        utils._use_triton = compacts


__all__ = ["only_labelled_positions"]
