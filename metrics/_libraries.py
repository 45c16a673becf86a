"""Libraries of the extra `eval`, imported when a metric is computed."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType


def require(name: str) -> ModuleType:
    """A module of a library.

    Raises:
        ImportError: the library is not installed.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ImportError(f"report metrics need {name.partition('.')[0]}: pip install 'med3d-r1[eval]'") from error


__all__ = ["require"]
