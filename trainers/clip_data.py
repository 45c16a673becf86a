"""Rows of stage 0 -> batches: scans through the one image processor, texts through a tokenizer.

    images   [path]: a raw scan, or, far faster, a file of the volume store
    text     the report, or what is to be shown of it
    labels   18 times 0 or 1 in official order, or None; only evaluation looks at them

Whatever is drawn at random follows from the seed, the epoch and the row's number alone. So a run that was killed and
goes on draws what it would have drawn, also with workers that read ahead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset, Sampler

from ..abnormalities import CT_RATE_LABELS
from ..image_processing_med3d_r1 import Med3DR1ImageProcessor
from ..prepared_med3d_r1 import PreparedVolume

UNKNOWN = -1
"""Stands in for each label of a row that has none."""


class EpochSampler(Sampler[int]):
    """A new order in each epoch, in whole batches: what is over at the end of an epoch waits for another one.

    What it yields says the epoch, too: epoch * rows + row.

    Args:
        rows: how many there are.
        batch: pairs of all processes together that are contrasted at once.
        seed: of the orders.

    Raises:
        ValueError: there are fewer rows than that.
    """

    def __init__(self, rows: int, batch: int, seed: int):
        if rows < batch:
            raise ValueError(
                f"{rows} pairs are fewer than the {batch} that one step contrasts: take more rows, or a smaller "
                "per_device_train_batch_size"
            )
        self.rows, self.seed, self.epoch = rows, seed, 0
        self.length = rows // batch * batch

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.length

    def __iter__(self) -> Iterator[int]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(self.rows)[: self.length]
        return iter((self.epoch * self.rows + order).tolist())


class ShiftedRows(Dataset):
    """Rows with the `shift` by which the collator moves their scan, anew in each epoch.

    Args:
        rows: anything with a length and items.
        shift: the largest, in voxels along (D, H, W).
        seed: of the shifts.
    """

    def __init__(self, rows: Any, shift: Sequence[int], seed: int):
        self.rows, self.shift, self.seed = rows, np.array(shift), seed

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int) -> dict[str, Any]:
        """
        Args:
            key: from `EpochSampler`; a plain row number is that of epoch 0.
        """
        rng = np.random.default_rng((self.seed, *divmod(key, len(self)), 1))
        shift = rng.integers(-self.shift, self.shift, endpoint=True)
        return {**self.rows[key % len(self)], "shift": shift.tolist()}


class ClipCollator:
    """Rows -> `pixel_values` (N, 1, D, H, W), `input_ids` and `attention_mask` (N, T), `labels` int64 (N, 18).

    Args:
        image_processor, tokenizer: those of the two towers.
        max_text_tokens: longer texts lose their end.
        lowercase: whether the tokenizer should see no capitals, as an uncased one does.
        keep_scans: so many prepared scans stay in memory (of each worker), those that were met first.
    """

    def __init__(
        self,
        image_processor: Med3DR1ImageProcessor,
        tokenizer: Any,
        *,
        max_text_tokens: int | None = None,
        lowercase: bool = False,
        keep_scans: int = 0,
    ):
        self.image_processor, self.tokenizer = image_processor, tokenizer
        self.max_text_tokens, self.lowercase, self.keep_scans = max_text_tokens, lowercase, keep_scans
        self._kept: dict[str, PreparedVolume] = {}

    def __call__(self, rows: Sequence[dict[str, Any]]) -> dict[str, torch.Tensor]:
        volumes = [self._volume(row) for row in rows]
        return {
            "pixel_values": torch.stack(volumes),
            **self.texts([row["text"] for row in rows]),
            "labels": torch.tensor([_labels(row) for row in rows]),
        }

    def texts(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """`input_ids` and `attention_mask`."""
        encoded = self.tokenizer(
            [text.lower() if self.lowercase else text for text in texts],
            padding=True,
            truncation=self.max_text_tokens is not None,
            max_length=self.max_text_tokens,
            return_tensors="pt",
        )
        return {name: encoded[name] for name in ("input_ids", "attention_mask")}

    def _volume(self, row: dict[str, Any]) -> torch.Tensor:
        if len(row["images"]) != 1:
            raise ValueError(
                f"a pair has one scan, `images: [path]`; this row has {len(row['images'])}: {row['images']}"
            )
        path = row["images"][0]
        prepared = self._kept.get(path)
        if prepared is None:
            prepared = self.image_processor.prepare(path)
            if len(self._kept) < self.keep_scans:
                self._kept[path] = prepared
        return shifted(self.image_processor, prepared, row.get("shift") or (0, 0, 0))


def shifted(image_processor: Med3DR1ImageProcessor, prepared: PreparedVolume, shift: Sequence[int]) -> torch.Tensor:
    """The model's input (1, D, H, W), moved off the scan's middle by so many voxels along (D, H, W).

    As far as the prepared volume's margin reaches its voxels come in; beyond it the outermost ones are repeated.
    """
    inside = [max(-margin, min(step, margin)) for step, margin in zip(shift, image_processor.margin, strict=True)]
    volume = image_processor.to_tensor(prepared, inside)
    beyond = [step - near for step, near in zip(shift, inside, strict=True)]
    if not any(beyond):
        return volume
    # The last axis comes first in `pad`; what is cut off at one side is put on at the other.
    sides = [side for step in reversed(beyond) for side in (max(0, -step), max(0, step))]
    padded = torch.nn.functional.pad(volume[None], sides, mode="replicate")[0]
    seen = (slice(max(0, step), max(0, step) + length) for step, length in zip(beyond, volume.shape[1:], strict=True))
    return padded[(slice(None), *seen)]


def _labels(row: dict[str, Any]) -> list[int]:
    labels = row.get("labels")
    if labels is None:
        return [UNKNOWN] * len(CT_RATE_LABELS)
    if len(labels) != len(CT_RATE_LABELS):
        raise ValueError(f"labels are {len(CT_RATE_LABELS)} times 0 or 1; this row has {len(labels)}: {list(labels)}")
    return [int(label) for label in labels]


__all__ = ["UNKNOWN", "ClipCollator", "EpochSampler", "ShiftedRows", "shifted"]
