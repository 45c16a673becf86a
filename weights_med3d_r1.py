"""Checkpoint files: reading them, and turning the release's keys and axis order into ours.

The release (github laihaoran/Med3D-R1, commit 17ea522) feeds volumes as (x, y, z) with patches of (16, 16, 8) voxels
and orders tokens with z fastest. Ours are (D, H, W) = (z, y, x), W fastest. So every kernel and every table of
positions has its three axes reversed; all else is a change of names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn
from transformers.modeling_utils import load_state_dict

from .configuration_med3d_r1 import Med3DR1Config, Med3DR1VisionConfig

_VISION_NAMES = (
    (r"^cls_token$", "embeddings.cls_token"),
    (r"^pos_embed$", "embeddings.position_embedding"),
    (r"^patch_embed\.proj\.", "embeddings.patch_embedding."),
    (r"^blocks\.(\d+)\.attn\.", r"layers.\1.attention."),
    (r"^blocks\.(\d+)\.", r"layers.\1."),
    (r"^norm\.", "norm."),
)
_BRIDGE_NAMES = (
    (r"^mean_prompt_template$", "text_anchor"),
    (r"^reduce\.", "pool."),
    (r"^projector\.0\.", "projection."),
    (r"^projector\.1\.", "projection_norm."),
    (r"^gate_mlp\.", "gate."),
    (r"^pos_embed$", "position_embedding"),
    (r"^norm\.", "output_norm."),
)
_MERGED_VISION, _MERGED_BRIDGE = "model.vision_tower.vision_tower.", "model.mm_projector."
_OUR_VISION_PREFIXES = ("model.vision_tower.", "vision_tower.", "")


def read_checkpoint(path: str | Path) -> dict[str, torch.Tensor]:
    """The tensors of a checkpoint: a .safetensors, .pth, .pt or .bin file, or a folder of shards.

    Pickled files are read with `weights_only=True`: tensors come out, code does not run.

    Raises:
        FileNotFoundError: nothing there that could be read.
        ValueError: the file is damaged, or holds something other than named tensors.
    """
    path = Path(path)
    files = [path]
    if path.is_dir():
        files = sorted(path.glob("*.safetensors")) or sorted(path.glob("pytorch_model*.bin"))
    if not files or not files[0].is_file():
        raise FileNotFoundError(f"{path}: no checkpoint here; a file or a folder with .safetensors or .bin is needed")
    tensors: dict[str, torch.Tensor] = {}
    for file in files:
        try:
            loaded = load_state_dict(str(file), map_location="cpu", weights_only=True)
        except Exception as error:  # each format has errors of its own
            raise ValueError(f"{file}: cannot be read as a checkpoint of tensors alone. {error}") from error
        tensors |= _unwrap(loaded, file)
    return tensors


def _unwrap(loaded: object, file: Path) -> Mapping[str, torch.Tensor]:
    """The named tensors inside what training scripts save: bare, or under a key of their own."""
    for key in ("state_dict", "model", "module"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise ValueError(f"{file}: holds something other than named tensors")
    return {re.sub(r"^module\.", "", key): value for key, value in loaded.items()}


def _rename(state: Mapping[str, torch.Tensor], names: tuple[tuple[str, str], ...]) -> dict[str, torch.Tensor]:
    renamed = {}
    for key, value in state.items():
        new_key, replaced = next(((re.sub(a, b, key), True) for a, b in names if re.match(a, key)), (key, False))
        if not replaced:
            raise ValueError(f"{key!r} is not a key of the release's checkpoints")
        renamed[new_key] = value
    return renamed


def _reverse_positions(table: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    """Rows (1, x * y * z, C), z fastest -> (1, D * H * W, C), W fastest. `grid` is ours, (D, H, W)."""
    return table.unflatten(1, grid[::-1]).permute(0, 3, 2, 1, 4).flatten(1, 3).contiguous()


def _reverse_kernel(weight: torch.Tensor) -> torch.Tensor:
    """(out, in, x, y, z) -> (out, in, z, y, x)."""
    return weight.permute(0, 1, 4, 3, 2).contiguous()


def convert_release_vision(state: Mapping[str, torch.Tensor], config: Med3DR1VisionConfig) -> dict[str, torch.Tensor]:
    """Weights of the release's 3D ViT (BrgSA_vision_encoder.pth) as those of `Med3DR1VisionModel`.

    `model(volume)` then equals the release's `model(volume.permute(0, 1, 4, 3, 2))` with tokens in our order.
    """
    converted = _rename(state, _VISION_NAMES)
    positions = converted["embeddings.position_embedding"]
    patches = _reverse_positions(positions[:, 1:], config.grid)
    converted["embeddings.position_embedding"] = torch.cat([positions[:, :1], patches], dim=1)
    kernel = _reverse_kernel(converted["embeddings.patch_embedding.weight"])
    converted["embeddings.patch_embedding.weight"] = kernel
    return converted


def convert_release_bridge(state: Mapping[str, torch.Tensor], config: Med3DR1Config) -> dict[str, torch.Tensor]:
    """Weights of the release's projector as those of `Med3DR1Bridge` with gate="channel" and
    output_position_embedding=True."""
    converted = _rename(state, _BRIDGE_NAMES)
    converted["pool.weight"] = _reverse_kernel(converted["pool.weight"])
    if "text_anchor" in converted:
        converted["text_anchor"] = converted["text_anchor"].flatten()
    if "position_embedding" in converted:
        converted["position_embedding"] = _reverse_positions(converted["position_embedding"], config.pooled_grid)
    return converted


def convert_release(state: Mapping[str, torch.Tensor], config: Med3DR1Config) -> dict[str, torch.Tensor]:
    """Any checkpoint of the release as (part of) the weights of `Med3DR1ForConditionalGeneration`.

    Args:
        state: a vision encoder, a projector, or a merged model (recognised by its keys).
        config: of the model that takes the weights.

    Raises:
        ValueError: the keys are none of these.
    """
    if any(key.startswith((_MERGED_VISION, _MERGED_BRIDGE)) for key in state):
        return _convert_merged(state, config)
    if "patch_embed.proj.weight" in state:
        return _prefixed("model.vision_tower.", convert_release_vision(state, config.vision_config))
    if "reduce.weight" in state:
        return _prefixed("model.bridge.", convert_release_bridge(state, config))
    raise ValueError(
        "these are not keys of the release: a vision encoder has 'patch_embed.proj.weight', a projector "
        f"'reduce.weight', a merged model '{_MERGED_VISION}...'; found {sorted(state)[:3]}"
    )


def _convert_merged(state: Mapping[str, torch.Tensor], config: Med3DR1Config) -> dict[str, torch.Tensor]:
    vision, bridge, decoder = {}, {}, {}
    for key, value in state.items():
        if key.startswith(_MERGED_VISION):
            vision[key.removeprefix(_MERGED_VISION)] = value
        elif key.startswith(_MERGED_BRIDGE):
            bridge[key.removeprefix(_MERGED_BRIDGE)] = value
        elif key.startswith("model."):
            decoder["model.language_model." + key.removeprefix("model.").removeprefix("language_model.")] = value
        else:
            decoder[key] = value
    converted = dict(decoder)
    if vision:
        converted |= _prefixed("model.vision_tower.", convert_release_vision(vision, config.vision_config))
    if bridge:
        converted |= _prefixed("model.bridge.", convert_release_bridge(bridge, config))
    return converted


def _prefixed(prefix: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


def load_vision_weights(vision_tower: nn.Module, path: str | Path) -> None:
    """Fill a `Med3DR1VisionModel` from a file of ours (a vision tower or a whole model) or of the release.

    Raises:
        ValueError: keys or shapes do not fit; the message names them.
    """
    state = read_checkpoint(path)
    release = {key.removeprefix(_MERGED_VISION): value for key, value in state.items() if "mm_projector" not in key}
    if "patch_embed.proj.weight" in release:
        wanted = {key: value for key, value in release.items() if any(re.match(a, key) for a, _ in _VISION_NAMES)}
        state = convert_release_vision(wanted, vision_tower.config)
    else:
        prefix = next(p for p in _OUR_VISION_PREFIXES if p == "" or any(key.startswith(p) for key in state))
        state = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    try:
        vision_tower.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(f"{path}: these weights do not fit the vision tower of this configuration. {error}") from error


__all__ = ["convert_release", "convert_release_bridge", "convert_release_vision", "load_vision_weights",
           "read_checkpoint"]  # fmt: skip
