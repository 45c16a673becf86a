"""Encoded scans: what the vision tower made of a scan, one file each, to be read in place of the scan.

The vision tower is the costly part of the model, and while it is frozen it says the same of a scan every time. Its
tokens are therefore written once, in bfloat16, with a record of which weights and which preprocessing made them. The
file is mapped into memory: a scan costs what its tokens weigh, and only when they are looked at.

    features    (L, C) bfloat16, tokens of the vision tower in the order of their grid (D, H, W), W fastest
    record      in the file's metadata, JSON; `weights` and `preprocessing` among what it says
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from .volume_med3d_r1 import VolumeError

ENCODED_SUFFIX = ".safetensors"


def is_encoded(source: Any) -> bool:
    """Whether this stands for a scan that went through the vision tower: a path to such a file, or a torch tensor
    (L, C). An array or tensor with more axes is voxels; a single slice can be given as (1, H, W)."""
    if isinstance(source, torch.Tensor):
        return source.ndim == 2
    return isinstance(source, str | os.PathLike) and os.fspath(source).lower().endswith(ENCODED_SUFFIX)


def save_encoded(path: str | os.PathLike[str], features: torch.Tensor, record: dict[str, Any]) -> None:
    """Write an encoded scan, which appears under its name only when it is complete.

    Args:
        path: ends in `ENCODED_SUFFIX`.
        features: (L, C), kept as bfloat16.
        record: plain JSON values.

    Raises:
        ValueError: features of other axes, or a path that would not be taken for an encoded scan.
    """
    path = Path(path)
    if features.ndim != 2:
        raise ValueError(f"the features of a scan are (L, C); got {tuple(features.shape)}")
    if path.suffix.lower() != ENCODED_SUFFIX:
        raise ValueError(f"the file of an encoded scan ends in {ENCODED_SUFFIX}; got {path.name}")
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    # Own memory: a row of a batch would drag the whole batch along.
    kept = features.detach().to("cpu", torch.bfloat16, copy=True).contiguous()
    try:
        import_module("safetensors.torch").save_file({"features": kept}, partial, {"record": json.dumps(record)})
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            partial.unlink()
        raise


def load_encoded(path: str | os.PathLike[str]) -> torch.Tensor:
    """The tokens (L, C) of an encoded scan; see `open_encoded`."""
    return open_encoded(path)[0]


def open_encoded(path: str | os.PathLike[str]) -> tuple[torch.Tensor, dict[str, Any]]:
    """What `save_encoded` wrote: tokens (L, C) bfloat16, mapped from the file, and the record.

    Who writes to the tokens changes them for himself; the file stays as it is.

    Raises:
        VolumeError: the file is broken, or it is something else.
        FileNotFoundError: there is no such file.
    """
    path, safetensors = Path(path).expanduser(), import_module("safetensors")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            names, facts = set(file.keys()), file.metadata() or {}
            features = file.get_tensor("features") if names == {"features"} else None
        record = json.loads(facts.get("record", "null"))
    except (safetensors.SafetensorError, ValueError) as error:
        raise _refusal(path, str(error)) from error
    if features is None:
        raise _refusal(path, f"the tensors {', '.join(sorted(names)[:3]) or 'none'}")
    if features.ndim != 2 or features.dtype != torch.bfloat16 or not isinstance(record, dict):
        what = f"{features.dtype} {tuple(features.shape)} and a record that is a {type(record).__name__}"
        raise _refusal(path, what.removeprefix("torch."))
    return features, record


def _refusal(path: Path, found: str) -> VolumeError:
    return VolumeError(
        path.name,
        "an encoded scan is a .safetensors with bfloat16 'features' (L, C) and a JSON 'record' in its metadata",
        found,
        "Encode the scan again.",
    )


__all__ = ["ENCODED_SUFFIX", "is_encoded", "load_encoded", "open_encoded", "save_encoded"]
