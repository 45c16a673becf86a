"""A healthy chest, painted from the outside to the inside: each function covers what the one before has left."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .body import HORIZONTAL_FISSURE, SIDES, TOP_OF_CHEST, Body
from .canvas import Canvas, Waves
from .paths import (
    AORTA,
    CORONARIES,
    GULLET,
    LEFT_LUNG_ARTERY,
    LOWER_CAVAL_VEIN,
    LUNG_ARTERY,
    NECK_VESSELS,
    RIGHT_LUNG_ARTERY,
    UPPER_CAVAL_VEIN,
    coronary,
)
from .trees import CENTRAL_AIRWAYS, lobar_trees, vessel_trees

AIR, FAT, MUSCLE = -1000.0, -100.0, 52.0
FINE_MM = 2.5
"""Voxels from this size on show no pericardium, no fissure and no texture of the lung."""

_VERTEBRA, _DISC, _RIB_PITCH = 25.0, 6.0, 27.0


def paint_wall(canvas: Canvas, body: Body) -> None:
    """Skin, fat and muscle, with shoulders and breasts; everything inside is muscle for now."""
    trunk = body.trunk(canvas.x, canvas.y, canvas.z)
    skin = trunk.copy()
    for sign in SIDES.values():
        shoulder = canvas.ellipsoid((sign * 122, -26, 128), (72, 52, 50))
        np.maximum(trunk, shoulder, out=trunk)
        np.maximum(skin, shoulder, out=skin)
        if body.woman:
            front = body.chest[1] + body.fat
            np.maximum(skin, canvas.ellipsoid((sign * 72, front - 8, 12), (60, 42, 62)), out=skin)
    # Nested layers: each adds its difference to the one around it.
    layers = ((skin, AIR, 20.0), (skin - 2, 20.0, FAT), (trunk - 2 - body.fat, FAT, MUSCLE))
    canvas.hu[:] = AIR
    for depth, outside, inside in layers:
        canvas.hu += canvas.cover(depth) * np.float32(inside - outside)
    if body.woman:
        for sign in SIDES.values():
            canvas.ball((sign * 74, body.chest[1] + body.fat + 6, 8), (30, 14, 34), 10.0)


def paint_lungs(canvas: Canvas, body: Body) -> None:
    """The inside of the ribs: fat, and in it the lungs, which are denser at the back, where blood sinks."""
    cavity = body.cavity(canvas.x, canvas.y, canvas.z)
    canvas.hu += canvas.cover(cavity) * (FAT - canvas.hu)
    lung = canvas.cover(np.minimum(cavity, canvas.z - body.diaphragm(canvas.x, canvas.y)))
    air = np.float32(body.lung_hu) - np.float32(body.lung_slope) * canvas.y
    if canvas.voxel < FINE_MM:
        air = air + 16 * canvas.field(Waves.draw(np.random.default_rng((body.seed, 3)), 9.0))
    canvas.hu += lung * (air - canvas.hu)
    canvas.lung[:] = lung


def paint_belly(canvas: Canvas, body: Body) -> None:
    """Liver, spleen and stomach under the diaphragm."""
    part = canvas.part((-140, -100, -200), (140, 100, max(body.domes)))
    if not part:
        return
    blood = 0.35 * (body.blood_hu - 42)
    below = np.minimum(part.edge / 2 + body.diaphragm(part.x, part.y) - part.z, body.cavity(part.x, part.y, part.z) - 2)
    liver = np.maximum(part.ellipsoid((62, 2, -140), (82, 84, 92)), part.ellipsoid((-8, 38, -128), (72, 46, 40)))
    part.paint(np.minimum(liver, below), 58 + blood)
    part.paint(np.minimum(part.ellipsoid((-92, -36, -128), (42, 44, 48)), below), 50 + 1.4 * blood)
    stomach = np.minimum(part.ellipsoid((-62, 26, -128), (48, 40, 46)), below - 1)
    part.paint(stomach, 40.0)
    part.paint(stomach - 4, np.where(part.y > 28, np.float32(AIR + 20), np.float32(25.0)))
    if "hepatic cyst" in body.incidentals:
        part.ball((82, 10, -112), 13, 4.0)


def paint_mediastinum(canvas: Canvas, body: Body) -> None:
    """The fat between the lungs."""
    depth = body.mediastinum(canvas.x, canvas.y, canvas.z)
    canvas.paint(np.minimum(depth, body.cavity(canvas.x, canvas.y, canvas.z) + 2), FAT + 15)


def paint_heart(canvas: Canvas, body: Body) -> None:
    """Muscle, chambers, the sac around and the coronary arteries in the fat between."""
    centre, radii, axes = body.heart
    reach = radii.max() + 8
    part = canvas.part(centre - reach, centre + reach)
    if not part:
        return
    depth = part.ellipsoid(centre, radii, axes)
    if canvas.voxel < FINE_MM:
        part.paint(0.6 * part.edge - np.abs(depth + 5), 25.0, min(1.0, 0.8 / part.edge))  # the sac
    part.paint(np.minimum(depth, body.cavity(part.x, part.y, part.z)), MUSCLE)
    long_axis, across, down = axes
    for place, size in (
        (0.12 * long_axis - 0.28 * across + 0.05 * down, (0.62, 0.42, 0.44)),  # left and right chamber
        (0.08 * long_axis + 0.42 * across + 0.1 * down, (0.6, 0.38, 0.52)),
        (-0.6 * long_axis - 0.25 * across - 0.2 * down, (0.32, 0.52, 0.5)),  # left and right atrium
        (-0.55 * long_axis + 0.45 * across + 0.15 * down, (0.32, 0.42, 0.6)),
    ):
        part.paint(part.ellipsoid(centre + place * radii.mean(), radii * size, axes), body.blood_hu)
    for name in CORONARIES:
        _paint_path(canvas, coronary(body, name), 1.8, body.blood_hu)


def paint_great_vessels(canvas: Canvas, body: Body) -> None:
    """Gullet, aorta, lung arteries, caval veins and what goes to the neck."""
    blood = body.blood_hu
    _paint_path(canvas, GULLET, 6.5, 38.0)
    for path, radius in NECK_VESSELS:
        _paint_path(canvas, path, radius, blood)
    for path, radius in (
        (UPPER_CAVAL_VEIN, 9.0), (LOWER_CAVAL_VEIN, 11.0), (LUNG_ARTERY, 13.0), (RIGHT_LUNG_ARTERY, 10.0),
        (LEFT_LUNG_ARTERY, 10.5), (AORTA, body.aorta_radius),
    ):  # fmt: skip
        _paint_path(canvas, path, radius, blood)
    for sign in SIDES.values():
        canvas.ball((sign * 17, 6, 134), (9, 8, 20), 105.0)  # thyroid
    if "thyroid nodule" in body.incidentals:
        canvas.ball((20, 8, 130), 9, 15.0)


def paint_trees(canvas: Canvas, body: Body) -> None:
    """Windpipe, bronchi with their walls, vessels of the lungs, and the fissures between the lobes."""
    for tube in vessel_trees(body, ends=int(np.clip(400 / canvas.voxel**2, 6, 350))):
        canvas.tube(tube.start, tube.end, tube.radius, body.blood_hu, within_lung=True)
    trees = lobar_trees(body, ends=int(np.clip(12 / canvas.voxel, 2, 12))).values()
    # What is thinner than a third of a voxel leaves no trace.
    branches = [tube for tree in trees for tube in tree[1:] if 3 * tube.radius > canvas.voxel]
    for wall, hu in ((1, 30.0), (0, AIR)):
        for start, end, radius in branches:
            canvas.tube(start, end, radius * (1 + 0.25 * wall), hu, within_lung=True)
        for start, end, radius in CENTRAL_AIRWAYS:
            canvas.tube(start, end, radius + 1.6 * wall, hu)
        for (start, end, radius), *_ in trees:
            part = canvas.part(np.minimum(start, end) - 6, np.maximum(start, end) + 6)
            if part:  # beside the heart, however large it is
                beside = -2 - body.heart_depth(part.x, part.y, part.z)
                part.paint(np.minimum(radius + 1.2 * wall - part.distance(start, end), beside), hu)
    if canvas.voxel < FINE_MM:
        _paint_fissures(canvas, body)


def _paint_fissures(canvas: Canvas, body: Body) -> None:
    oblique = body.fissure(canvas.x, canvas.y, canvas.z)
    canvas.fill(0.5 * canvas.edge - np.abs(oblique), -550.0, min(1.0, 1.2 / canvas.edge))
    horizontal = np.where((oblique > 0) & (canvas.x > 0), np.abs(canvas.z - HORIZONTAL_FISSURE), np.float32(99))
    canvas.fill(0.5 * canvas.edge - horizontal, -550.0, min(1.0, 1.2 / canvas.edge))


def paint_bones(canvas: Canvas, body: Body) -> None:
    """Ribs that slope downwards to the front, breastbone, collar bones, shoulder blades and the spine."""
    _paint_ribs(canvas, body)
    for sign in SIDES.values():
        turned = np.array(((0.86, sign * 0.5, 0.0), (-sign * 0.5, 0.86, 0.12), (0.0, -0.12, 0.99)))
        blade = canvas.part((sign * 106 - 60, -130, 10), (sign * 106 + 60, -30, 140))
        if blade:
            blade.paint(blade.ellipsoid((sign * 104, -84, 75), (36, 4.5, 52), turned), 420.0)
        canvas.ball((sign * 148, -20, 134), 21, 330.0)
        _paint_path(canvas, ((sign * 16, 46, 112), (sign * 60, 44, 124), (sign * 130, -4, 142)), 6.0, 480.0)
        _paint_path(canvas, ((sign * 20, 46, 112), (sign * 60, 44, 124), (sign * 126, -4, 142)), 3.5, 180.0)
    _paint_spine(canvas, body)


def _paint_ribs(canvas: Canvas, body: Body) -> None:
    part = canvas.part((-180, -140, -150), (180, 130, TOP_OF_CHEST - 5))
    if not part:
        return
    x, y, z = part.x, part.y, part.z
    cavity = body.cavity(x, y, z)
    pitches = (z + np.float32(0.5) * y) * np.float32(1 / _RIB_PITCH)
    from_middle = np.abs(pitches - np.floor(pitches) - 0.5) * np.float32(_RIB_PITCH)
    thickness = np.where(
        np.abs(x) < 16, np.float32(-99), np.float32(4.5)
    )  # the breastbone and the spine have their own
    rib = np.minimum(thickness - np.abs(cavity + 6.5), 6.0 - from_middle)
    cartilage = (y > 52) & (np.abs(x) < 80)
    bone = np.where(cartilage, np.float32(110), np.float32(620))
    part.paint(rib, bone)
    part.paint(rib - 2.2, np.where(cartilage, np.float32(90), np.float32(190)))
    front = -2 + body.chest[1] * body.cavity_size(z) + 8
    sternum = np.minimum(1 - np.abs(x) / (17 + 0.03 * z), 1 - np.abs(y - front) / 6.5) * 6.5
    sternum = np.where((z > -48) & (z < 98), sternum, -99)
    part.paint(sternum, 330.0)
    part.paint(sternum - 2, 140.0)


def _paint_spine(canvas: Canvas, body: Body) -> None:
    part = canvas.part((-48, -150, -400), (48, -40, 400))
    if not part:
        return
    x, y, z = part.x, part.y - body.spine_y(part.z), part.z
    height = z % _VERTEBRA
    disc = height > _VERTEBRA - _DISC
    canal = np.sqrt(x * x + (y + 28) ** 2)
    arch = np.where((height > 4) & (height < 17), 16 - canal, -99)
    slanted = (z - np.float32(0.6) * y) % _VERTEBRA
    under_skin = body.trunk(part.x, part.y, part.z) - 6
    spinous = np.where(slanted < 11, np.minimum(3.5 - np.abs(x), np.minimum(16 - np.abs(y + 50), under_skin)), -99)
    transverse = np.where((height > 6) & (height < 15), np.minimum(34 - np.abs(x), 5 - np.abs(y + 30)), -99)
    part.paint(np.maximum(np.maximum(arch, spinous), transverse), 430.0)
    part.paint(10 - canal, 20.0)
    vertebra = (1 - np.sqrt((x / 20.5) ** 2 + (y / 17.5) ** 2)) * 17.5
    part.paint(np.where(disc, vertebra - 1, vertebra), np.where(disc, np.float32(85), np.float32(480)))
    part.paint(vertebra - 2.5, np.where(disc, np.float32(85), np.float32(185)))
    if "vertebral osteophytes" in body.incidentals:
        for level in (-50.0, -25.0, 25.0):
            for sign in SIDES.values():
                canvas.ball((sign * 19, body.spine_y(level) + 9, level - 3), (6, 6, 5), 650.0)


def paint_table(canvas: Canvas, body: Body) -> None:
    """The curved top of the table that the patient lies on."""
    back = -12 - (body.chest[1] + 20 + body.muscle + body.fat) - 4
    top = canvas.y - np.float32(back) - (canvas.x / 62) ** 2
    for shift, hu in ((0.0, -350.0), (14.0, -350.0)):
        sheet = canvas.cover(2.0 - np.abs(top + np.float32(shift)))
        canvas.hu += sheet * (hu - canvas.hu)


def _paint_path(canvas: Canvas, corners, radius: float, hu: float) -> None:
    for start, end in pairwise(corners):
        canvas.tube(start, end, radius, hu)


__all__ = ["AIR", "FAT", "FINE_MM", "MUSCLE", "paint_belly", "paint_bones", "paint_great_vessels",
           "paint_heart", "paint_lungs", "paint_mediastinum", "paint_table", "paint_trees", "paint_wall"]  # fmt: skip
