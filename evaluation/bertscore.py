"""BERTScore (Zhang et al. 2020) with any encoder: how well the tokens of two texts find each other by their vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..rewards.text_encoder import TextEncoder


def bertscore(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    model: str,
    *,
    layers: int | None = None,
    **settings: Any,
) -> list[float]:
    """F1 of each text, the best over its references.

    Each token is matched with the most similar one of the other text by the cosine of their vectors; precision is the
    mean over the text's tokens, recall over the reference's. As in the authors' program the tokens that begin and end
    a text may be matched and are not counted; as in its default nothing is weighted by rarity or rescaled. A number
    depends on model and layer: give both beside it. Texts are cut to what the encoder reads.

    Args:
        hypotheses: one text for each exam.
        references: one or more for each.
        model: folder or Hub id of an encoder.
        layers: whose hidden state is taken, counted from the word embedding as 0; default: the last. The authors
            recommend one for each model, such as 17 for roberta-large.
        settings: `device`, `dtype`, `batch_size`, `max_length`, as for `TextEncoder`.

    Raises:
        ValueError: there is not one list of references, none empty, for each text.
    """
    if len(hypotheses) != len(references) or not all(references):
        raise ValueError(
            f"one list of references, none empty, for each of the texts; got {len(hypotheses)} texts and "
            f"{len(references)} lists, {sum(not given for given in references)} of them empty"
        )
    encoder = TextEncoder(model, layers=layers, **settings)
    texts = list(dict.fromkeys([*hypotheses, *(text for given in references for text in given)]))
    vectors = dict(zip(texts, _vectors(encoder, texts), strict=True))
    return [
        max(_f1(*vectors[text], *vectors[reference]) for reference in given)
        for text, given in zip(hypotheses, references, strict=True)
    ]


def _vectors(encoder: TextEncoder, texts: Sequence[str]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Of each text the unit vectors (T, C) of its tokens, and which of them count (T,)."""
    tokenizer = encoder.tokenizer
    ends = torch.tensor([token for token in (tokenizer.cls_token_id, tokenizer.sep_token_id) if token is not None])
    for hidden, ids, mask in encoder.batches(texts):
        unit = torch.nn.functional.normalize(hidden, dim=-1)
        counted = mask & ~torch.isin(ids, ends.to(ids.device))
        yield from ((unit[row][mask[row]], counted[row][mask[row]]) for row in range(len(unit)))


def _f1(said: torch.Tensor, said_counts: torch.Tensor, known: torch.Tensor, known_counts: torch.Tensor) -> float:
    if not said_counts.any() or not known_counts.any():
        return 0.0
    similar = said @ known.T
    precision = similar.amax(1)[said_counts].mean()
    recall = similar.amax(0)[known_counts].mean()
    return float(2 * precision * recall / (precision + recall))


__all__ = ["bertscore"]
