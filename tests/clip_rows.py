"""Prepared scans with words about them, and a ClipTrainer on them: what the tests of stage 0 share."""

from __future__ import annotations

import numpy as np
import torch

from med3d_r1.checkpoints import IMAGE_PROCESSORS
from med3d_r1.configuration_med3d_r1 import TINY_VISION, Med3DR1VisionConfig
from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.prepared_med3d_r1 import PreparedVolume
from med3d_r1.tiny import tiny_tokenizer
from med3d_r1.trainers.clip import ClipConfig, ClipTrainer
from med3d_r1.trainers.clip_text import BagOfTokens
from med3d_r1.vision_med3d_r1 import Med3DR1VisionModel

LABELS = 18


def image_processor(**settings) -> Med3DR1ImageProcessor:
    """That of the tiny preset. `settings` replace its own."""
    return Med3DR1ImageProcessor(**{**IMAGE_PROCESSORS["tiny"], **settings})


def save_noise(folder, count, processor=None) -> list[str]:
    """Prepared scans of noise around water, each with another spread, so that they can be told apart."""
    processor = processor or image_processor()
    shape = tuple(size + 2 * margin for size, margin in zip(processor.size, processor.margin, strict=True))
    paths = []
    for number in range(count):
        rng = np.random.default_rng(number)
        hu = rng.normal(0, 50 + 60 * number, shape).clip(-1000, 1000).astype(np.int16)
        path = folder / f"{number}.npz"
        PreparedVolume(hu, np.eye(4), {"preprocessing": processor.preprocessing}).save(path)
        paths.append(str(path))
    return paths


def rows(paths, labelled=True) -> list[dict]:
    """Each scan with a text of its own; label k is present where bit k % 3 of the scan's number is set."""
    return [
        {
            "images": [path],
            "text": f"There is nodule {number} in the lung",
            "labels": [number >> (place % 3) & 1 for place in range(LABELS)] if labelled else None,
        }
        for number, path in enumerate(paths)
    ]


def tower(**changes) -> Med3DR1VisionModel:
    """A vision tower smaller still than the tiny preset's: one layer of 12 channels."""
    small = {"hidden_size": 12, "intermediate_size": 16, "stem_channels": [4]}
    return Med3DR1VisionModel(Med3DR1VisionConfig(**{**TINY_VISION, **small, **changes}))


def config(folder, **settings) -> ClipConfig:
    """Small, on the CPU, silent."""
    return ClipConfig(
        **{
            "output_dir": str(folder),
            "embedding_width": 8,
            "bank_entries": 16,
            "pooling": "mean_max",
            "batch_norm": True,
            "per_device_train_batch_size": 4,
            "per_device_eval_batch_size": 3,
            "learning_rate": 1e-2,
            "max_steps": 4,
            "logging_steps": 1,
            "save_strategy": "no",
            "use_cpu": True,
            "bf16": False,
            "activation_checkpointing": False,
            "report_to": "none",
            "disable_tqdm": True,
            **settings,
        }
    )


def trainer_of(args, train=None, held_out=None, tower_of=tower) -> ClipTrainer:
    """A trainer with a new model; the same at every call."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    model = args.model(tower_of(), BagOfTokens(len(tokenizer), 10))
    return ClipTrainer(model, args, train, held_out, image_processor=image_processor(), tokenizer=tokenizer)
