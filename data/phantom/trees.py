"""Airways and lung vessels of a synthetic chest, as straight tubes that fork on their way outwards."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .body import FLOOR_OF_CHEST, SIDES, TOP_OF_CHEST, Body

CARINA = (2.0, -18.0, 42.0)
_RIGHT_FORK, _RIGHT_INTERMEDIATE, _LEFT_FORK = (30.0, -22.0, 20.0), (36.0, -24.0, -8.0), (-40.0, -24.0, 12.0)
CENTRAL_AIRWAYS = (
    ((0.0, -2.0, 175.0), CARINA, 8.5),
    (CARINA, _RIGHT_FORK, 6.5),
    (_RIGHT_FORK, _RIGHT_INTERMEDIATE, 5.2),
    (CARINA, _LEFT_FORK, 6.2),
)
"""(start, end, radius of the lumen) of windpipe and main bronchi."""

LOBAR_AIRWAYS = {
    ("right", "upper"): ((24.0, -21.0, 25.0), (48.0, -20.0, 38.0)),
    ("right", "middle"): (_RIGHT_INTERMEDIATE, (56.0, 8.0, -22.0)),
    ("right", "lower"): (_RIGHT_INTERMEDIATE, (52.0, -42.0, -35.0)),
    ("left", "upper"): (_LEFT_FORK, (-58.0, -6.0, 26.0)),
    ("left", "lower"): (_LEFT_FORK, (-52.0, -42.0, -28.0)),
}
_HILUM = {"right": (38.0, -14.0, 8.0), "left": (-46.0, -18.0, 14.0)}
_MURRAY = 1 / 2.7  # the flow of a vessel is its radius to the power of about 2.7


class Tube(NamedTuple):
    start: np.ndarray
    end: np.ndarray
    radius: float


@lru_cache(maxsize=4)  # a chest is painted slab by slab
def vessel_trees(body: Body, ends: int) -> list[Tube]:
    """The vessels of both lungs, so many ends each."""
    rng = np.random.default_rng((body.seed, 1))
    tubes = []
    for side, hilum in _HILUM.items():
        targets = _points_in_lung(body, rng, side, 4 * ends, 5)[:ends]
        tubes += grow(np.array(hilum), targets, 6.5, rng)
    return tubes


@lru_cache(maxsize=4)
def lobar_trees(body: Body, ends: int) -> dict[tuple[str, str], list[Tube]]:
    """The bronchi of each lobe: the lobar one first, then its branches, at most so many ends each."""
    rng = np.random.default_rng((body.seed, 2))
    points = {side: _points_in_lung(body, rng, side, 400 + 60 * ends, 10) for side in SIDES}
    trees = {}
    for (side, lobe), (start, end) in LOBAR_AIRWAYS.items():
        targets = points[side][body.lobe(side, lobe, *points[side].T) > 0][:ends]
        trunk = Tube(np.array(start), np.array(end), 4.2)
        trees[side, lobe] = [trunk, *grow(trunk.end, targets, 3.0, rng)]
    return trees


def _points_in_lung(body: Body, rng: np.random.Generator, side: str, tries: int, depth: float) -> np.ndarray:
    """Random points (n, 3) at least so deep in a lung."""
    low, high = (15, -body.chest[1], FLOOR_OF_CHEST), (body.chest[0], body.chest[1], TOP_OF_CHEST)
    points = rng.uniform(low, high, (tries, 3)) * (SIDES[side], 1, 1)
    return points[body.lung(*points.T) > depth]


def grow(origin: np.ndarray, targets: np.ndarray, radius: float, rng: np.random.Generator) -> Iterator[Tube]:
    """A tree from an origin to all targets (n, 3) that forks in two wherever the targets part."""
    if len(targets) < 2:
        yield from (Tube(origin, target, radius) for target in targets)
        return
    towards = targets.mean(axis=0) - origin
    fork = origin + 0.42 * towards + rng.normal(0, 0.06 * np.linalg.norm(towards), 3)
    yield Tube(origin, fork, radius)
    order = np.argsort(targets[:, np.argmax(np.ptp(targets, axis=0))])
    for half in np.array_split(order, 2):
        yield from grow(fork, targets[half], radius * (len(half) / len(targets)) ** _MURRAY, rng)


__all__ = ["CARINA", "CENTRAL_AIRWAYS", "LOBAR_AIRWAYS", "Tube", "grow", "lobar_trees", "vessel_trees"]
