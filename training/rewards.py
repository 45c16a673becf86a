"""The rewards of a recipe, by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import rewards
from .calibration import CalibratedConsistency, Sample

REWARDS = {
    "format": "format_reward",
    "accuracy": "accuracy_reward",
    "consistency": "ConsistencyReward",
    "answer_consistency": "answer_consistency_reward",
    "perception": "perception_reward",
}
"""A recipe's name -> the one in `rewards`."""

SCORERS = {
    "findings": "FindingScorer",
    "reward_model": "RewardModelScorer",
    "embedding": "EmbeddingScorer",
    "judge": "JudgeScorer",
}


def reward_functions(run: Any) -> list[Callable]:
    """The rewards of a recipe, in its order.

    Raises:
        ValueError: there is no reward or no scorer of such a name, or its settings are not its own.
    """
    if not run.rewards:
        raise ValueError(f"rewards is empty; there are {', '.join(REWARDS)}")
    functions = []
    for name in run.rewards:
        if name not in REWARDS:
            raise ValueError(f"no reward {name!r}; there are {', '.join(REWARDS)}")
        functions.append(_consistency(run.consistency) if name == "consistency" else getattr(rewards, REWARDS[name]))
    return functions


def _consistency(settings: dict[str, Any] | None) -> Any:
    settings = dict(settings or {})
    scorer, options = settings.pop("scorer", "findings"), settings.pop("options", None) or {}
    if scorer not in SCORERS:
        raise ValueError(f"consistency: no scorer {scorer!r}; there are {', '.join(SCORERS)}")
    if unknown := settings.keys() - {"levels", "thresholds"}:
        raise ValueError(
            f"consistency: there is no {min(unknown)!r}; its settings are scorer, options, levels, thresholds"
        )
    try:
        made = getattr(rewards, SCORERS[scorer])(**options)
    except TypeError as error:
        raise ValueError(f"consistency: the options do not fit the scorer {scorer!r}: {error}") from error
    if isinstance(thresholds := settings.get("thresholds"), dict):
        return CalibratedConsistency(made, settings.get("levels"), _sample(thresholds))
    return rewards.ConsistencyReward(made, **settings)


def _sample(settings: dict[str, Any]) -> Sample:
    try:
        return Sample(**settings)
    except TypeError as error:
        raise ValueError(
            f"consistency: thresholds are numbers, a name, or a mapping of quantiles and rows; got {settings}"
        ) from error


__all__ = ["REWARDS", "SCORERS", "reward_functions"]
