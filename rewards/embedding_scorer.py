"""Similarity of a reasoning and a report as the cosine of their embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .text_encoder import TextEncoder


class EmbeddingScorer:
    """Cosine of the mean token vectors, in [-1, 1], with any encoder.

    It measures how alike two texts sound, not whether they agree: "a nodule" and "no nodule" lie close together, and a
    reasoning that denies what a report denies earns. `FindingScorer` does not have that fault.

    Args:
        model: folder or Hub id of an encoder with its tokenizer.
        settings: `device`, `dtype`, `batch_size`, `max_length`, as for `TextEncoder`.
    """

    bounded = False

    def __init__(self, model: str, **settings: Any):
        self.encoder = TextEncoder(model, **settings)

    def __call__(self, reasonings: Sequence[str], reports: Sequence[str]) -> list[float]:
        """One cosine for each pair. A text that comes several times is encoded once."""
        texts = list(dict.fromkeys((*reasonings, *reports)))
        place = {text: number for number, text in enumerate(texts)}
        vectors = torch.cat([_means(hidden, mask) for hidden, _, mask in self.encoder.batches(texts)])
        said, known = ([place[text] for text in side] for side in (reasonings, reports))
        return (vectors[said] * vectors[known]).sum(-1).tolist()


def _means(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Unit vectors (B, C) along the mean of each text's tokens."""
    weights = mask.unsqueeze(-1).to(hidden.dtype)
    return torch.nn.functional.normalize((hidden * weights).sum(1) / weights.sum(1), dim=-1)


__all__ = ["EmbeddingScorer"]
