"""The losses of stage 0: symmetric InfoNCE, and a knowledge bank that images and texts share (BrgSA, arXiv 2501.03565).

    loss = InfoNCE(image, text) + 0.5 * (MSE(image', image) + MSE(text', text)) + 1.0 * InfoNCE(image', text')

with x' = softmax(x D^T) D, the reconstruction of x from the rows of the bank D. BrgSA's released code adds the two
directions of InfoNCE where CLIP (arXiv 2103.00020) takes their mean; the mean is ours, so that ln(batch) is chance. To
have its balance of the terms back, halve `reconstruction_weight`.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from torch import nn


def info_nce(image: torch.Tensor, text: torch.Tensor, scale: torch.Tensor | float) -> torch.Tensor:
    """How surely each image finds its text among all texts, and each text its image: the mean of both directions.

    Args:
        image, text: (N, E), of any length; row i of one belongs to row i of the other.
        scale: of the cosines.

    >>> same = torch.eye(2)
    >>> round(info_nce(same, same, 10.0).item(), 6)  # log(1 + exp(-10))
    4.5e-05
    """
    image, text = nn.functional.normalize(image, dim=-1), nn.functional.normalize(text, dim=-1)
    logits = scale * image @ text.T
    own = torch.arange(len(logits), device=logits.device)
    return (nn.functional.cross_entropy(logits, own) + nn.functional.cross_entropy(logits.T, own)) / 2


class KnowledgeBank(nn.Module):
    """Rows that images and texts are both put together from.

    Args:
        entries, width: of the bank, (K, E). Rows start orthogonal to each other, or columns where rows are more.
    """

    def __init__(self, entries: int, width: int):
        super().__init__()
        self.entries = nn.Embedding(entries, width)
        nn.init.orthogonal_(self.entries.weight)

    def forward(self, embeddings: torch.Tensor) -> torch.Tensor:
        """(N, E) -> their reconstructions (N, E), each a mixture of the bank's rows."""
        bank = self.entries.weight
        return torch.softmax(embeddings @ bank.T, dim=-1) @ bank


class _Gather(torch.autograd.Function):
    """All processes' rows, in the order of their ranks; gradients go back to the process that the rows came from."""

    @staticmethod
    def forward(ctx, rows: torch.Tensor) -> torch.Tensor:
        gathered = [torch.empty_like(rows) for _ in range(dist.get_world_size())]
        dist.all_gather(gathered, rows.contiguous())
        ctx.count = len(rows)
        return torch.cat(gathered)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
        # Summed over the processes, since each has computed with all rows. Not reduce_scatter, which gloo lacks.
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[dist.get_rank() * ctx.count :][: ctx.count]


def gathered(rows: torch.Tensor) -> torch.Tensor:
    """Rows (n, E) of this process -> those of all processes (n * processes, E), with gradient; alone, the rows.

    Each process then computes the loss of the whole batch. Its rows' gradient is the sum over the processes, all of
    which compute the same; averaged over them, as DDP does, it is that of one process with the whole batch.

    Raises:
        ValueError: processes have different numbers of rows.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return rows
    counts = [torch.empty(1, dtype=torch.int64, device=rows.device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(rows)], device=rows.device))
    if len({int(count) for count in counts}) > 1:
        raise ValueError(
            f"each process must have the same number of pairs to contrast, and they have {[int(c) for c in counts]}: "
            "set dataloader_drop_last"
        )
    return _Gather.apply(rows)


__all__ = ["KnowledgeBank", "gathered", "info_nce"]
