"""Things that were put into the body: metal and plastic that stops more X-rays than bone."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from .body import SIDES, Body
from .canvas import Canvas
from .finding import Finding, draw_sides, visible
from .paths import GULLET, UPPER_CAVAL_VEIN

METAL, PLASTIC = 2800.0, 1400.0

KINDS = ("pacemaker", "port catheter", "central venous catheter", "sternal wires", "gastric tube")


@dataclass(frozen=True, eq=False, kw_only=True)
class MedicalMaterial(Finding):
    """A pacemaker with its leads, a port or a catheter in the large veins, wires in the breastbone, a gastric tube.

    Attributes:
        boxes: (centre, radii) of housings, in metal.
        lines: (corners, radius, HU).
    """

    label = "Medical material"

    boxes: tuple[tuple[np.ndarray, tuple[float, float, float]], ...]
    lines: tuple[tuple[np.ndarray, float, float], ...]

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> MedicalMaterial:
        kind, (side,) = str(rng.choice(KINDS)), draw_sides(rng, both=0)
        thin = visible(rng.uniform(0.9, 1.4), voxel, 0.9)
        place = (side, "chest wall")
        boxes, lines = [], []
        if kind == "sternal wires":
            place = ("", "sternum")
            for z in np.linspace(-30, 85, 6) + rng.normal(0, 3, 6):
                front = -2 + body.chest[1] * float(body.cavity_size(np.float64(z))) + 8
                loop = [(16, -5, 2), (16, 7, -2), (-16, 7, 2), (-16, -5, -2), (16, -5, 2)]
                lines.append((np.add(loop, (0, front, z)), thin, METAL))
        elif kind == "gastric tube":
            place = ("", "esophagus")
            lines.append((np.array(GULLET), 1.2 * thin, PLASTIC))
        else:
            entry = np.array((SIDES[side] * 62.0, 18.0, 118.0))
            course = [(SIDES[side] * 32.0, 10.0, 104.0), *UPPER_CAVAL_VEIN]
            if kind == "central venous catheter":
                place = (side, "side of the neck")
                entry = np.array((SIDES[side] * 34.0, 6.0, 175.0))
                lines.append((np.array([entry, *course[1:]]), thin, PLASTIC))
            else:
                pocket = np.array((SIDES[side] * 88.0, 0.0, rng.uniform(62, 84)))
                size = (24.0, 5.5, 26.0) if kind == "pacemaker" else (13.0, 7.0, 13.0)
                size = tuple(visible(length, voxel, 1.2) for length in size)
                pocket[1] = _under_skin(body, pocket, 4 + size[1])
                boxes.append((pocket, size))
                way = [pocket, entry, *course]
                if kind == "pacemaker":
                    centre, radii, axes = body.heart
                    way += [centre + (0.7, 0.2, 0.35) * radii @ axes]
                lines.append((np.array(way), thin, METAL if kind == "pacemaker" else PLASTIC))
        return cls(severity=rng.random(), places=(place,), kind=kind, boxes=tuple(boxes), lines=tuple(lines))

    def paint(self, canvas: Canvas, body: Body) -> None:
        for centre, radii in self.boxes:
            canvas.ball(centre, radii, METAL)
        for corners, radius, hu in self.lines:
            for start, end in pairwise(corners):
                canvas.tube(start, end, radius, hu)


def _under_skin(body: Body, at: np.ndarray, depth: float) -> float:
    """The y in front of a place that lies so deep under the skin of the chest."""
    y = np.linspace(0, 160, 321)
    return float(y[np.argmin(np.abs(body.trunk(at[0], y, at[2]) - depth))])


__all__ = ["KINDS", "MedicalMaterial"]
