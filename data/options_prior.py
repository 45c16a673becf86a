"""What the options of multiple-choice questions give away: the score of who never sees a scan.

The guesser knows the training questions and sees nothing of a question but its options. It gives each option a worth,

    worth(j among S) = strength(j) + sum of influence(j, k) over the other options k,

and picks the largest (a conditional logit, McFadden 1974): strengths say which labels are common, influences which of
them go together in scans. Both are fitted by maximum likelihood, with normal priors that keep them near 0 where there
are few questions. The letters' frequencies are added where they are uneven beyond chance (chi-squared test at 1 %):
letters that were dealt evenly over all questions are not quite independent between a part of these and the rest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..answers_med3d_r1 import LETTERS
from ..metrics.statistics import Score, score_of

STRENGTH_PRECISION, INFLUENCE_PRECISION = 2.0, 20.0
"""Of the normal priors. The stiff one on influences needs dozens of questions with a pair before it moves."""

_STEPS, _CONVERGED = 25, 1e-4
_NORMAL_99 = 2.326348

Item = Mapping[str, Any]
"""A question: `options` (texts), `answer` (a letter) and `volume` are looked at."""


class OptionsOnlyGuesser:
    """The guesser above, fitted to questions.

    Args:
        items: questions with their answers, all with the same number of options.

    Raises:
        ValueError: there are no questions.
    """

    def __init__(self, items: Sequence[Item]):
        if not items:
            raise ValueError("there are no questions to learn from")
        labels = sorted({option for item in items for option in item["options"]})
        self._index = {label: place for place, label in enumerate(labels)}
        options, places = self._options(items), _places(items)
        self._letters = _uneven(np.bincount(places, minlength=options.shape[1]))
        self._strength, self._influence = _fit(*_counted(options, places), len(labels))

    def answers(self, items: Sequence[Item]) -> list[str]:
        """The letter picked for each question. Labels that were never seen have the worth 0."""
        if not items:
            return []
        options = self._options(items)
        influence = self._influence[options[:, :, None], options[:, None, :]].sum(axis=2)
        worth = self._strength[options] + influence + self._letters
        return [LETTERS[place] for place in worth.argmax(axis=1)]

    def _options(self, items: Sequence[Item]) -> np.ndarray:
        """int (items, options); one more than the last label for one that was never seen."""
        unseen = len(self._index)
        return np.array([[self._index.get(option, unseen) for option in item["options"]] for item in items])


def options_only_prior(train_items: Sequence[Item], test_items: Sequence[Item]) -> Score:
    """What a guesser that was fitted to some questions scores on others.

    Raises:
        ValueError: there are no questions to learn from or to answer.
    """
    guesses = OptionsOnlyGuesser(train_items).answers(test_items)
    return score_of((item["volume"] for item in test_items), map(_right, guesses, test_items))


def _uneven(counts: np.ndarray) -> np.ndarray:
    """Logarithms of frequencies, or zeros where all may be the same: chi-squared by Wilson and Hilferty's formula."""
    even, freedom = counts.mean(), len(counts) - 1
    chance = freedom * (1 - 2 / (9 * freedom) + _NORMAL_99 * math.sqrt(2 / (9 * freedom))) ** 3
    return np.log(counts + 1.0) * bool(((counts - even) ** 2 / even).sum() > chance)


def _right(guess: str, item: Item) -> bool:
    return guess == item["answer"]


def _places(items: Sequence[Item]) -> np.ndarray:
    return np.array([LETTERS.index(item["answer"]) for item in items])


def _counted(options: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each set of options once, int (sets, options), and how often each of its labels was right."""
    order = options.argsort(axis=1)
    sets, of_item = np.unique(np.take_along_axis(options, order, axis=1), axis=0, return_inverse=True)
    right = np.zeros(sets.shape)
    np.add.at(right, (of_item.ravel(), (order == places[:, None]).argmax(axis=1)), 1)
    return sets, right


def _features(sets: np.ndarray, labels: int) -> np.ndarray:
    """float32 (sets, options, labels + labels^2): for each option one for itself, and one for each other beside it."""
    features = np.zeros((*sets.shape, labels + labels**2), dtype=np.float32)
    index, places = np.arange(len(sets)), range(sets.shape[1])
    for place in places:
        features[index, place, sets[:, place]] = 1
        for other in places:
            if other != place:
                features[index, place, labels + sets[:, place] * labels + sets[:, other]] = 1
    return features


def _fit(sets: np.ndarray, right: np.ndarray, labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Strengths and influences by Newton's method, (labels + 1,) and (labels + 1, labels + 1): the last is for labels
    that were never seen, and 0."""
    features = _features(sets, labels)
    used = np.flatnonzero(features.any(axis=(0, 1)))  # pairs that never met stay at 0
    features = features[:, :, used]
    precision = np.where(used < labels, STRENGTH_PRECISION, INFLUENCE_PRECISION)
    worth, asked = np.zeros(len(used)), right.sum(axis=1, keepdims=True)
    for _ in range(_STEPS):
        value = features @ worth
        chance = np.exp(value - value.max(axis=1, keepdims=True))
        chance /= chance.sum(axis=1, keepdims=True)
        gradient = np.tensordot(right - asked * chance, features, axes=2) - precision * worth
        centred = features - np.einsum("so,sof->sf", chance, features)[:, None]
        root = (centred * np.sqrt(asked * chance)[:, :, None]).reshape(-1, len(used))
        step = np.linalg.solve(root.T @ root + np.diag(precision), gradient)
        worth += step
        if np.abs(step).max() < _CONVERGED:
            break
    fitted = np.zeros(labels + labels**2)
    fitted[used] = worth
    influence = fitted[labels:].reshape(labels, labels)
    return np.pad(fitted[:labels], (0, 1)), np.pad(influence, (0, 1))


__all__ = ["Item", "OptionsOnlyGuesser", "options_only_prior"]
