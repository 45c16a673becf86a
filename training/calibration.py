"""Thresholds of the consistency reward from what the model writes before it learns.

How a scorer's numbers are spread is not known before: all completions of a group may reach the same level, and teach
nothing. So the model that a run starts from answers some of the training questions, each once and drawn as in
training, and the thresholds are quantiles of the scores of these reasonings. They are found once, before the first
step, and stand in the record of the run: a run that goes on takes them from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from transformers import TrainerCallback

from .. import rewards
from ..answers_med3d_r1 import parse_answer
from .data import spread

Facts = dict[str, Any]


@dataclass(frozen=True)
class Sample:
    """`thresholds` of a recipe where it is a mapping.

    Args:
        quantiles: of the scores, one for each level but the lowest.
        rows: so many training questions are answered.

    Raises:
        ValueError: quantiles do not ascend within (0, 1), or there are no rows.
    """

    quantiles: Sequence[float] = (0.25, 0.5, 0.75)
    rows: int = 256

    def __post_init__(self):
        ascend = all(low < high for low, high in pairwise([0, *self.quantiles, 1]))
        if not self.quantiles or not ascend:
            raise ValueError(f"consistency: quantiles ascend between 0 and 1; got {list(self.quantiles)}")
        if self.rows < 1:
            raise ValueError(f"consistency: rows are the questions of the calibration, 1 or more; got {self.rows}")


class CalibratedConsistency:
    """A `ConsistencyReward` whose thresholds are still to be found.

    Args:
        scorer, levels: as for `ConsistencyReward`.
        sample: what they are found from.

    Raises:
        ValueError: levels and quantiles do not go together.
    """

    __name__ = "consistency_reward"

    def __init__(self, scorer: Any, levels: Sequence[float] | None, sample: Sample):
        self.scorer, self.sample = scorer, sample
        self.levels = rewards.ConsistencyReward(scorer, levels, sample.quantiles).levels
        self._reward: rewards.ConsistencyReward | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> list[float | None]:
        """As of `ConsistencyReward`.

        Raises:
            RuntimeError: there are no thresholds yet.
        """
        if self._reward is None:
            raise RuntimeError("the consistency reward is asked before its thresholds were found from a sample")
        return self._reward(*args, **kwargs)

    def calibrate(self, texts: Sequence[str], reports: Sequence[str]) -> Facts:
        """Find the thresholds.

        Args:
            texts: what the model wrote.
            reports: of the scans that it saw.

        Returns:
            for the record.

        Raises:
            ValueError: nothing of it has any reasoning, or two quantiles are the same score.
        """
        reasonings = [parse_answer(text).reasoning for text in texts]
        pairs = [(said, report) for said, report in zip(reasonings, reports, strict=True) if said]
        if not pairs:
            raise ValueError(
                f"consistency: none of the {len(texts):,} answers of the calibration has any reasoning, so there is "
                "nothing to find thresholds from: start from a model that was trained to reason, or give thresholds"
            )
        self._reward = rewards.ConsistencyReward.calibrated(self.scorer, pairs, self.sample.quantiles, self.levels)
        return {
            "answers": len(texts),
            "scored": len(pairs),
            "quantiles": list(self.sample.quantiles),
            "thresholds": list(self._reward.thresholds),
        }

    def restore(self, facts: Facts) -> None:
        """Take the thresholds that were found before."""
        self._reward = rewards.ConsistencyReward(self.scorer, self.levels, facts["thresholds"])


class CalibrateAtStart(TrainerCallback):
    """Finds the thresholds of a reward when a run begins, or takes those that it began with.

    It works when training begins and not before: weights that are divided over processes are whole models only there.

    Args:
        reward: its thresholds are still to be found.
        rows: training questions; those with a report count.
        answer: (prompts, images of each) -> texts; the same in every process.
        known: what stands in the run's record; None at its very beginning.
        settle: what `calibrate` gives in the main process, noted and handed to all processes.
    """

    def __init__(
        self,
        reward: CalibratedConsistency,
        rows: Any,
        answer: Callable[[Sequence[Any], Sequence[Any]], list[str]],
        known: Facts | None,
        settle: Callable[[Callable[[], Facts]], Facts],
    ):
        self.reward, self.known = reward, known
        self._rows, self._answer, self._settle = rows, answer, settle

    def on_train_begin(self, args, state, control, **kwargs):
        if self.known is None:
            reported = [place for place, report in enumerate(self._rows["report"]) if report]
            rows = [self._rows[place] for place in spread(reported, min(self.reward.sample.rows, len(reported)))]
            texts = self._answer([row["prompt"] for row in rows], [row["images"] for row in rows])
            self.known = self._settle(lambda: self.reward.calibrate(texts, [row["report"] for row in rows]))
        self.reward.restore(self.known)


__all__ = ["CalibrateAtStart", "CalibratedConsistency", "Sample"]
