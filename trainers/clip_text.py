"""Text encoders of stage 0: any of transformers, or a bag of tokens for a world of few words.

Both take `input_ids` and `attention_mask` (N, T) and give one vector a text, (N, width).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from transformers import AutoModel, AutoTokenizer, PreTrainedModel


class BagOfTokens(nn.Module):
    """The mean of the tokens' embeddings, whatever their order.

    A transformer needs more reports than the embedded world has to learn from nothing that a report is a list of names;
    here nothing else can be learnt.
    """

    def __init__(self, vocabulary_size: int, width: int):
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(vocabulary_size, width)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return masked_mean(self.embedding(input_ids), attention_mask)


class TransformerText(nn.Module):
    """A text encoder of transformers: the mean over the tokens of its last layers' sum.

    Args:
        encoder: whose output has `last_hidden_state`.
        layers: so many last layers are summed: 4 in BrgSA, of CXR-BERT.
    """

    def __init__(self, encoder: PreTrainedModel, layers: int = 1):
        super().__init__()
        deepest = encoder.config.get_text_config().num_hidden_layers
        if not 1 <= layers <= deepest:
            raise ValueError(f"text_layers is 1 to {deepest}, the layers of this text encoder; got {layers}")
        # BERT's own pooling would stay without a gradient, which stops DDP.
        if getattr(encoder, "pooler", None) is not None:
            encoder.pooler = None
        self.encoder, self.layers = encoder, layers
        self.width = encoder.config.get_text_config().hidden_size

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        several = self.layers > 1
        output = self.encoder(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=several)
        hidden = sum(output.hidden_states[-self.layers :]) if several else output.last_hidden_state
        return masked_mean(hidden, attention_mask)


def masked_mean(rows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """(N, T, C), (N, T) -> (N, C): the mean over those of the T rows whose mask is 1; nothing to average gives 0."""
    mask = mask.to(rows.dtype)[..., None]
    return (rows * mask).sum(dim=1) / mask.sum(dim=1).clamp(min=1)


def load_text_encoder(name: str | Path, layers: int = 1) -> tuple[TransformerText, object]:
    """A text encoder and its tokenizer, by Hub id or folder.

    Args:
        name: of an encoder such as microsoft/BiomedVLP-CXR-BERT-general. Code that a repository brings is not run.
        layers: see `TransformerText`.

    Raises:
        FileNotFoundError: there is none within reach.
        ValueError: it is none that transformers can load, or has fewer layers.
    """
    try:
        return TransformerText(AutoModel.from_pretrained(name), layers), AutoTokenizer.from_pretrained(name)
    except OSError as error:
        raise FileNotFoundError(
            f"{name}: no text encoder with its tokenizer in this folder or on the Hub. {error}"
        ) from error


__all__ = ["BagOfTokens", "TransformerText", "load_text_encoder", "masked_mean"]
