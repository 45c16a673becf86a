"""Decoders for Med3D-R1: any causal language model, or the text tower of a Qwen2.5-VL."""

from __future__ import annotations

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)


def load_language_model(name: str, dtype: torch.dtype | None = None) -> PreTrainedModel:
    """A decoder with its head, from a Hub id or a folder.

    Args:
        name: of a causal language model, or of a Qwen2-VL / Qwen2.5-VL: then its text tower, as a plain Qwen2, is
            returned (the release builds on Qwen2.5-VL-3B-Instruct in this way).
        dtype: to load in; default: as stored.
    """
    config = AutoConfig.from_pretrained(name)
    if config.model_type in ("qwen2_vl", "qwen2_5_vl"):
        return _text_tower(AutoModelForImageTextToText.from_pretrained(name, dtype=dtype or "auto"))
    return AutoModelForCausalLM.from_pretrained(name, dtype=dtype or "auto")


def _text_tower(vision_language_model: PreTrainedModel) -> Qwen2ForCausalLM:
    """The decoder of a Qwen2-VL as a Qwen2. Its three-part rotary positions (time, height, width) are the plain ones
    where all three are equal, and in text they are."""
    source = vision_language_model.config.get_text_config()
    fields = {key: value for key, value in source.to_dict().items() if key in Qwen2Config().to_dict()}
    fields["rope_parameters"] = {"rope_type": "default", "rope_theta": source.rope_parameters["rope_theta"]}
    fields["tie_word_embeddings"] = vision_language_model.config.tie_word_embeddings
    fields.pop("model_type")
    fields.pop("architectures", None)
    with torch.device("meta"):
        decoder = Qwen2ForCausalLM(Qwen2Config(**fields))
    tower = vision_language_model.model.language_model.state_dict()
    weights = {f"model.{key}": value for key, value in tower.items()}
    weights["lm_head.weight"] = vision_language_model.get_output_embeddings().weight
    decoder.load_state_dict(weights, strict=True, assign=True)
    decoder.model.rotary_emb = type(decoder.model.rotary_emb)(decoder.config)  # its buffers are not in state_dict
    decoder.tie_weights()
    decoder.generation_config = vision_language_model.generation_config
    return decoder


__all__ = ["load_language_model"]
