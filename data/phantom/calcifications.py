"""Calcium in the walls of arteries."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import Body
from .canvas import Canvas
from .finding import Finding, visible
from .paths import AORTA, AORTA_PARTS, CORONARIES, along, coronary


@dataclass(frozen=True, eq=False, kw_only=True)
class Plaques(Finding):
    """Plaques: (start, end, radius, HU) of short tubes."""

    plaques: tuple[tuple[np.ndarray, np.ndarray, float, float], ...]

    def paint(self, canvas: Canvas, body: Body) -> None:
        for plaque in self.plaques:
            canvas.tube(*plaque)


class ArterialCalcification(Plaques):
    """Plaques on the wall of the aorta, most of them on the arch."""

    label = "Arterial wall calcification"

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> ArterialCalcification:
        severity = rng.random()
        parts, plaques = [], []
        for _ in range(2 + round(5 * severity)):
            name = str(rng.choice([*AORTA_PARTS], p=(0.2, 0.5, 0.3)))
            centre, course = along(AORTA, rng.uniform(*AORTA_PARTS[name]))
            outwards = np.cross(course, rng.normal(size=3))
            centre = centre + body.aorta_radius * outwards / np.linalg.norm(outwards)
            half = rng.uniform(1, 3 + 3 * severity) * course
            radius = visible(rng.uniform(1.0, 1.6 + severity), voxel, 1.9)
            plaques.append((centre - half, centre + half, radius, rng.uniform(600, 1100)))
            parts.append(name)
        return cls(
            severity=severity,
            places=tuple(("", name) for name in dict.fromkeys(parts)),
            count=len(plaques),
            plaques=tuple(plaques),
        )


class CoronaryCalcification(Plaques):
    """Plaques along the coronary arteries."""

    label = "Coronary artery wall calcification"
    stage = "last"

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> CoronaryCalcification:
        severity = rng.random()
        arteries = [CORONARIES[index] for index in rng.permutation(len(CORONARIES))[: 1 + round(2 * severity)]]
        plaques = []
        for name in arteries * 2:
            centre, course = along(coronary(body, name), rng.uniform(0.1, 0.75))
            half = rng.uniform(1, 2 + 5 * severity) * course
            radius = visible(rng.uniform(1.0, 1.3 + 0.7 * severity), voxel, 1.8)
            plaques.append((centre - half, centre + half, radius, rng.uniform(600, 1100)))
        return cls(
            severity=severity,
            places=tuple(("", name) for name in arteries),
            count=len(plaques),
            plaques=tuple(plaques),
        )


__all__ = ["ArterialCalcification", "CoronaryCalcification"]
