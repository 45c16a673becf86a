"""The feature store: what a frozen vision tower made of every scan, one file each, and a manifest of them.

    STORE/
      features/3f/valid_1_a_1.safetensors   tokens (L, C) in bfloat16, mapped into memory when they are read
      manifest/all.parquet                  one row (`Encoded`) a volume; weights and preprocessing in the metadata
      refused/all.jsonl                     volumes that could not be encoded, a line (`Refusal`) each, and why

All of a store comes from one set of weights and one preprocessing, and both are known by the store and by each of its
files. Weights are compared as bfloat16, in which a model may have been loaded, together with what else decides the
tokens (heads, patches, epsilons).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..encoded_med3d_r1 import ENCODED_SUFFIX, load_encoded
from .manifest import Kind, Stored, StoredScans, StoreError, require_preprocessing

if TYPE_CHECKING:
    from ..image_processing_med3d_r1 import Med3DR1ImageProcessor

_WITHOUT_EFFECT = {"initializer_range", "attention_dropout"}
"""Settings of a vision tower that do not act once it is trained."""


@dataclass(frozen=True)
class Encoded(Stored):
    """One encoded volume, a row of the manifest.

    Attributes:
        sha256: of the tokens, see `checksum`.
        tokens: [L, C].
        source_sha256: of the voxels that the vision tower was shown, as a volume store counts them.

    The others are those of `Stored`.
    """

    tokens: list[int]
    source_sha256: str


FEATURES = Kind("features", ENCODED_SUFFIX, Encoded, "encode", "encoded")


class FeatureStore(StoredScans[torch.Tensor]):
    """A feature store to read from: volume name -> tokens (L, C), bfloat16, mapped from their file; see `StoredScans`.

    Whoever trains or evaluates with it calls `require` once.
    """

    kind = FEATURES

    def __getitem__(self, volume: str) -> torch.Tensor:
        """
        Raises:
            KeyError: the volume is not stored; the message says why, where it was refused.
            VolumeError: its file is broken.
        """
        return load_encoded(self.path(volume))

    def checksum(self, volume: str) -> str:
        return checksum(self[volume])

    def require(self, model: nn.Module, image_processor: Med3DR1ImageProcessor) -> None:
        """Make sure that this model and this image processor would make the same of a scan.

        Raises:
            StoreError: the store was made with other weights or other preprocessing; both are told.
        """
        wanted = encoding(model, image_processor)
        require_preprocessing(self.folder, FEATURES, self.manifest.preprocessing, wanted)


def encoding(model: nn.Module, image_processor: Med3DR1ImageProcessor) -> dict[str, Any]:
    """All that decides the tokens of a scan: settings of the image processor, fingerprint of the weights."""
    return {**image_processor.tensor_preprocessing, "weights": weights_fingerprint(vision_tower(model))}


def vision_tower(model: nn.Module) -> nn.Module:
    """The vision tower of a Med3D-R1 model, also of one that PEFT has wrapped."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    return base.model.vision_tower


def weights_fingerprint(vision_tower: nn.Module) -> str:
    """sha256 of a vision tower: its settings, and its tensors in the order of their names.

    Tensors count as bfloat16, so that a model has one fingerprint however it was loaded; float32 weights that differ
    by less have the same, and so have their tokens within the store's precision.
    """
    config = vision_tower.config
    settings = {name: getattr(config, name) for name in type(config).__annotations__ if name not in _WITHOUT_EFFECT}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for name, tensor in sorted(vision_tower.state_dict().items()):
        digest.update(f"\n{name} {tuple(tensor.shape)}\n".encode())
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def checksum(features: torch.Tensor) -> str:
    """sha256 of tokens (L, C): little-endian bfloat16, in C order."""
    return hashlib.sha256(_bytes(features)).hexdigest()


def _bytes(tensor: torch.Tensor) -> memoryview:
    """A tensor as little-endian bfloat16, in C order. numpy has no such type: it is shown the bits."""
    bits = tensor.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy()
    return memoryview(bits.astype("<i2", copy=False)).cast("B")


__all__ = [
    "FEATURES",
    "Encoded",
    "FeatureStore",
    "StoreError",
    "checksum",
    "encoding",
    "vision_tower",
    "weights_fingerprint",
]
