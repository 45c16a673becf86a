"""The canvas on which a synthetic chest is painted: a slab of voxels that knows where it lies in the body.

All shapes are given in millimetres of the body (x to the patient's right, y to the front, z to the head), so the same
chest can be painted on any grid. A shape is a depth: millimetres below its surface, positive inside. Over about one
voxel around the surface a shape fades, which gives partial volumes; what is smaller than a voxel keeps its mass and
loses contrast, as it does in a scanner. Everything is evaluated in the box where it lies, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np

Point = Sequence[float]
_AROUND_LUNG = np.float32(30)


@dataclass(frozen=True, eq=False)
class Waves:
    """A smooth random field, the sum of plane waves: about normal with mean 0 and spread 1 in every point.

    Attributes:
        vectors: (n, 3), radians per millimetre along (x, y, z).
        phases: (n,), radians.
    """

    vectors: np.ndarray
    phases: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator, wavelength: float, count: int = 10) -> Waves:
        """Waves in random directions, of about the given length in millimetres."""
        directions = rng.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = wavelength * rng.uniform(0.75, 1.3, (count, 1))
        return cls(2 * np.pi * directions / lengths, rng.uniform(0, 2 * np.pi, count))


@dataclass(eq=False)
class Canvas:
    """A box of voxels.

    Attributes:
        hu: float32 (d, h, w), painted so far; slices from the feet to the head, rows from the front to the back,
            columns from the patient's right to the left.
        lung: float32 (d, h, w), the share of each voxel that is lung. Whatever is painted over the lung takes it away.
        x, y: float32 (h, w), z: float32 (d, 1, 1): millimetres in the body.
        pixels: x and y to (row, column): row = pixels[0] @ (x, y, 1), column = pixels[1] @ (x, y, 1).
        edge: millimetres over which a surface fades.
        voxel: millimetres, the length of a cube as large as a voxel.
    """

    hu: np.ndarray
    lung: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray
    pixels: tuple[tuple[float, float, float], tuple[float, float, float]]
    edge: float
    voxel: float

    def part(self, low: Point, high: Point) -> Canvas | None:
        """The voxels within two corners (x, y, z) in millimetres and an edge around them; None where there are none."""
        margin = self.edge
        first, step = float(self.z[0, 0, 0]), self._slice_step
        ends = (low[2] - margin - first) / step, (high[2] + margin - first) / step
        box = [_inside(min(ends), max(ends), len(self.z))]
        for (to_x, to_y, offset), length in zip(self.pixels, self.x.shape, strict=True):
            across = to_x * (low[0] - margin), to_x * (high[0] + margin)
            along = to_y * (low[1] - margin), to_y * (high[1] + margin)
            box.append(_inside(min(across) + min(along) + offset, max(across) + max(along) + offset, length))
        if any(cut.start >= cut.stop for cut in box):
            return None
        voxels, plane = tuple(box), (box[1], box[2])
        pixels = tuple((a, b, c - cut.start) for (a, b, c), cut in zip(self.pixels, plane, strict=True))
        return Canvas(
            self.hu[voxels], self.lung[voxels], self.x[plane], self.y[plane], self.z[box[0]], pixels, self.edge,
            self.voxel,
        )  # fmt: skip

    @property
    def _slice_step(self) -> float:
        return float(self.z[1, 0, 0] - self.z[0, 0, 0]) if len(self.z) > 1 else self.voxel

    def cover(self, depth: np.ndarray) -> np.ndarray:
        """The share of each voxel that lies inside a surface, from the depth below it."""
        return unit_range(depth * np.float32(1 / self.edge) + np.float32(0.5))

    def paint(self, depth: np.ndarray, hu: float | np.ndarray, opacity: float = 1.0) -> None:
        """Cover what lies inside a surface, lung included."""
        cover = self.cover(depth)
        if opacity != 1:
            cover *= np.float32(opacity)
        self.hu += cover * (np.float32(hu) - self.hu)
        self.lung *= 1 - cover

    def fill(self, depth: np.ndarray, hu: float | np.ndarray, opacity: float = 1.0) -> None:
        """Replace the lung inside a surface, and nothing but lung; it stays lung, under whatever comes later."""
        cover = self.cover(depth) * np.minimum(3 * self.lung, 1)
        if opacity != 1:
            cover *= np.float32(opacity)
        # Voxels at the lung's border keep their share of what is around it.
        self.hu += cover * (_AROUND_LUNG + self.lung * (np.float32(hu) - _AROUND_LUNG) - self.hu)

    def add(self, amount: np.ndarray) -> None:
        """Make the lung denser by so many HU, or less dense."""
        self.hu += amount * self.lung

    def field(self, waves: Waves) -> np.ndarray:
        """A smooth random field on the canvas, float32 (d, h, w)."""
        vectors, phases = np.float32(waves.vectors), np.float32(waves.phases)
        plane = np.multiply.outer(vectors[:, 0], self.x) + np.multiply.outer(vectors[:, 1], self.y)
        plane = (plane + phases[:, None, None]).reshape(len(phases), -1)
        height = self.z[:, 0] * vectors[:, 2]
        # cos(a + b) as a matrix product: the plane and the slices each need their own angles only
        across = np.concatenate([np.cos(plane), np.sin(plane)])
        along = np.concatenate([np.cos(height), -np.sin(height)], axis=1) * np.float32(np.sqrt(2 / len(phases)))
        return (along @ across).reshape(self.hu.shape)

    def ball(self, centre: Point, radii: float | Point, hu: float, *, within_lung: bool = False) -> None:
        """Paint an ellipsoid along the body's axes, or fill the lung with it."""
        radii = np.broadcast_to(np.float64(radii), 3).tolist()
        soft = [max(radius, 0.6 * self.edge) for radius in radii]
        share = prod(radii) / prod(soft)
        part = self.part([c - r for c, r in zip(centre, soft, strict=True)], np.add(centre, soft).tolist())
        if part:
            (part.fill if within_lung else part.paint)(part.ellipsoid(centre, soft), hu, share)

    def ellipsoid(self, centre: Point, radii: Point, axes: np.ndarray | None = None) -> np.ndarray:
        """Depth below an ellipsoid; exact where it is thin, and too small where it is long.

        Args:
            axes: (3, 3), one direction of a radius a row; default: those of the body.
        """
        x, y, z = self.x - np.float32(centre[0]), self.y - np.float32(centre[1]), self.z - np.float32(centre[2])
        if axes is None:
            flat = (x * np.float32(1 / radii[0])) ** 2 + (y * np.float32(1 / radii[1])) ** 2
            squares = flat + (z * np.float32(1 / radii[2])) ** 2
        else:
            squares = 0.0
            for axis, radius in zip(np.float32(axes), radii, strict=True):
                along = ((x * axis[0] + y * axis[1]) + z * axis[2]) * np.float32(1 / radius)
                squares = squares + along * along
        return (1 - np.sqrt(squares)) * np.float32(min(radii))

    def tube(self, start: Point, end: Point, radius: float, hu: float, *, within_lung: bool = False) -> None:
        """Paint a straight tube with round ends, or fill the lung with it."""
        soft = max(radius, 0.6 * self.edge)
        low = [min(a, b) - soft for a, b in zip(start, end, strict=True)]
        high = [max(a, b) + soft for a, b in zip(start, end, strict=True)]
        part = self.part(low, high)
        if part:
            depth = soft - part.distance(start, end)
            (part.fill if within_lung else part.paint)(depth, hu, (radius / soft) ** 2)

    def distance(self, start: Point, end: Point) -> np.ndarray:
        """Millimetres to a straight piece of line."""
        (a, b, c), (u, v, w) = start, (float(e) - float(s) for s, e in zip(start, end, strict=True))
        length = max(u * u + v * v + w * w, 1e-6)
        x, y, z = self.x - np.float32(a), self.y - np.float32(b), self.z - np.float32(c)
        along = x * np.float32(u) + y * np.float32(v) + z * np.float32(w)
        share = unit_range(along * np.float32(1 / length))
        squares = (x * x + y * y) + z * z - share * (2 * along - share * np.float32(length))
        return np.sqrt(np.maximum(squares, 0))


def _inside(start: float, stop: float, length: int) -> slice:
    """The voxels of an axis whose centres lie between two places."""
    return slice(max(0, ceil(start)), max(0, min(length, ceil(stop))))


def unit_range(values: np.ndarray) -> np.ndarray:
    """Values cut to 0 ... 1; quicker than np.clip on the small boxes of which a chest has hundreds."""
    return np.minimum(np.maximum(values, 0), 1)


__all__ = ["Canvas", "Waves", "unit_range"]
