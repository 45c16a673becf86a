"""Findings of the airways: thickened walls, widened bronchi."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import Body
from .canvas import Canvas
from .finding import LUNG_LOBES, Finding, Place, draw_lobes, named, visible
from .trees import lobar_trees

_AIR, _WALL = -1000.0, 25.0
_BRANCHES = 4
"""Ends of the bronchial tree of a lobe that is diseased, on any grid."""


@dataclass(frozen=True, eq=False, kw_only=True)
class PeribronchialThickening(Finding):
    """Cuffs around the bronchi near the hila of both lungs, whose lumen stays as it was."""

    label = "Peribronchial thickening"

    wall: float
    spread: int

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> PeribronchialThickening:
        severity = rng.random()
        wall = visible(2.2 + 2.2 * severity, voxel, 1.05)
        return cls(
            severity=severity,
            places=(("right", "lung"), ("left", "lung")),
            size_mm=body.millimetres(wall),
            wall=wall,
            spread=int(rng.integers(2, 4)),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        tubes = [tube for tree in lobar_trees(body, _BRANCHES).values() for tube in tree[: 1 + self.spread]]
        for start, end, radius in tubes:
            canvas.tube(start, end, radius + self.wall, _WALL, within_lung=True)
        for start, end, radius in tubes:
            canvas.tube(start, end, radius, _AIR, within_lung=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class Bronchiectasis(Finding):
    """Bronchi of one to three lobes that stay wide on their way outwards: like tubes, or like strings of cysts."""

    label = "Bronchiectasis"

    lobes: tuple[Place, ...]
    lumen: float
    wall: float

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> Bronchiectasis:
        severity = rng.random()
        lobes = draw_lobes(rng, int(rng.integers(1, 4)), (*LUNG_LOBES, ("left", "lower")))
        lumen = visible(3.2 + 3.2 * severity, voxel, 1.6)
        return cls(
            severity=severity,
            places=named(lobes),
            kind=str(rng.choice(["cylindrical", "cylindrical", "cystic"])),
            size_mm=body.millimetres(2 * lumen),
            lobes=tuple(dict.fromkeys(lobes)),
            lumen=lumen,
            wall=visible(1.0 + 0.6 * severity, voxel, 0.8),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        trees = lobar_trees(body, _BRANCHES)
        pieces = [piece for lobe in self.lobes for tube in trees[lobe][1:] for piece in self._widened(*tube[:2])]
        for start, end, radius in pieces:
            canvas.tube(start, end, radius + self.wall, _WALL, within_lung=True)
        for start, end, radius in pieces:
            canvas.tube(start, end, radius, _AIR, within_lung=True)

    def _widened(self, start: np.ndarray, end: np.ndarray):
        """(start, end, radius of the lumen) along one bronchus."""
        if self.kind == "cylindrical":
            yield start, end, self.lumen
            return
        steps = max(2, round(np.linalg.norm(end - start) / (2.6 * self.lumen)))
        for share in np.linspace(0, 1, steps):
            bead = start + share * (end - start)
            yield bead, bead, 1.2 * self.lumen


__all__ = ["Bronchiectasis", "PeribronchialThickening"]
