"""Findings between the lungs: large heart, hiatal hernia, enlarged lymph nodes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from .anatomy import AIR
from .body import Body
from .canvas import Canvas
from .finding import Finding, visible

STATIONS = {
    ("right", "lower paratracheal station"): (24.0, -6.0, 58.0),
    ("left", "lower paratracheal station"): (-18.0, -8.0, 40.0),
    ("", "prevascular station"): (-16.0, 36.0, 60.0),
    ("", "subcarinal station"): (4.0, -30.0, 20.0),
    ("right", "hilum"): (48.0, -14.0, 4.0),
    ("left", "hilum"): (-56.0, -16.0, 12.0),
}
"""Where lymph nodes lie."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Cardiomegaly(Finding):
    """A heart that is larger than average by a quarter or more."""

    label = "Cardiomegaly"
    stage = "body"

    growth: float

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> Cardiomegaly:
        severity = rng.random()
        return cls(severity=severity, places=(("", "heart"),), growth=1.2 + 0.18 * severity)

    def change(self, body: Body) -> Body:
        return replace(body, heart_size=body.heart_size * self.growth)


@dataclass(frozen=True, eq=False, kw_only=True)
class HiatalHernia(Finding):
    """A part of the stomach behind the heart, with fluid and mostly with air above it."""

    label = "Hiatal hernia"
    stage = "behind"

    centre: np.ndarray
    radii: tuple[float, float, float]
    level: float

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> HiatalHernia:
        severity = rng.random()
        radius = visible(15 + 20 * severity, voxel, 3.6)
        centre = np.array((rng.uniform(-16, 8), -32.0 + 0.2 * radius, -74 + 0.4 * radius))
        return cls(
            severity=severity,
            places=(("", "esophageal hiatus"),),
            size_mm=2 * body.millimetres(radius),
            centre=centre,
            radii=(1.25 * radius, 0.85 * radius, radius),
            level=centre[1] + rng.uniform(-0.4, 0.25) * radius,
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        part = canvas.part(self.centre - max(self.radii), self.centre + max(self.radii))
        if part:
            stomach = part.ellipsoid(self.centre, self.radii)
            part.paint(stomach, 42.0)
            part.paint(stomach - 4, np.where(part.y > self.level, np.float32(AIR + 20), np.float32(22)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Lymphadenopathy(Finding):
    """Enlarged nodes at some of the stations of the mediastinum and the hila."""

    label = "Lymphadenopathy"

    nodes: tuple[tuple[np.ndarray, tuple[float, float, float]], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> Lymphadenopathy:
        severity = rng.random()
        stations = [[*STATIONS][index] for index in rng.permutation(len(STATIONS))[: 2 + round(3 * severity)]]
        radii = [visible(rng.uniform(5.5, 7 + 6 * severity), voxel, 2.9) for _ in stations]
        radii.sort(reverse=True)
        return cls(
            severity=severity,
            places=tuple(stations),
            size_mm=2 * body.millimetres(radii[0]),
            count=len(stations),
            nodes=tuple(
                (
                    np.array(STATIONS[station]) + rng.normal(0, 2.5, 3),
                    (radius, radius * rng.uniform(1, 1.3), 1.2 * radius),
                )
                for station, radius in zip(stations, radii, strict=True)
            ),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        for centre, radii in self.nodes:
            canvas.ball(centre, radii, 48.0)


__all__ = ["STATIONS", "Cardiomegaly", "HiatalHernia", "Lymphadenopathy"]
