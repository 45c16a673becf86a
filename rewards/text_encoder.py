"""Texts -> vectors of their tokens, with any encoder of transformers that has a tokenizer beside it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from transformers import AutoModel, AutoTokenizer


def default_device() -> torch.device:
    """The accelerator that this process uses, or the processor."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")


class TextEncoder:
    """An encoder with its tokenizer. It is never trained.

    Args:
        model: folder, or id on the Hub.
        device: default: the accelerator of this process, or the processor.
        dtype: of the weights.
        batch_size: texts at a time.
        max_length: tokens of a text that are read, the rest is cut off; default: what tokenizer and model allow.
        layers: hidden layers to go through; default: all.
    """

    def __init__(
        self,
        model: str,
        *,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.float32,
        batch_size: int = 16,
        max_length: int | None = None,
        layers: int | None = None,
    ):
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.model = AutoModel.from_pretrained(model, dtype=dtype).to(device or default_device()).eval()
        self.batch_size = batch_size
        limits = (self.tokenizer.model_max_length, getattr(self.model.config, "max_position_embeddings", None))
        self.max_length = max_length or min(limit for limit in limits if limit)
        self.layers = -1 if layers is None else layers

    @torch.inference_mode()
    def batches(self, texts: Sequence[str]) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """For some texts at a time, in order: hidden states (B, T, C) as float32, ids (B, T), mask (B, T) as bool."""
        for start in range(0, len(texts), self.batch_size):
            inputs = self.tokenizer(
                list(texts[start : start + self.batch_size]),
                padding=True,
                truncation=True,
                max_length=self.max_length,
                return_tensors="pt",
            ).to(self.model.device)
            hidden = self.model(**inputs, output_hidden_states=True).hidden_states[self.layers]
            yield hidden.float(), inputs["input_ids"], inputs["attention_mask"].bool()


__all__ = ["TextEncoder", "default_device"]
