"""LoRA on the decoder, the row "bridge and LoRA" of the paper's table 3."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peft import LoraConfig

TARGET_MODULES = r".*language_model.*\.(q|k|v|o|gate|up|down)_proj"
"""The decoder's linear layers. "all-linear" would also reach into the vision tower and the bridge."""


def lora_config(r: int = 16, lora_alpha: int = 32, lora_dropout: float = 0.05, train_bridge: bool = True) -> LoraConfig:
    """Settings for `peft.get_peft_model` or the `peft_config` of a TRL trainer.

    Args:
        r, lora_alpha, lora_dropout: as in PEFT. The paper gives none of them; these are customary.
        train_bridge: train and save the bridge whole beside the adapters (the paper always trains it).

    Raises:
        ImportError: peft is not installed.
    """
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise ImportError("LoRA needs peft: pip install 'med3d-r1[train]'") from error
    return LoraConfig(
        r=r,
        lora_alpha=lora_alpha,
        lora_dropout=lora_dropout,
        target_modules=TARGET_MODULES,
        modules_to_save=["bridge"] if train_bridge else None,
        task_type="CAUSAL_LM",
    )


__all__ = ["TARGET_MODULES", "lora_config"]
