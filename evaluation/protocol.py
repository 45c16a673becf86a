"""What every result has: versions of libraries, plain types for JSON, files that appear whole."""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .. import __version__

LIBRARIES = ("torch", "transformers", "numpy")

TRAIN_SEED = 1_000_003
"""Added to the seed where questions of the training split are drawn. With the same seed the same sets of options would
come up in the same order, and whoever learned from one split would know the other."""


def library_versions() -> dict[str, str]:
    found = {"med3d_r1": __version__}
    for library in LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = "absent"
    return found


def plain(value: Any) -> Any:
    """Tuples as lists, and None for what is not a number: JSON has neither."""
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_files(folder: str | Path, texts: Mapping[str, str]) -> list[Path]:
    """Write name -> text into a folder, made if need be; each file appears whole or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        draft = folder / f".{name}.part"
        draft.write_text(text, encoding="utf-8")
        draft.replace(folder / name)
    return [folder / name for name in texts]


__all__ = ["LIBRARIES", "TRAIN_SEED", "library_versions", "plain", "write_files"]
