"""Fluid where there should be none: in the pleural space, in the sac around the heart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import FAT
from .body import SIDES, Body
from .canvas import Canvas, unit_range
from .finding import Finding, draw_sides, visible


@dataclass(frozen=True, eq=False, kw_only=True)
class PleuralEffusion(Finding):
    """Crescents of fluid behind and under the lungs of a patient who lies on the back.

    Attributes:
        layers: by side, the thickness at its thickest.
        top: z up to which the fluid reaches.
    """

    label = "Pleural effusion"

    layers: tuple[tuple[str, float], ...]
    top: float
    hu: float

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> PleuralEffusion:
        severity = rng.random()
        sides = draw_sides(rng, both=0.4)
        thickest = visible(9 + 38 * severity, voxel, 2.0)
        layers = [(side, thickest * (1 if index == 0 else rng.uniform(0.5, 0.95))) for index, side in enumerate(sides)]
        return cls(
            severity=severity,
            places=tuple((side, "pleural space") for side in sides),
            size_mm=body.millimetres(thickest),
            layers=tuple(layers),
            top=-25 + 75 * severity + rng.uniform(-10, 10),
            hu=rng.uniform(2, 20),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        part = canvas.part((-150, -100, -140), (150, 100, self.top + 5))
        if not part:
            return
        behind = unit_range((15 - part.y) / 75)
        for side, thickness in self.layers:
            there = np.where(part.x * SIDES[side] > 0, np.float32(thickness), np.float32(-20))
            layer = there * behind * unit_range((self.top - part.z) / 55) ** 0.6
            part.fill(layer - body.cavity(part.x, part.y, part.z) - (layer <= 0) * np.float32(9), self.hu)


@dataclass(frozen=True, eq=False, kw_only=True)
class PericardialEffusion(Finding):
    """A rim of fluid around the fat on the heart, wider behind and below."""

    label = "Pericardial effusion"
    stage = "middle"

    rim: float
    hu: float

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> PericardialEffusion:
        severity = rng.random()
        rim = visible(5 + 16 * severity, voxel, 1.2)
        return cls(
            severity=severity,
            places=(("", "pericardium"),),
            size_mm=body.millimetres(1.3 * rim),
            rim=rim,
            hu=rng.uniform(3, 20),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        centre, radii, axes = body.heart
        for shift, size, hu in (
            ((0.0, -0.25 * self.rim, -0.2 * self.rim), 5 + self.rim, self.hu),
            ((0, 0, 0), 5, FAT + 10),
        ):
            reach = radii.max() + size + 4
            part = canvas.part(centre - reach, centre + reach)
            if part:
                part.paint(part.ellipsoid(centre + shift, radii + size, axes), hu)


__all__ = ["PericardialEffusion", "PleuralEffusion"]
