"""8- and 4-bit loading with bitsandbytes, of the decoder alone."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from transformers import BitsAndBytesConfig

WHOLE_MODULES = [".*vision_tower", ".*bridge", "lm_head"]
"""What stays in full precision: regular expressions, because bitsandbytes matches names from their start, and lm_head
by name, because a list of one's own replaces the default that would have held it."""


def quantization_config(bits: int = 4, compute_dtype: torch.dtype = torch.bfloat16) -> BitsAndBytesConfig:
    """Settings for `from_pretrained(..., quantization_config=...)`.

    Vision tower and bridge see each volume once and hold 4 % of the weights; the head is tied to the word embedding.
    All three stay whole.

    Args:
        bits: 8 (LLM.int8) or 4 (NF4 with double quantisation, as in QLoRA).
        compute_dtype: of the products with 4-bit weights.

    Raises:
        ImportError: bitsandbytes is not installed.
        ValueError: bits is neither 8 nor 4.
    """
    if find_spec("bitsandbytes") is None:
        raise ImportError("8- and 4-bit loading needs bitsandbytes: pip install 'med3d-r1[quant]'")
    if bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=WHOLE_MODULES)
    if bits != 4:
        raise ValueError(f"bits is 8 or 4, not {bits}")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=compute_dtype,
        llm_int8_skip_modules=WHOLE_MODULES,
    )


__all__ = ["WHOLE_MODULES", "quantization_config"]
