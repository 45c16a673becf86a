"""What all abnormalities of a synthetic chest have in common: each is drawn once and painted on any grid."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import ClassVar

import numpy as np

from .body import LOBES, SIDES, Body
from .canvas import Canvas

LUNG_LOBES = tuple((side, lobe) for side, lobes in LOBES.items() for lobe in lobes)

FINE_VOXEL = 1.0
"""Millimetres of a voxel that shows everything."""

Place = tuple[str, str]
"""(side, name): ("right", "upper lobe"), ("", "aortic arch")."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Finding:
    """One abnormality of one chest. Subclasses add what their `paint` needs.

    Class attributes:
        label: one of `CT_RATE_LABELS`.
        stage: when it is painted. "body": it changes the body beforehand; "middle": before the heart, which it lies
            around; "behind": after the heart, which it presses upon; "lung": on the lung before its vessels, which
            stay visible; "last": over everything.

    Attributes:
        severity: 0 (subtle) to 1.
        places: where it is, largest first.
        kind: which of its forms.
        size_mm: what a report would measure, in the world's millimetres: a diameter, thickness or depth.
        count: how many there are, where that can be said.
    """

    label: ClassVar[str]
    stage: ClassVar[str] = "last"

    severity: float
    places: tuple[Place, ...]
    kind: str = ""
    size_mm: float | None = None
    count: int = 1

    @property
    def side(self) -> str:
        """ "right", "left", "both", or "" for what lies in the middle."""
        sides = {side for side, _ in self.places} - {""}
        return "both" if len(sides) > 1 else "".join(sides)

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> Finding:
        """A random one, large enough to be seen with voxels of so many millimetres."""
        raise TypeError(f"{cls.__name__} draws nothing")

    def change(self, body: Body) -> Body:
        """The body with the abnormality."""
        return body

    def paint(self, canvas: Canvas, body: Body) -> None:
        """Put it on the canvas."""


def visible(size: float, voxel: float, voxels: float) -> float:
    """A length in mm, enlarged so that it does not fall below so many voxels; those of a millimetre change nothing.

    A label without anything to see would be a wrong label: the coarser the grid, the larger its findings.
    """
    return hypot(size, voxels * max(0.0, voxel - FINE_VOXEL))


def draw_sides(rng: np.random.Generator, both: float) -> tuple[str, ...]:
    """One side or, with the given probability, the two."""
    sides = [*SIDES]
    rng.shuffle(sides)
    return tuple(sides) if rng.random() < both else (sides[0],)


def draw_lobes(rng: np.random.Generator, count: int, among: tuple[Place, ...] = LUNG_LOBES) -> list[Place]:
    """Different lobes (side, lobe) in random order, as many as there are at most."""
    return [among[index] for index in rng.permutation(len(among))[:count]]


def named(lobes: list[Place]) -> tuple[Place, ...]:
    """Lobes as places, each once."""
    return tuple(dict.fromkeys((side, f"{lobe} lobe") for side, lobe in lobes))


def tilted(rng: np.random.Generator, spread: float) -> np.ndarray:
    """Axes (3, 3), one a row, turned from the body's by about so many radians."""
    turned, _ = np.linalg.qr(np.eye(3) + rng.normal(0, spread, (3, 3)))
    return turned


__all__ = ["LUNG_LOBES", "Finding", "Place", "draw_lobes", "draw_sides", "named", "tilted", "visible"]
