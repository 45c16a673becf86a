"""The bridge from vision to language: adaptive weighted pooling, projection, residual alignment (paper 3.1)."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import nn
from transformers import initialization as init

from .blocks3d_med3d_r1 import conv3d_of_blocks, sincos_position_embedding
from .configuration_med3d_r1 import Med3DR1Config

WHITENING_FLOOR = 0.02
"""Added to the eigenvalues of the correlations of the features, whose mean is 1: weaker components stay weak."""


class Med3DR1Bridge(nn.Module):
    """Vision tokens (N, L, C) -> tokens of the decoder's width (N, T, E).

    Standardisation (optional) -> adaptive weighted pooling, a learned strided convolution (paper 3.1) -> projection
    and LayerNorm -> residual alignment with the text anchor (paper eq. 2-3) -> position embedding and LayerNorm
    (optional, release).
    """

    def __init__(self, config: Med3DR1Config):
        super().__init__()
        vision, width, eps = config.vision_config, config.text_config.hidden_size, config.bridge_layer_norm_eps
        self.config = config
        self.pool = nn.Conv3d(vision.hidden_size, width, tuple(config.pool_size), stride=tuple(config.pool_size))
        self.projection = nn.Linear(width, width)
        self.projection_norm = nn.LayerNorm(width, eps=eps)
        self.register_buffer("text_anchor", torch.zeros(width))
        if config.residual_alignment:
            self.gate = nn.Sequential(
                nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1 if config.gate == "token" else width)
            )
        if config.output_position_embedding:
            self.position_embedding = nn.Parameter(torch.zeros(1, config.num_image_tokens, width))
            self.output_norm = nn.LayerNorm(width, eps=eps)
        if config.feature_standardization:
            channels = vision.hidden_size
            self.register_buffer("feature_mean", torch.zeros(channels))
            self.register_buffer("feature_whitening", torch.eye(channels))
            self.register_buffer("feature_limit", torch.tensor(math.inf))

    def initialize_tables(self):
        """The state before any data was seen: no anchor, sine-cosine positions, identity standardisation."""
        init.zeros_(self.text_anchor)
        if self.config.output_position_embedding:
            table = sincos_position_embedding(self.config.pooled_grid, self.position_embedding.shape[-1])
            init.copy_(self.position_embedding, table[None])
        if self.config.feature_standardization:
            init.zeros_(self.feature_mean)
            init.eye_(self.feature_whitening)
            init.constant_(self.feature_limit, math.inf)

    @torch.no_grad()
    def set_feature_statistics(self, mean: torch.Tensor, covariance: torch.Tensor, limit: float = 6.0):
        """Standardise by these statistics of the encoder's tokens from now on: zero mean, unit variance, and channels
        that hardly correlate.

        The channels of a vision transformer say much the same: of 64, the first principal component alone can hold a
        fifth of the variance, and what tells a small finding from nothing lies in components a hundred times weaker,
        which a bridge learns late. Of all whitening transforms this is the one whose channels stay closest to the
        original ones, diag(std)^-1 R^-1/2 with the correlations R (ZCA-cor; Kessy, Lewin and Strimmer, Am. Stat.
        72(4), 2018). What hardly ever changes is not blown up: a standard deviation counts for no less than a
        thousandth of the average one, and `WHITENING_FLOOR` is added to the eigenvalues of R.

        Args:
            mean, covariance: (C,) and (C, C), over all tokens of the volumes of the training set.
            limit: standardised values are clamped to +- this.

        Raises:
            ValueError: the configuration has no standardisation, or there is no variance at all.
        """
        self._require_standardization()
        std = covariance.diagonal().to(torch.float64).sqrt()
        if not bool(std.mean() > 0):
            raise ValueError("the features never change: there is nothing to standardise")
        std = std.clamp(min=float(std.mean()) * 1e-3)
        values, vectors = torch.linalg.eigh(covariance / std / std[:, None])
        self.feature_mean.copy_(mean)
        self.feature_whitening.copy_((vectors * (values + WHITENING_FLOOR).rsqrt()) @ vectors.T / std[:, None])
        self.feature_limit.fill_(limit)

    @torch.no_grad()
    def standardize_features(self, features: Iterable[torch.Tensor], limit: float = 6.0) -> int:
        """Take the statistics of `set_feature_statistics` from the tokens of the training volumes, one by one.

        Mean and co-moments are kept as they run (Chan, Golub and LeVeque 1983), so the tokens need not fit into memory
        together.

        Args:
            features: (L, C) for each volume.
            limit: as in `set_feature_statistics`.

        Returns:
            How many volumes there were.

        Raises:
            ValueError: there are fewer than two, or the configuration has no standardisation.
        """
        self._require_standardization()  # before any tokens are read
        volumes, count, mean, moments = 0, 0, 0.0, 0.0
        for tokens in features:
            tokens = tokens.to("cpu", torch.float64)
            volumes, before, count = volumes + 1, count, count + len(tokens)
            own = tokens.mean(0)
            apart = own - mean
            moments = moments + (tokens - own).T @ (tokens - own) + apart.outer(apart) * (before * len(tokens) / count)
            mean = mean + apart * (len(tokens) / count)
        if volumes < 2:
            raise ValueError(f"statistics need the features of two volumes or more, not of {volumes}")
        self.set_feature_statistics(mean, moments / count, limit)
        return volumes

    def _require_standardization(self):
        if not self.config.feature_standardization:
            raise ValueError("this bridge does not standardise: set feature_standardization=True in the configuration")

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            features: (N, L, C), patch tokens of the vision tower.

        Returns:
            tokens (N, T, E), and the gate s of paper eq. 3, (N, T, 1) or (N, T, E), None without alignment.
        """
        vision = self.config.vision_config
        if tuple(features.shape[1:]) != (vision.num_tokens, vision.hidden_size):
            raise ValueError(
                f"encoded tokens are {tuple(features.shape)}; this model takes "
                f"(N, {vision.num_tokens}, {vision.hidden_size})"
            )
        if self.config.feature_standardization:
            # Where weights train in float32, the buffers of a model in bfloat16 stay as they are.
            features = (features - self.feature_mean) @ self.feature_whitening.to(features.dtype)
            features = torch.minimum(torch.maximum(features, -self.feature_limit), self.feature_limit)
        grid = features.transpose(1, 2).unflatten(2, vision.grid)
        tokens = self.projection_norm(self.projection(conv3d_of_blocks(grid, self.pool)))
        gate = None
        if self.config.residual_alignment:
            anchor = self.text_anchor.expand_as(tokens)
            gate = torch.sigmoid(self.gate(torch.cat([tokens, anchor], dim=-1)))
            tokens = gate * anchor + (1 - gate) * tokens
        return self._finish(tokens), gate

    def blank_tokens(self) -> torch.Tensor:
        """(T, E): what the decoder would get from a volume of which nothing but the text anchor came through."""
        return self._finish(self.text_anchor.expand(1, self.config.num_image_tokens, -1))[0]

    def _finish(self, tokens: torch.Tensor) -> torch.Tensor:
        if not self.config.output_position_embedding:
            return tokens
        return self.output_norm(tokens + self.position_embedding)


__all__ = ["Med3DR1Bridge"]
