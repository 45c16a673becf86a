"""The three parts of the model: which of them train, and what that comes to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import nn

PARTS = ("vision_tower", "bridge", "language_model")
"""In the order in which a scan goes through them. The head belongs to the language model, whose embedding it shares."""

_PREFIXES = {"vision_tower": "model.vision_tower.", "bridge": "model.bridge."}
_PEFT_PREFIX = "base_model.model."


@dataclass(frozen=True)
class _Weight:
    """One tensor of a part.

    Attributes:
        adapter: of LoRA.
        copy: the copy of a whole module that PEFT trains and saves (`modules_to_save`).
        superseded: what that copy stands in for, which is not used any more.
    """

    tensor: torch.Tensor
    adapter: bool
    copy: bool
    superseded: bool

    @property
    def count(self) -> int:
        """bitsandbytes keeps two 4-bit weights in a byte, and their number in the shape of its state; of a tensor that
        ZeRO-3 has divided, DeepSpeed leaves the number."""
        state = getattr(self.tensor, "quant_state", None)
        return getattr(self.tensor, "ds_numel", self.tensor.numel()) if state is None else state.shape.numel()

    @property
    def dtype(self) -> str:
        state = getattr(self.tensor, "quant_state", None)
        return str(self.tensor.dtype).removeprefix("torch.") if state is None else state.quant_type


def choose_parts(model: nn.Module, parts: Sequence[str]) -> str:
    """Make these parts of a model train, and freeze the others.

    In a model with adapters the adapters always train, and the weights beneath them never do. A part without adapters
    trains whole, as the copy that PEFT saves beside the adapters (`modules_to_save`).

    Args:
        model: Med3DR1ForConditionalGeneration, alone or in a PeftModel.
        parts: names of `PARTS`.

    Returns:
        a table for people: part, weights, those that train, dtypes.

    Raises:
        ValueError: a name is none of the parts, nothing would train, or a part cannot: it is quantised, or PEFT would
            not save it.
    """
    if unknown := [part for part in parts if part not in PARTS]:
        raise ValueError(f"train names parts of the model, {', '.join(PARTS)}; {unknown[0]!r} is none of them")
    adapted = hasattr(model, "peft_config")
    for part in PARTS:
        weights = list(_weights_of(model, part))
        if adapted and part in parts and not any(one.adapter or one.copy for one in weights):
            raise ValueError(
                f"train has {part}, but PEFT would not save it: name it in modules_to_save of the adapters' "
                "configuration, or leave it out of train"
            )
        for one in weights:
            trains = one.adapter or (part in parts and (one.copy or not adapted))
            if trains and not one.tensor.is_floating_point():
                raise ValueError(
                    f"train has {part}, but its weights are quantised ({one.dtype}) and cannot change: give it "
                    "adapters (LoRA), or leave it out of train"
                )
            one.tensor.requires_grad_(trains)
    if not any(trainable(model).values()):
        raise ValueError(f"train is {list(parts)}, so nothing would train: name at least one of {', '.join(PARTS)}")
    return table_of_parts(model)


def trainable(model: nn.Module) -> dict[str, int]:
    """Part -> how many of its weights train, adapters included."""
    return {part: sum(one.count for one in _weights_of(model, part) if one.tensor.requires_grad) for part in PARTS}


def table_of_parts(model: nn.Module) -> str:
    """Part, weights, those that train, dtypes; as it is now. Weights that a trained copy stands in for do not count."""
    rows = [("part", "weights", "that train", "dtype")]
    for part, trained in trainable(model).items():
        weights = [one for one in _weights_of(model, part) if not one.superseded]
        rows.append((part, f"{sum(one.count for one in weights):,}", f"{trained:,}", _dtypes(weights)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}" for a, b, c, d in rows)


def _weights_of(model: nn.Module, part: str) -> Iterator[_Weight]:
    """Each tensor once; a tied head is the embedding."""
    for name, tensor in model.named_parameters():
        place = name.removeprefix(_PEFT_PREFIX)
        if part == next((other for other, prefix in _PREFIXES.items() if place.startswith(prefix)), "language_model"):
            yield _Weight(tensor, ".lora_" in name, ".modules_to_save." in name, ".original_module." in name)


def _dtypes(weights: Iterable[_Weight]) -> str:
    """In words: `nf4, float32`, and which of them train where they are not all the same."""
    kinds = list(dict.fromkeys((one.dtype, one.tensor.requires_grad) for one in weights))
    if len({trains for _, trains in kinds}) == 1:
        return ", ".join(dtype for dtype, _ in kinds)
    return ", ".join(f"{dtype} ({'trains' if trains else 'frozen'})" for dtype, trains in kinds)


__all__ = ["PARTS", "choose_parts", "table_of_parts", "trainable"]
