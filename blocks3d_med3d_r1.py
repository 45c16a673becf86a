"""Two pieces that the vision tower and the bridge share: positions on a 3D grid, and strided convolution."""

from __future__ import annotations

import math

import torch
from torch import nn


def sincos_position_embedding(grid: tuple[int, int, int], dim: int) -> torch.Tensor:
    """Sine and cosine of each grid coordinate at geometric wavelengths, (D * H * W, dim), W fastest.

    Each axis has a third of the channels; the up to five left over when `dim` is not a multiple of six are zero.
    """
    bands = dim // 6
    frequencies = 1.0 / 10000 ** (torch.arange(bands, dtype=torch.float32) / max(bands, 1))
    axes = [torch.arange(size, dtype=torch.float32) for size in grid]
    parts = []
    for coordinate in torch.meshgrid(*axes, indexing="ij"):
        angle = coordinate.reshape(-1, 1) * frequencies
        parts += [angle.sin(), angle.cos()]
    embedding = torch.cat(parts, dim=1)
    return nn.functional.pad(embedding, (0, dim - embedding.shape[1]))


def conv3d_of_blocks(blocks: torch.Tensor, conv: nn.Conv3d) -> torch.Tensor:
    """A convolution whose stride is its kernel, as the one matrix product that it is.

    Args:
        blocks: (N, C, D, H, W), each axis a multiple of the kernel's.
        conv: kernel and stride (d, h, w), no padding.

    Returns:
        (N, D/d * H/h * W/w, out_channels). Equal to `conv(blocks).flatten(2).transpose(1, 2)`, but several times
        faster: convolution kernels are not made for strides of this size.
    """
    batch, channels, *size = blocks.shape
    kernel = conv.kernel_size
    split = [part for n, k in zip(size, kernel, strict=True) for part in (n // k, k)]
    # Channels last, as tokens and the stem's output lie in memory: whole runs of them are copied, there and back.
    blocks = blocks.movedim(1, -1).unflatten(3, split[4:]).unflatten(2, split[2:4]).unflatten(1, split[:2])
    blocks = blocks.permute(0, 1, 3, 5, 2, 4, 6, 7).reshape(batch, -1, math.prod(kernel) * channels)
    return nn.functional.linear(blocks, conv.weight.movedim(1, -1).flatten(1), conv.bias)


__all__ = ["conv3d_of_blocks", "sincos_position_embedding"]
