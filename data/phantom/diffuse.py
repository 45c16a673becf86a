"""Findings throughout the lungs: emphysema, mosaic attenuation, thickened septa."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .body import SIDES, TOP_OF_CHEST, Body
from .canvas import Canvas, Waves
from .finding import Finding, visible

BOTH_LUNGS = (("right", "lung"), ("left", "lung"))
BOTH_UPPER = (("right", "upper lobe"), ("left", "upper lobe"))
BOTH_LOWER = (("right", "lower lobe"), ("left", "lower lobe"))


def _lungs(canvas: Canvas) -> Canvas | None:
    return canvas.part((-150, -100, -140), (150, 100, TOP_OF_CHEST + 5))


@dataclass(frozen=True, eq=False, kw_only=True)
class Emphysema(Finding):
    """Lost lung tissue: holes of air, more of them above, and blebs under the pleura; or darker lungs as a whole."""

    label = "Emphysema"
    stage = "lung"

    holes: Waves
    threshold: float
    upward: float
    haze: float
    blebs: tuple[tuple[np.ndarray, float], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> Emphysema:
        severity = rng.random()
        kind = str(rng.choice(["centrilobular", "centrilobular", "paraseptal", "panlobular"]))
        blebs = []
        if kind == "paraseptal" or severity > 0.8:
            for _ in range(int(rng.integers(4, 10))):
                side = str(rng.choice([*SIDES]))
                radius = visible(rng.uniform(5, 10 + 12 * severity), voxel, 2.6)
                blebs.append((body.place_in_lung(rng, side, "upper", (0.3 * radius, 0.9 * radius), low=20), radius))
        return cls(
            severity=severity,
            places=BOTH_LUNGS if kind == "panlobular" else BOTH_UPPER,
            kind=kind,
            size_mm=body.millimetres(2 * max(radius for _, radius in blebs)) if blebs else None,
            count=len(blebs),
            holes=Waves.draw(rng, visible(14, voxel, 4.6), count=14),
            threshold=0.9 - 1.3 * severity,
            upward=0.0 if kind == "panlobular" else 0.011,
            haze=-30 - 40 * severity,
            blebs=tuple(blebs),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        part = _lungs(canvas)
        if not part:
            return
        where = part.field(self.holes) - np.float32(self.threshold) + np.float32(self.upward) * (part.z - 20)
        part.fill(6 * where, -980.0)
        part.add(np.maximum(np.float32(self.haze), -970 - part.hu) * (part.hu > -960))
        for centre, radius in self.blebs:
            part.ball(centre, radius + 0.8, -600.0, within_lung=True)
            part.ball(centre, radius, -985.0, within_lung=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class MosaicAttenuation(Finding):
    """Lighter and darker areas of both lungs, side by side like on a map."""

    label = "Mosaic attenuation pattern"
    stage = "lung"

    areas: Waves
    rise: float
    fall: float

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> MosaicAttenuation:
        severity = rng.random()
        return cls(
            severity=severity,
            places=BOTH_LUNGS,
            areas=Waves.draw(rng, visible(38, voxel, 7.0), count=14),
            rise=105 + 95 * severity,
            fall=-30 - 30 * severity,
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        part = _lungs(canvas)
        if part:
            light = part.cover(12 * part.field(self.areas))
            part.add(np.float32(self.fall) + light * np.float32(self.rise - self.fall))


@dataclass(frozen=True, eq=False, kw_only=True)
class SeptalThickening(Finding):
    """The walls between the lobules of the lung, seen as a net of lines, more of them below.

    Attributes:
        families: (direction (3,), phase) of walls that run side by side; three of them make a net of polygons.
        pitch: millimetres from wall to wall.
        half: half of a wall's thickness.
        bends: waves that keep walls from being flat.
        top: z up to which the net reaches.
    """

    label = "Interlobular septal thickening"
    stage = "lung"

    families: tuple[tuple[np.ndarray, float], ...]
    pitch: float
    half: float
    bends: Waves
    top: float
    hu: float

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> SeptalThickening:
        severity = rng.random()
        spread, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        pitch = visible(17, voxel, 4.2)
        return cls(
            severity=severity,
            places=BOTH_LUNGS if severity > 0.6 else BOTH_LOWER,
            families=tuple((direction, rng.uniform(0, 1)) for direction in spread),
            pitch=pitch,
            half=visible(0.5 + 0.7 * severity, voxel, 0.39),
            bends=Waves.draw(rng, 3.0 * pitch),
            top=-25 + 130 * severity,
            hu=rng.uniform(-420, -220),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        part = canvas.part((-150, -100, -140), (150, 100, self.top + 15))
        if not part:
            return
        bend = 0.2 * part.field(self.bends)
        nearest = np.float32(9)
        for (a, b, c), phase in ((direction.tolist(), phase) for direction, phase in self.families):
            turns = ((part.x * a + part.y * b) + np.float32(c) * part.z) * np.float32(1 / self.pitch)
            turns = turns + (bend + np.float32(phase))
            nearest = np.minimum(nearest, np.abs(turns - np.floor(turns) - np.float32(0.5)))
        # Fading upwards and towards the hila.
        fading = np.minimum((self.top - part.z) / 30, (36 - body.cavity(part.x, part.y, part.z)) / 18)
        soft = max(self.half, 0.4 * part.edge)
        part.fill(np.minimum(soft - nearest * np.float32(self.pitch), 12 * fading + 6), self.hu, self.half / soft)


__all__ = ["Emphysema", "MosaicAttenuation", "SeptalThickening"]
