"""The 3D vision transformer of Med3D-R1 (paper 4.2: ViT-Base; details from the release's encoder)."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.utils import can_return_tuple

from .blocks3d_med3d_r1 import conv3d_of_blocks, sincos_position_embedding
from .configuration_med3d_r1 import Med3DR1VisionConfig


def eager_attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float,
    dropout: float = 0.0,
    **kwargs,
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(q k' * scaling) v, spelled out. Returns the output (N, L, heads, head_dim) and the weights."""
    weights = torch.softmax(query @ key.transpose(2, 3) * scaling, dim=-1, dtype=torch.float32).to(query.dtype)
    weights = nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2), weights


class Med3DR1VisionStem(nn.Module):
    """Overlapping convolutions, each of which halves the volume: (N, 1, D, H, W) -> (N, S, D/s, H/s, W/s) with S
    channels of the last one and s of `Med3DR1VisionConfig.stem_stride`."""

    def __init__(self, config: Med3DR1VisionConfig):
        super().__init__()
        given = [config.num_channels, *config.stem_channels]
        self.convolutions = nn.ModuleList(
            nn.Conv3d(before, after, 3, stride=2, padding=1) for before, after in itertools.pairwise(given)
        )
        self.activation = ACT2FN[config.hidden_act]

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        for convolution in self.convolutions:
            # With the channels last a CPU takes half the time. Not `contiguous`, which leaves the kernel of a single
            # channel as it is.
            kernel = convolution.weight.clone(memory_format=torch.channels_last_3d)
            volumes = nn.functional.conv3d(volumes, kernel, convolution.bias, stride=2, padding=1)
            volumes = self.activation(volumes)
        return volumes


class Med3DR1VisionEmbeddings(nn.Module):
    """Patches, a class token and a learnable position embedding: (N, 1, D, H, W) -> (N, 1 + L, C)."""

    def __init__(self, config: Med3DR1VisionConfig):
        super().__init__()
        self.config = config
        self.cls_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.position_embedding = nn.Parameter(torch.zeros(1, 1 + config.num_tokens, config.hidden_size))
        self.stem = Med3DR1VisionStem(config) if config.stem_channels else None
        channels = config.stem_channels[-1] if config.stem_channels else config.num_channels
        patch = tuple(size // config.stem_stride for size in config.patch_size)
        self.patch_embedding = nn.Conv3d(channels, config.hidden_size, patch, stride=patch)

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        expected = (self.config.num_channels, *self.config.image_size)
        if tuple(pixel_values.shape[1:]) != expected:
            shape = ", ".join(map(str, expected))
            raise ValueError(f"pixel_values is {tuple(pixel_values.shape)}; this model takes volumes (N, {shape})")
        if self.stem is not None:
            pixel_values = self.stem(pixel_values)
        patches = conv3d_of_blocks(pixel_values, self.patch_embedding)
        tokens = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return tokens + self.position_embedding


class Med3DR1VisionAttention(nn.Module):
    """Self-attention over all tokens of a volume, (N, 1 + L, C) -> the same, through transformers' interface."""

    def __init__(self, config: Med3DR1VisionConfig):
        super().__init__()
        self.config = config
        self.head_dim = config.hidden_size // config.num_attention_heads
        self.scaling = self.head_dim**-0.5
        self.is_causal = False
        self.qkv = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=config.qkv_bias)
        self.proj = nn.Linear(config.hidden_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        batch, length, _ = hidden_states.shape
        qkv = self.qkv(hidden_states).view(batch, length, 3, -1, self.head_dim)
        # Copied into one block per head: attention on CPU loses more time to wide strides than the copy takes.
        query, key, value = qkv.permute(2, 0, 3, 1, 4).contiguous()
        attention: Callable = ALL_ATTENTION_FUNCTIONS.get_interface(self.config._attn_implementation, eager_attention)
        attended, _ = attention(
            self,
            query,
            key,
            value,
            None,
            dropout=self.config.attention_dropout if self.training else 0.0,
            scaling=self.scaling,
            is_causal=False,
        )
        return self.proj(attended.reshape(batch, length, -1))


class Med3DR1VisionMLP(nn.Module):
    def __init__(self, config: Med3DR1VisionConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = ACT2FN[config.hidden_act]
        self.fc2 = nn.Linear(config.intermediate_size, config.hidden_size)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        return self.fc2(self.activation(self.fc1(hidden_states)))


class Med3DR1VisionLayer(GradientCheckpointingLayer):
    """One pre-norm transformer layer, (N, 1 + L, C) -> the same."""

    def __init__(self, config: Med3DR1VisionConfig):
        super().__init__()
        self.norm1 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.attention = Med3DR1VisionAttention(config)
        self.norm2 = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)
        self.mlp = Med3DR1VisionMLP(config)

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:
        hidden_states = hidden_states + self.attention(self.norm1(hidden_states))
        return hidden_states + self.mlp(self.norm2(hidden_states))


class Med3DR1VisionModel(PreTrainedModel):
    """The 3D vision transformer. `last_hidden_state` are the normalised patch tokens (N, L, C); the class token takes
    part in attention and is dropped at the end, as in the release."""

    config: Med3DR1VisionConfig
    config_class = Med3DR1VisionConfig
    base_model_prefix = "vision_tower"
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    _no_split_modules = ["Med3DR1VisionEmbeddings", "Med3DR1VisionLayer"]  # noqa: RUF012
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(self, config: Med3DR1VisionConfig):
        super().__init__(config)
        self.embeddings = Med3DR1VisionEmbeddings(config)
        self.layers = nn.ModuleList(Med3DR1VisionLayer(config) for _ in range(config.num_hidden_layers))
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.final_layer_norm_eps)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        if isinstance(module, Med3DR1VisionEmbeddings):
            init.trunc_normal_(module.cls_token, std=self.config.initializer_range)
            table = sincos_position_embedding(self.config.grid, self.config.hidden_size)
            init.copy_(module.position_embedding, nn.functional.pad(table, (0, 0, 1, 0))[None])
            if module.stem is not None:
                # Unlike the transformer's, a stem's weights must keep up the spread of what goes through them.
                for convolution in (*module.stem.convolutions, module.patch_embedding):
                    init.kaiming_normal_(convolution.weight, nonlinearity="relu")

    def get_input_embeddings(self) -> nn.Module:
        return self.embeddings.patch_embedding

    @can_return_tuple
    def forward(self, pixel_values: torch.Tensor, **kwargs) -> BaseModelOutputWithPooling:
        """
        Args:
            pixel_values: (N, 1, D, H, W), windowed and normalised by the image processor.

        Returns:
            last_hidden_state (N, L, C), patch tokens; pooler_output (N, C), the class token.
        """
        hidden_states = self.embeddings(pixel_values.to(self.dtype))
        for layer in self.layers:
            hidden_states = layer(hidden_states)
        hidden_states = self.norm(hidden_states)
        return BaseModelOutputWithPooling(last_hidden_state=hidden_states[:, 1:], pooler_output=hidden_states[:, 0])


__all__ = ["Med3DR1VisionModel"]
