"""The three stages of training: thin over transformers and TRL. Names load on first use."""

from importlib import import_module

_HOMES = {
    "ARWSFTConfig": "sft",
    "ARWSFTTrainer": "sft",
    "ClipConfig": "clip",
    "ClipModel": "clip",
    "ClipTrainer": "clip",
    "Med3DR1GRPOConfig": "grpo",
    "Med3DR1GRPOTrainer": "grpo",
}
"""Public name -> the module that defines it."""

__all__ = [*_HOMES]


def __getattr__(name: str):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
