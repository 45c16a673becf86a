"""The tiny model that tests share. Making one takes a second; a test that changes weights makes its own."""

from __future__ import annotations

from pathlib import Path

from med3d_r1 import Med3DR1ForConditionalGeneration, Med3DR1Processor
from med3d_r1.checkpoints import initialize, save_checkpoint


def tiny_model(**overrides) -> Med3DR1ForConditionalGeneration:
    """A model of the tiny preset with random weights (seed 0). `overrides`: arguments of `initialize`."""
    return initialize("tiny", **overrides)[0]


def tiny_processor() -> Med3DR1Processor:
    """The processor of `tiny_model`: volumes of (32, 64, 64) voxels over 336 mm, 32 image tokens."""
    return initialize("tiny")[1]


def tiny_checkpoint(folder: str | Path, **overrides) -> Path:
    """A folder, new or empty, with `tiny_model` and `tiny_processor` saved in it."""
    return save_checkpoint(*initialize("tiny", **overrides), folder)
