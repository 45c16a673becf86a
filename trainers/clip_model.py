"""ClipModel: the vision tower and a text encoder, brought into one space.

    pixel_values (N, 1, D, H, W) -> vision tower -> class token or pooled patch tokens -> head -> (N, E)
    input_ids (N, T)             -> text encoder -> one vector a text                  -> head -> (N, E)

The towers work on the pairs of their own process. What they give is gathered, with gradient, and all that follows (the
heads with their batch statistics, the bank, the losses) sees the whole batch, so that many processes do exactly what
one would.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from transformers.modeling_outputs import ModelOutput

from ..vision_med3d_r1 import Med3DR1VisionModel
from .clip_losses import KnowledgeBank, gathered, info_nce
from .clip_text import TransformerText

Pooling = Literal["class", "mean", "mean_max"]
POOLINGS: dict[Pooling, int] = {"class": 1, "mean": 1, "mean_max": 2}
"""How a scan's tokens become one vector, and of how many widths of the tower it is. "class": the class token (BrgSA).
"mean_max": mean and maximum of the patch tokens, one for what lies everywhere and one for what lies in one place: from
a few thousand scans a class token does not learn where to look."""


@dataclass
class ClipOutput(ModelOutput):
    """
    Attributes:
        loss: of the whole batch, all processes' pairs.
        image_embeds, text_embeds: (N, E), not normalised, of the whole batch while training and of this process else.
        contrastive, reconstruction, reconstructed_contrastive: the loss's terms without their weights; None if off.
    """

    loss: torch.Tensor | None = None
    image_embeds: torch.Tensor | None = None
    text_embeds: torch.Tensor | None = None
    contrastive: torch.Tensor | None = None
    reconstruction: torch.Tensor | None = None
    reconstructed_contrastive: torch.Tensor | None = None


class ClipModel(nn.Module):
    """Volumes and texts as vectors, and how well they agree.

    Args:
        vision_tower: the one that the model of the next stages takes over.
        text_encoder: gives (N, width) from `input_ids` and `attention_mask`, and says its `width`.
        width: E.
        pooling: see `POOLINGS`.
        batch_norm: whether each head begins with a BatchNorm: with towers that start random, what all scans have in
            common is far larger than what tells them apart.
        scale: of the cosines (BrgSA: 10); trained where `learn_scale`.
        lock_text: whether texts keep the vectors that they start with, and only images learn to meet them. Otherwise a
            text encoder that starts random learns first to be silent about whatever the vision tower cannot see yet,
            and then nothing asks the tower to see it any more.
        bank_entries: rows of the knowledge bank (BrgSA: 2048), 0 for none.
        reconstruction_weight, reconstructed_contrastive_weight: of the bank's two losses (BrgSA: 0.5, 1.0), 0 for none.
    """

    def __init__(
        self,
        vision_tower: Med3DR1VisionModel,
        text_encoder: nn.Module,
        *,
        width: int = 768,
        pooling: Pooling = "class",
        batch_norm: bool = False,
        scale: float = 10.0,
        learn_scale: bool = False,
        lock_text: bool = False,
        bank_entries: int = 2048,
        reconstruction_weight: float = 0.5,
        reconstructed_contrastive_weight: float = 1.0,
    ):
        super().__init__()
        if pooling not in POOLINGS:
            raise ValueError(f"pooling is one of {', '.join(POOLINGS)}; got {pooling!r}")
        self.vision_tower, self.text_encoder, self.pooling = vision_tower, text_encoder, pooling
        self.image_head = _head(POOLINGS[pooling] * vision_tower.config.hidden_size, width, batch_norm)
        self.text_head = _head(text_encoder.width, width, batch_norm)
        self.lock_text = lock_text
        if lock_text:
            _lock(self.text_encoder, self.text_head)
        log_scale = torch.tensor(float(scale)).log()
        self.log_scale = nn.Parameter(log_scale) if learn_scale else nn.Buffer(log_scale)
        self.reconstruction_weight = reconstruction_weight
        self.reconstructed_contrastive_weight = reconstructed_contrastive_weight
        used = bank_entries > 0 and (reconstruction_weight > 0 or reconstructed_contrastive_weight > 0)
        self.bank = KnowledgeBank(bank_entries, width) if used else None

    def train(self, mode: bool = True) -> ClipModel:
        """As of any module; a locked text encoder is without dropout in training, too."""
        super().train(mode)
        if self.lock_text:
            self.text_encoder.eval()
        return self

    def embed_images(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """(N, 1, D, H, W) -> (N, E), not normalised."""
        return self.image_head(self._pooled(pixel_values))

    def embed_texts(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """(N, T), (N, T) -> (N, E), not normalised."""
        return self.text_head(self.text_encoder(input_ids, attention_mask))

    def similarity(self, images: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """Cosines (N, M) of image embeddings (N, E) with text embeddings (M, E). With a bank, the mean of the image's
        and its reconstruction's, as BrgSA's released evaluation has it."""
        texts = nn.functional.normalize(texts, dim=-1)
        cosines = nn.functional.normalize(images, dim=-1) @ texts.T
        if self.bank is None:
            return cosines
        return (cosines + nn.functional.normalize(self.bank(images), dim=-1) @ texts.T) / 2

    def forward(self, pixel_values: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> ClipOutput:
        """
        Args:
            pixel_values: (N, 1, D, H, W), from the image processor.
            input_ids, attention_mask: (N, T), the text of each.

        Returns:
            the loss. While training each process gets that of the pairs of all processes, else that of its own.
        """
        whole = gathered if self.training else (lambda rows: rows)
        image = self.image_head(whole(self._pooled(pixel_values)))
        text = self.text_head(whole(self.text_encoder(input_ids, attention_mask)))
        scale = self.log_scale.exp()
        contrastive = info_nce(image, text, scale)
        output = ClipOutput(loss=contrastive, image_embeds=image, text_embeds=text, contrastive=contrastive)
        if self.bank is not None:
            image_again, text_again = self.bank(image), self.bank(text)
            if self.reconstruction_weight:
                mse = nn.functional.mse_loss
                output.reconstruction = mse(image_again, image) + mse(text_again, text)
                output.loss = output.loss + self.reconstruction_weight * output.reconstruction
            if self.reconstructed_contrastive_weight:
                output.reconstructed_contrastive = info_nce(image_again, text_again, scale)
                output.loss = output.loss + self.reconstructed_contrastive_weight * output.reconstructed_contrastive
        return output

    def _pooled(self, pixel_values: torch.Tensor) -> torch.Tensor:
        output = self.vision_tower(pixel_values)
        if self.pooling == "class":
            return output.pooler_output
        tokens = output.last_hidden_state
        if self.pooling == "mean":
            return tokens.mean(dim=1)
        return torch.cat([tokens.mean(dim=1), tokens.amax(dim=1)], dim=-1)

    def activation_checkpointing_enable(self, **settings: Any) -> None:
        """What the Trainer calls for `activation_checkpointing`: the towers compute their activations twice."""
        self.vision_tower.activation_checkpointing_enable(**settings)
        if isinstance(self.text_encoder, TransformerText):
            self.text_encoder.encoder.activation_checkpointing_enable(**settings)


def _head(given: int, width: int, batch_norm: bool) -> nn.Module:
    linear = nn.Linear(given, width)
    return nn.Sequential(nn.BatchNorm1d(given), linear) if batch_norm else linear


def _lock(text_encoder: nn.Module, text_head: nn.Module) -> None:
    """Freeze what makes vectors of texts. An orthogonal map leaves them as far apart as the encoder has them."""
    linear = text_head[-1] if isinstance(text_head, nn.Sequential) else text_head
    nn.init.orthogonal_(linear.weight)
    nn.init.zeros_(linear.bias)
    for part in (text_encoder, text_head):
        part.requires_grad_(False)


__all__ = ["POOLINGS", "ClipModel", "ClipOutput", "Pooling"]
