"""Rewards for GRPO, with TRL's signature, and the scorers behind them. Names load on first use."""

from importlib import import_module

_HOMES = {
    "ConsistencyReward": "consistency",
    "EmbeddingScorer": "embedding_scorer",
    "FindingScorer": "finding_scorer",
    "JudgeScorer": "judge_scorer",
    "RewardModelScorer": "reward_model_scorer",
    "accuracy_reward": "accuracy",
    "affirmed_findings": "findings",
    "answer_consistency_reward": "answer_consistency",
    "format_reward": "layout",
    "perception_reward": "perception",
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
