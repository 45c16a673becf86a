"""Configuration of Med3D-R1: a 3D vision transformer, a bridge with residual alignment, a Qwen2.5 decoder.

Sizes are those of the paper (arXiv 2602.01200, section 4.2); where it is silent, those of the authors' code release
(github laihaoran/Med3D-R1, commit 17ea522). Triples are in the order (D, H, W): slices, rows, columns.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

from transformers import AutoConfig
from transformers.configuration_utils import PreTrainedConfig, SubConfigSpec

AUTO_MAP = {
    "AutoConfig": "configuration_med3d_r1.Med3DR1Config",
    "AutoModel": "modeling_med3d_r1.Med3DR1ForConditionalGeneration",
    "AutoModelForImageTextToText": "modeling_med3d_r1.Med3DR1ForConditionalGeneration",
    "AutoModelForCausalLM": "modeling_med3d_r1.Med3DR1ForConditionalGeneration",
}
"""One class behind every auto class that people reach for. `register_for_auto_class` can record only one of them."""


class Med3DR1VisionConfig(PreTrainedConfig):
    """The 3D vision transformer (paper 4.2: ViT-Base; shapes and epsilons from the release's encoder).

    Args:
        image_size: voxels of the input volume, (D, H, W).
        patch_size: voxels of one token, (D, H, W). The release's (16, 16, 8) in (x, y, z).
        stem_channels: channels of 3 x 3 x 3 convolutions before the patches, each of which halves the volume. Empty in
            paper and release; from few scans a stem learns small things much sooner (Xiao et al., arXiv 2106.14881).
        layer_norm_eps: of the two norms in each layer.
        final_layer_norm_eps: of the norm behind the last layer.
    """

    model_type = "med3d_r1_vision"
    base_config_key = "vision_config"

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    hidden_act: str = "gelu"
    num_channels: int = 1
    image_size: tuple[int, ...] | list[int] = (112, 224, 224)
    patch_size: tuple[int, ...] | list[int] = (8, 16, 16)
    stem_channels: tuple[int, ...] | list[int] = ()
    qkv_bias: bool = True
    attention_dropout: float | int = 0.0
    layer_norm_eps: float = 1e-6
    final_layer_norm_eps: float = 1e-5
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        self.image_size, self.patch_size = list(self.image_size), list(self.patch_size)
        self.stem_channels = list(self.stem_channels)
        if any(size % patch for size, patch in zip(self.image_size, self.patch_size, strict=True)):
            raise ValueError(f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}")
        if any(patch % self.stem_stride for patch in self.patch_size):
            raise ValueError(
                f"patch_size {self.patch_size} is not a multiple of {self.stem_stride}, the stride of a stem of "
                f"{len(self.stem_channels)} convolutions"
            )
        if self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of num_attention_heads {self.num_attention_heads}"
            )
        super().__post_init__(**kwargs)

    @property
    def grid(self) -> tuple[int, int, int]:
        """Tokens along (D, H, W): (14, 14, 14) at full size."""
        return tuple(size // patch for size, patch in zip(self.image_size, self.patch_size, strict=True))

    @property
    def stem_stride(self) -> int:
        """Voxels along each axis for one position behind the stem: 1 without one."""
        return 2 ** len(self.stem_channels)

    @property
    def num_tokens(self) -> int:
        """Patch tokens of a volume, the class token not counted: 2744 at full size."""
        return math.prod(self.grid)


class Med3DR1Config(PreTrainedConfig):
    """The whole model.

    Args:
        vision_config, text_config: the two towers; `text_config` may be of any decoder that AutoModel builds.
        pool_size: tokens merged into one by adaptive weighted pooling, (D, H, W) (paper 3.1; release: 2, stride 2).
        residual_alignment: pull tokens towards the text anchor (paper eq. 2-3). False is the paper's ablation.
        gate: "token", one gate value a token (paper eq. 3), or "channel", one a channel (release).
        output_position_embedding: add a learnable position embedding and a LayerNorm behind the alignment (release).
        feature_standardization: standardise and decorrelate the encoder's channels by stored statistics before
            pooling. The buffers start as the identity; `Med3DR1Bridge.set_feature_statistics` fills them.
        bridge_layer_norm_eps: of the bridge's norms (release: torch's default).
        vocabulary_size: rows of the word embedding that are words. An enlarged matrix ends in padding rows that no
            token uses and that must not enter the text anchor (Qwen2.5: 151,665 of 151,936). None: all of them.
        image_token_id, vision_start_token_id, vision_end_token_id: Qwen2.5's `<|image_pad|>` and its brackets.
    """

    model_type = "med3d_r1"
    sub_configs_defaults: ClassVar[dict[str, Any]] = {
        "text_config": SubConfigSpec(config_class=AutoConfig, model_type="qwen2"),
        "vision_config": Med3DR1VisionConfig,
    }
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["past_key_values"]

    vision_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    pool_size: tuple[int, ...] | list[int] = (2, 2, 2)
    residual_alignment: bool = True
    gate: str = "token"
    output_position_embedding: bool = False
    feature_standardization: bool = False
    bridge_layer_norm_eps: float = 1e-5
    vocabulary_size: int | None = None
    image_token_id: int = 151655
    vision_start_token_id: int = 151652
    vision_end_token_id: int = 151653
    tie_word_embeddings: bool = True

    def __post_init__(self, **kwargs):
        self.auto_map = kwargs.pop("auto_map", None) or dict(AUTO_MAP)
        super().__post_init__(**kwargs)
        self.pool_size = list(self.pool_size)
        if self.gate not in ("token", "channel"):
            raise ValueError(f'gate is "token" (paper) or "channel" (release), not {self.gate!r}')
        if any(tokens % pool for tokens, pool in zip(self.vision_config.grid, self.pool_size, strict=True)):
            raise ValueError(f"token grid {self.vision_config.grid} is not a multiple of pool_size {self.pool_size}")
        if self.vocabulary_size is not None and not 0 < self.vocabulary_size <= self.text_config.vocab_size:
            raise ValueError(
                f"vocabulary_size {self.vocabulary_size} does not fit the {self.text_config.vocab_size} rows of the "
                "language model's word embedding"
            )

    @property
    def pooled_grid(self) -> tuple[int, int, int]:
        """Image tokens along (D, H, W): (7, 7, 7) at full size."""
        return tuple(tokens // pool for tokens, pool in zip(self.vision_config.grid, self.pool_size, strict=True))

    @property
    def num_image_tokens(self) -> int:
        """Tokens that stand for one volume in the prompt: 343 at full size."""
        return math.prod(self.pooled_grid)

    @classmethod
    def preset(cls, name: str, **overrides) -> Med3DR1Config:
        """A named configuration: "3b" (the paper's model) or "tiny" (goes through every stage on two CPU cores).

        Args:
            overrides: top-level fields to set differently, as in `Med3DR1Config.preset("3b", gate="channel")`.

        Raises:
            ValueError: no preset has this name.
        """
        if name not in PRESETS:
            raise ValueError(f"no preset {name!r}; there are {', '.join(PRESETS)}")
        return cls(**{**PRESETS[name], **overrides})


QWEN2_5_3B = {
    "model_type": "qwen2",
    "vocab_size": 151936,
    "hidden_size": 2048,
    "intermediate_size": 11008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32768,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1000000.0},
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
}
"""Qwen2.5-3B-Instruct (its published config.json; hidden size, depth and tying also in the paper, 4.2)."""

TINY_QWEN2 = {
    "model_type": "qwen2",
    "vocab_size": 576,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 2048,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
    "initializer_range": 0.08,  # 0.02 does not learn at this width
    "tie_word_embeddings": True,
}

TINY_VISION = {
    "hidden_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 128,
    "image_size": [32, 64, 64],
    "patch_size": [8, 8, 8],
    "stem_channels": [8, 16],  # in the same time, worth more than a second layer
}

PRESETS = {
    "3b": {"text_config": QWEN2_5_3B, "vision_config": {}, "vocabulary_size": 151665},
    "tiny": {
        "text_config": TINY_QWEN2,
        "vision_config": TINY_VISION,
        # Without it, so small a bridge learns much less from so few scans: docs/departures.md.
        "feature_standardization": True,
    },
}

Med3DR1Config.register_for_auto_class()

__all__ = ["AUTO_MAP", "PRESETS", "Med3DR1Config", "Med3DR1VisionConfig"]
