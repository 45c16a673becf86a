"""Does the reasoning agree with the radiology report? (arXiv 2602.01200, r_con)

The paper has a reward model score the think text against the report and rounds the score to a few levels. What scores
is a choice here, the scorer: any callable `(reasonings, reports) -> scores`. `RewardModelScorer` is the paper's,
`FindingScorer` needs no model, `EmbeddingScorer` and `JudgeScorer` take any encoder and any chat model.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from math import isfinite
from typing import Any, Protocol

import numpy as np

from ..answers_med3d_r1 import parse_answer
from .completions import Completion, texts_of

PRESETS = {
    "paper": ((0.0, 0.5, 0.8, 1.0), (0.5, 0.8, 1.0)),
    "release": ((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), (0.0, 0.2, 0.5, 1.0, 1.6)),
}
"""Name -> (levels, thresholds). The release cuts the raw logit of its reward model. The paper states levels and no
thresholds: a score in [0, 1] is rounded down to a level here, and a logit needs thresholds of its own."""


class Scorer(Protocol):
    """What compares texts. `bounded`: whether its scores lie in [0, 1]."""

    bounded: bool

    def __call__(self, reasonings: Sequence[str], reports: Sequence[str]) -> Sequence[float]: ...


class ConsistencyReward:
    """Reward function for TRL: the level that the reasoning reaches against the row's `report`.

    A row without a report gives None, so that it neither rewards nor punishes. Reasoning that is empty or missing has
    the lowest level. A scorer that fails raises: a reward of 0 would teach the policy something.

    Args:
        scorer: see `Scorer`.
        levels: rewards in ascending order; default: those of the preset, or the paper's.
        thresholds: the scores from which on the second level, the third and so on are reached; one of `PRESETS`; or
            None for the score itself, of a bounded scorer.

    Raises:
        ValueError: levels or thresholds do not ascend, do not fit each other, or do not fit the scorer.

    >>> from med3d_r1.rewards import FindingScorer
    >>> reward = ConsistencyReward(FindingScorer())
    >>> said = ["<think>Emphysema.</think><answer>A</answer>", "<think>A nodule.</think><answer>B</answer>"]
    >>> reward(said, report=["There is emphysema. No nodule."] * 2)
    [1.0, 0.0]
    >>> reward(said, report=[None, "There is emphysema and a nodule."])
    [None, 0.5]
    """

    __name__ = "consistency_reward"

    def __init__(
        self,
        scorer: Scorer,
        levels: Sequence[float] | None = None,
        thresholds: Sequence[float] | str | None = "paper",
    ):
        if isinstance(thresholds, str):
            if thresholds not in PRESETS:
                raise ValueError(f"thresholds are numbers or one of {', '.join(PRESETS)}; got {thresholds!r}")
            if thresholds == "paper" and not scorer.bounded:
                raise ValueError(
                    "the paper gives no thresholds for scores outside [0, 1]: give numbers, thresholds='release', or "
                    "use ConsistencyReward.calibrated (in a recipe, quantiles)"
                )
            own_levels, thresholds = PRESETS[thresholds]
            levels = levels or own_levels
        if thresholds is None and not scorer.bounded:
            raise ValueError("only scores in [0, 1] can be rewards as they are: give thresholds")
        self.scorer = scorer
        self.levels = tuple(map(float, levels or PRESETS["paper"][0]))
        self.thresholds = None if thresholds is None else tuple(map(float, thresholds))
        self._check()

    def _check(self) -> None:
        if not _ascends(self.levels) or self.levels[0] < 0 or self.levels[-1] > 1:
            raise ValueError(f"levels ascend within [0, 1]; got {self.levels}")
        if self.thresholds is None:
            return
        if not _ascends(self.thresholds):
            raise ValueError(f"thresholds ascend, or a level could not be reached; got {self.thresholds}")
        if len(self.thresholds) != len(self.levels) - 1:
            raise ValueError(
                f"each level but the lowest has its threshold; got levels {self.levels}, thresholds {self.thresholds}"
            )

    @classmethod
    def calibrated(
        cls,
        scorer: Scorer,
        pairs: Iterable[tuple[str, str]],
        quantiles: Sequence[float] = (0.25, 0.5, 0.75),
        levels: Sequence[float] | None = None,
    ) -> ConsistencyReward:
        """A reward whose thresholds are quantiles of the scores of a sample.

        Args:
            scorer: see `Scorer`.
            pairs: (reasoning, report) as they come at the start of training.
            quantiles: one for each level but the lowest, ascending.
            levels: as for the class.

        Raises:
            ValueError: as for the class; two quantiles are the same score; or there are no pairs.
        """
        pairs = list(pairs)
        if not pairs:
            raise ValueError("calibration needs pairs of a reasoning and a report; got none")
        scores = scorer([reasoning for reasoning, _ in pairs], [report for _, report in pairs])
        thresholds = np.quantile(scores, quantiles).tolist()
        if not _ascends(thresholds):
            raise ValueError(
                f"the quantiles {list(quantiles)} of {len(pairs):,} scores are {thresholds}, and a level between "
                "two that are the same could not be reached: take fewer levels, or quantiles further apart"
            )
        return cls(scorer, levels, thresholds)

    def __call__(
        self,
        completions: Sequence[Completion],
        report: Sequence[str | None],
        log_metric: Callable[[str, float], None] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """One reward for each completion. The mean raw score is logged as `consistency_reward/score`."""
        reasonings = [parse_answer(text).reasoning for text in texts_of(completions)]
        pairs = [
            (reasoning, said.strip()) if said and said.strip() else None
            for reasoning, said in zip(reasonings, report, strict=True)
        ]
        scores = self._scores(dict.fromkeys(pair for pair in pairs if pair and pair[0]))
        if log_metric and scores:
            log_metric(f"{self.__name__}/score", sum(scores.values()) / len(scores))
        lowest = self.levels[0]
        return [None if pair is None else self._level(scores[pair]) if pair[0] else lowest for pair in pairs]

    def _scores(self, pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], float]:
        """The score of each pair, each asked for once."""
        pairs = list(pairs)
        if not pairs:
            return {}
        scores = [float(score) for score in self.scorer(*map(list, zip(*pairs, strict=True)))]
        if len(scores) != len(pairs) or not all(map(isfinite, scores)):
            raise ValueError(
                f"the scorer gave {len(scores)} scores for {len(pairs)} pairs, or some that are no numbers"
            )
        return dict(zip(pairs, scores, strict=True))

    def _level(self, score: float) -> float:
        return score if self.thresholds is None else self.levels[bisect_right(self.thresholds, score)]


def _ascends(numbers: Sequence[float]) -> bool:
    return len(numbers) > 0 and all(one < next_one for one, next_one in pairwise(numbers))


__all__ = ["PRESETS", "ConsistencyReward", "Scorer"]
