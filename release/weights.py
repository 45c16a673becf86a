"""The weights that go out: every number is one, and results say of which weights they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..checkpoints import load_model
from ..evaluation.predictors import weights_hash
from .files import ReleaseError

MAY_BE_INFINITE = ".feature_limit"
"""The bridge's buffer: infinite where features are not limited."""


@dataclass(frozen=True)
class Stored:
    """What lies in the files of weights.

    Attributes:
        parts: "vision_tower", "bridge", "language_model", ... -> how many numbers. A head that shares the weights of
            the word embedding is not stored.
        dtypes: in which they are stored.
    """

    parts: dict[str, int]
    dtypes: tuple[str, ...]

    @property
    def numbers(self) -> int:
        return sum(self.parts.values())


def require_finite(files: Sequence[Path]) -> Stored:
    """Look at every number of every tensor, one tensor in memory at a time.

    Raises:
        ReleaseError: a number is NaN or infinite, or a file is damaged.
    """
    parts: Counter[str] = Counter()
    dtypes = set()
    for file in files:
        try:
            with safe_open(file, framework="pt") as stored:
                for name in stored.keys():  # noqa: SIM118 (no dict: it cannot be iterated over)
                    weights = stored.get_tensor(name)
                    if bad := _count_bad(name, weights):
                        raise ReleaseError(
                            f"{file}: {bad:,} of {weights.numel():,} numbers of {name} are NaN or infinite. Release "
                            "the model of an earlier checkpoint, and look at the curves of the run"
                        )
                    parts[name.removeprefix("model.").partition(".")[0]] += weights.numel()
                    dtypes.add(str(weights.dtype).removeprefix("torch."))
        except SafetensorError as error:
            raise ReleaseError(
                f"{file}: damaged, its tensors cannot be read ({error}). Save the model again"
            ) from error
    return Stored(dict(parts), tuple(sorted(dtypes)))


def _count_bad(name: str, weights: torch.Tensor) -> int:
    if not weights.is_floating_point():
        return 0
    bad = torch.isnan(weights) if name.endswith(MAY_BE_INFINITE) else ~torch.isfinite(weights)
    return int(bad.sum())


class WeightsHash:
    """The hash that `evaluate` writes into results, of a model folder as it is loaded in a dtype."""

    def __init__(self, folder: str | Path):
        self.folder = folder
        self._known: dict[str, str] = {}

    def __call__(self, dtype: str) -> str:
        """
        Args:
            dtype: "float32", "bfloat16", ...: numbers are measured in one, and the hash is of the weights in it.
        """
        if dtype not in self._known:
            self._known[dtype] = weights_hash(load_model(self.folder, "cpu", getattr(torch, dtype)))
        return self._known[dtype]


__all__ = ["Stored", "WeightsHash", "require_finite"]
