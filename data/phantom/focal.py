"""Findings in a part of the lung: nodule, ground glass, consolidation, atelectasis, scars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .anatomy import FINE_MM
from .body import SIDES, Body
from .canvas import Canvas, Waves
from .finding import LUNG_LOBES, Finding, Place, draw_lobes, draw_sides, named, tilted, visible

LOW_LOBES: tuple[Place, ...] = (("right", "middle"), ("right", "lower"), ("left", "upper"), ("left", "lower"))


@dataclass(frozen=True, eq=False, kw_only=True)
class LungNodule(Finding):
    """One to four round nodules: solid, calcified, or solid in a halo of ground glass."""

    label = "Lung nodule"

    centres: tuple[np.ndarray, ...]
    radii: tuple[float, ...]
    hu: float
    bumps: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> LungNodule:
        severity = rng.random()
        kind = str(rng.choice(["solid", "solid", "solid", "calcified", "calcified", "part-solid"]))
        lobes = [LUNG_LOBES[rng.integers(len(LUNG_LOBES))] for _ in range(rng.choice([1, 1, 2, 2, 3, 3, 4]))]
        largest = 3.0 + 10.5 * severity**1.5
        radii = [visible(largest * (1 if index == 0 else rng.uniform(0.5, 0.95)), voxel, 4.0) for index in
                 range(len(lobes))]  # fmt: skip
        return cls(
            severity=severity,
            places=named(lobes),
            kind=kind,
            size_mm=2 * body.millimetres(radii[0]),
            count=len(lobes),
            centres=tuple(
                body.place_in_lung(rng, *lobe, depth=(0.5 * radius, 60))
                for lobe, radius in zip(lobes, radii, strict=True)
            ),
            radii=tuple(radii),
            hu=rng.uniform(250, 500) if kind == "calcified" else rng.uniform(10, 60),
            bumps=Waves.draw(rng, 2.2 * radii[0]),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        for centre, radius in zip(self.centres, self.radii, strict=True):
            part = canvas.part(centre - 1.4 * radius, centre + 1.4 * radius)
            if part:
                depth = part.ellipsoid(centre, (radius, radius, radius)) + 0.08 * radius * part.field(self.bumps)
                if self.kind == "part-solid":
                    part.fill(depth, -560.0)
                    depth = depth - 0.3 * radius
                part.fill(depth, self.hu)


@dataclass(frozen=True, eq=False, kw_only=True)
class Patches(Finding):
    """Irregular patches of denser lung; the ground for opacity and consolidation.

    Attributes:
        centres, radii: of each patch.
        hu: inside.
        edge: how ragged they are, as a share of the radius.
        holes: waves that fray them.
    """

    lobes: tuple[Place, ...]
    centres: tuple[np.ndarray, ...]
    radii: tuple[float, ...]
    hu: float
    edge: float
    holes: Waves

    def depths(self, canvas: Canvas):
        """(part of the canvas, depth inside of the patch, its lobe) for each patch on it."""
        for centre, radius, lobe in zip(self.centres, self.radii, self.lobes, strict=True):
            reach = (1 + 1.6 * self.edge) * radius
            part = canvas.part(centre - reach, centre + reach)
            if part:
                ball = part.ellipsoid(centre, (radius, radius, 0.9 * radius))
                yield part, ball + self.edge * radius * part.field(self.holes), lobe


class LungOpacity(Patches):
    """Ground glass: hazy patches, mostly under the pleura, in which the vessels stay visible."""

    label = "Lung opacity"
    stage = "lung"

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> LungOpacity:
        severity = rng.random()
        lobes = draw_lobes(rng, int(rng.integers(1, 4 + round(2 * severity))))
        radii = [visible(rng.uniform(11, 18 + 20 * severity), voxel, 5.2) for _ in lobes]
        return cls(
            severity=severity,
            places=named(lobes),
            size_mm=2 * body.millimetres(max(radii)),
            count=len(lobes),
            lobes=tuple(lobes),
            centres=tuple(body.place_in_lung(rng, *lobe, depth=(4, 28)) for lobe in lobes),
            radii=tuple(radii),
            hu=rng.uniform(-620, -420),
            edge=0.35,
            holes=Waves.draw(rng, 1.9 * radii[0]),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        for part, depth, _ in self.depths(canvas):
            part.fill(depth * 0.3, self.hu)  # a border as hazy as the patch


class Consolidation(Patches):
    """Airless lung with open bronchi in it: a patch, or much of a lobe up to the fissure."""

    label = "Consolidation"

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> Consolidation:
        severity = rng.random()
        kind = "lobar" if rng.random() < 0.25 + 0.3 * severity else "patchy"
        lobes = draw_lobes(rng, 1 if kind == "lobar" else int(rng.integers(1, 3)))
        low, high = (36, 58) if kind == "lobar" else (14, 20 + 14 * severity)
        radii = [visible(rng.uniform(low, high), voxel, 5.2) for _ in lobes]
        return cls(
            severity=severity,
            places=named(lobes),
            kind=kind,
            size_mm=2 * body.millimetres(max(radii)),
            count=len(lobes),
            lobes=tuple(lobes),
            centres=tuple(body.place_in_lung(rng, *lobe, depth=(8, 30)) for lobe in lobes),
            radii=tuple(radii),
            hu=rng.uniform(20, 60),
            edge=0.2,
            holes=Waves.draw(rng, 1.1 * radii[0]),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        for part, depth, lobe in self.depths(canvas):
            if self.kind == "lobar":
                depth = np.minimum(depth, body.lobe(*lobe, part.x, part.y, part.z))
            part.fill(0.6 * depth, self.hu)
        for centre, radius in zip(self.centres, self.radii, strict=True):
            if canvas.voxel < FINE_MM:  # air bronchograms, towards the hilum
                hilum = np.array((np.sign(centre[0]) * 42.0, -18.0, 10.0))
                inwards = (hilum - centre) / np.linalg.norm(hilum - centre)
                fork = centre + 0.3 * radius * inwards
                canvas.tube(fork, centre + 0.8 * radius * inwards, 2.0, -880.0, within_lung=True)
                for turn in ((0.3, 0.5, -0.4), (0.1, -0.6, 0.2), (-0.4, 0.2, 0.5)):
                    outwards = np.array(turn) - 0.6 * inwards
                    canvas.tube(fork, fork + 0.75 * radius * outwards, 1.4, -820.0, within_lung=True)


@dataclass(frozen=True, eq=False, kw_only=True)
class Atelectasis(Finding):
    """Collapsed lung: flat bands above the diaphragm, or a wedge beside the spine where the patient lies on it."""

    label = "Atelectasis"

    centres: tuple[np.ndarray, ...]
    radii: tuple[tuple[float, float, float], ...]
    axes: tuple[np.ndarray, ...]
    ragged: Waves
    hu: float

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> Atelectasis:
        severity = rng.random()
        dependent = rng.random() < 0.35
        if dependent:
            lobes = [(side, "lower") for side in draw_sides(rng, both=0.5)]
            centres = [np.array((SIDES[side] * rng.uniform(44, 56), -84.0, rng.uniform(-95, -60))) for side, _ in lobes]
            thickness = visible(9 + 16 * severity, voxel, 3.6)
            radii = [(rng.uniform(34, 46), thickness, rng.uniform(40, 56)) for _ in lobes]
        else:
            lobes = draw_lobes(rng, int(rng.integers(1, 4 + round(severity))), LOW_LOBES)
            centres = [body.place_in_lung(rng, *lobe, depth=(12, 45), high=-12) for lobe in lobes]
            thickness = visible(1.5 + 3 * severity, voxel, 1.7)
            radii = [
                (visible(rng.uniform(32, 52), voxel, 6), visible(rng.uniform(20, 34), voxel, 4), thickness)
                for _ in lobes
            ]
        return cls(
            severity=severity,
            places=named(lobes),
            kind="dependent" if dependent else "linear",
            size_mm=body.millimetres(2 * thickness),
            count=len(lobes),
            centres=tuple(centres),
            radii=tuple(radii),
            axes=tuple(tilted(rng, 0.12) for _ in lobes),
            ragged=Waves.draw(rng, visible(20, voxel, 4)),
            hu=rng.uniform(25, 65),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        for centre, radii, axes in zip(self.centres, self.radii, self.axes, strict=True):
            reach = max(radii)
            part = canvas.part(centre - reach, centre + reach)
            if part:
                depth = part.ellipsoid(centre, radii, axes) + 0.12 * min(radii) * part.field(self.ragged)
                part.fill(depth, self.hu)


@dataclass(frozen=True, eq=False, kw_only=True)
class FibroticSequela(Finding):
    """Scars: strands from the pleura inwards with a thickened pleura above them, mostly at the top of a lung."""

    label = "Pulmonary fibrotic sequela"

    strands: tuple[tuple[np.ndarray, np.ndarray, float], ...]
    caps: tuple[tuple[np.ndarray, float, float], ...]
    ragged: Waves

    @classmethod
    def draw(cls, rng: np.random.Generator, body: Body, voxel: float) -> FibroticSequela:
        severity = rng.random()
        kind = "basal" if rng.random() < 0.2 else "apical"
        sides = draw_sides(rng, both=0.45)
        strands, caps = [], []
        for side in sides:
            lobe, low, high = ("upper", 50, 105) if kind == "apical" else ("lower", -70, -30)
            for _ in range(3 + round(3 * severity)):
                start = body.place_in_lung(rng, side, lobe, (0, 7), low, high)
                middle = np.array((SIDES[side] * 45.0, -15.0, 0.55 * start[2]))
                end = start + rng.uniform(0.45, 0.8) * (middle - start) + rng.normal(0, 7, 3)
                strands.append((start, end, visible(rng.uniform(0.8, 1.2 + severity), voxel, 1.1)))
            # A point of the pleura: straight up from the middle of the lung, or down and outwards.
            centre = (SIDES[side] * 45.0, -10.0, 112.0) if kind == "apical" else (SIDES[side] * 105.0, -50.0, -75.0)
            reach, thickness = rng.uniform(36, 52), visible(1.5 + 5 * severity, voxel, 2.4)
            caps.append((np.array(centre), reach, thickness))
        return cls(
            severity=severity,
            places=named([(side, "upper" if kind == "apical" else "lower") for side in sides]),
            kind=kind,
            count=len(strands),
            strands=tuple(strands),
            caps=tuple(caps),
            ragged=Waves.draw(rng, visible(14, voxel, 5)),
        )

    def paint(self, canvas: Canvas, body: Body) -> None:
        for start, end, radius in self.strands:
            canvas.tube(start, end, radius, 10.0, within_lung=True)
        for centre, reach, thickness in self.caps:
            part = canvas.part(centre - reach, centre + reach)
            if part:
                near = reach - part.distance(centre, centre)
                wall = thickness * (1 + 0.5 * part.field(self.ragged)) - body.cavity(part.x, part.y, part.z)
                part.fill(np.minimum(near, wall), 15.0)


__all__ = ["Atelectasis", "Consolidation", "FibroticSequela", "LungNodule", "LungOpacity", "Patches"]
