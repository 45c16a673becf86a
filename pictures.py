"""Pictures of a volume for people: axial, coronal and sagittal planes as a radiologist expects them.

All arrays are canonical volumes (D, H, W): slices from the feet to the head, rows from front to back, columns from the
patient's right to the left. On every picture the head or the front is up, the patient's right is at the left of axial
and coronal planes, and sagittal planes look from the left side, the front at the left. Letters at the edges say so
(R, L, A, P, S, I), pixels are square in millimetres, and a bar shows 50 mm. No name and no date is drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WINDOWS = {"lung": (-600, 1500), "mediastinum": (40, 400), "bone": (400, 1800)}
"""Centre and width in HU: what lies outside is black or white."""

PANEL_PIXELS = 448
"""Length on the picture of the volume's longest side."""

SCALE_BAR_MM = 50
FOR_COLOR, AGAINST_COLOR, TEXT_COLOR = (255, 140, 0), (60, 130, 255), (255, 255, 0)
_MARGIN, _CAPTION_HEIGHT = 6, 26


@dataclass(frozen=True)
class View:
    """One of the three directions of looking.

    Attributes:
        name: "axial", "coronal" or "sagittal".
        axis: of (D, H, W), the one that is looked along.
        letters: the patient's side at the top, bottom, left and right of the picture.
    """

    name: str
    axis: int
    letters: str

    def plane(self, volume: np.ndarray, index: int) -> np.ndarray:
        """One plane of a volume (D, H, W) as it is looked at: rows downwards, columns to the right."""
        plane = np.take(volume, index, axis=self.axis)
        return plane if self.axis == 0 else plane[::-1]  # else the rows are slices, and the head belongs up

    def extent(self, lengths: Sequence[float]) -> tuple[float, float]:
        """(width, height) of the plane, from lengths along (D, H, W)."""
        height, width = (length for axis, length in enumerate(lengths) if axis != self.axis)
        return width, height


VIEWS = (View("axial", 0, "APRL"), View("coronal", 1, "SIRL"), View("sagittal", 2, "SIAP"))


def gray_levels(hu: np.ndarray, window: str) -> np.ndarray:
    """HU as uint8 gray levels, through one of `WINDOWS`.

    >>> gray_levels(np.array([-1350, -600, 150]), "lung").tolist()
    [0, 128, 255]
    """
    centre, width = WINDOWS[window]
    shares = (hu.astype(np.float32) - (centre - width / 2)) / width
    return np.rint(np.clip(shares, 0, 1) * 255).astype(np.uint8)


def plane_picture(
    hu: np.ndarray, spacing: Sequence[float], view: View, index: int, window: str, relevance: np.ndarray | None = None
) -> Image.Image:
    """One plane with letters and a scale bar.

    Args:
        hu: (D, H, W) in HU.
        spacing: millimetres along (D, H, W).
        index: along `view.axis`.
        window: one of `WINDOWS`.
        relevance: (d, h, w), a coarser grid over the same box, laid over the plane: orange above 0, blue below, the
            strongest cell of the volume in full colour.
    """
    extents = np.multiply(hu.shape, spacing)
    pixels_per_mm = PANEL_PIXELS / max(extents)
    width, height = (max(1, round(length * pixels_per_mm)) for length in view.extent(extents))
    gray = Image.fromarray(gray_levels(view.plane(hu, index), window))
    picture = gray.resize((width, height), Image.Resampling.BILINEAR).convert("RGB")
    if relevance is not None:
        cell = index * relevance.shape[view.axis] // hu.shape[view.axis]
        picture = _colored(picture, view.plane(relevance, cell), float(np.abs(relevance).max()))
    _draw_letters(picture, view.letters)
    _draw_scale_bar(picture, pixels_per_mm)
    return picture


def three_planes(
    hu: np.ndarray,
    spacing: Sequence[float],
    windows: Sequence[str] = ("lung", "mediastinum"),
    position: Sequence[int] | None = None,
    relevance: np.ndarray | None = None,
    caption: str = "",
) -> Image.Image:
    """Axial, coronal and sagittal planes side by side, one row a window.

    Args:
        hu: (D, H, W) in HU.
        spacing: millimetres along (D, H, W).
        position: the voxel (d, h, w) that all planes go through; default: the middle.
        relevance: see `plane_picture`.
        caption: a line below.
    """
    position = [length // 2 for length in hu.shape] if position is None else position
    rows = [
        [plane_picture(hu, spacing, view, position[view.axis], window, relevance) for view in VIEWS]
        for window in windows
    ]
    widths, height = [panel.width for panel in rows[0]], max(panel.height for panel in rows[0])
    row_height = height + _CAPTION_HEIGHT
    size = sum(widths) + _MARGIN * (len(widths) + 1), row_height * len(rows) + (_CAPTION_HEIGHT if caption else 0)
    sheet = Image.new("RGB", size)
    draw = ImageDraw.Draw(sheet)
    for row, (window, panels) in enumerate(zip(windows, rows, strict=True)):
        left, top = _MARGIN, row * row_height
        for view, panel in zip(VIEWS, panels, strict=True):
            draw.text((left, top + 5), f"{view.name}, {window} window", fill="white", font=_font(14))
            sheet.paste(panel, (left, top + _CAPTION_HEIGHT))
            left += panel.width + _MARGIN
    draw.text((_MARGIN, size[1] - _CAPTION_HEIGHT + 4), caption, fill="white", font=_font(14))
    return sheet


def _colored(picture: Image.Image, plane: np.ndarray, strongest: float) -> Image.Image:
    """Lay a plane of relevance over a picture; its cells keep their edges, for they are all the map resolves."""
    shares = np.abs(plane) / strongest if strongest > 0 else np.zeros(plane.shape)
    opacity = Image.fromarray(np.rint(shares * 160).astype(np.uint8)).resize(picture.size, Image.Resampling.NEAREST)
    colors = np.where((plane > 0)[..., None], FOR_COLOR, AGAINST_COLOR).astype(np.uint8)
    return Image.composite(Image.fromarray(colors).resize(picture.size, Image.Resampling.NEAREST), picture, opacity)


def _draw_letters(picture: Image.Image, letters: str) -> None:
    width, height = picture.size
    places = ((width / 2, _MARGIN, "ma"), (width / 2, height - _MARGIN, "md"),
              (_MARGIN, height / 2, "lm"), (width - _MARGIN, height / 2, "rm"))  # fmt: skip
    for letter, (x, y, anchor) in zip(letters, places, strict=True):
        _write(picture, (x, y), letter, anchor, 22)


def _draw_scale_bar(picture: Image.Image, pixels_per_mm: float) -> None:
    length, bottom = round(SCALE_BAR_MM * pixels_per_mm), picture.height - 2 * _MARGIN
    bar = [(2 * _MARGIN, bottom - 2), (2 * _MARGIN + length - 1, bottom)]
    ImageDraw.Draw(picture).rectangle(bar, fill=TEXT_COLOR, outline=TEXT_COLOR)
    _write(picture, (2 * _MARGIN, bottom - 5), f"{SCALE_BAR_MM} mm", "ld", 14)


def _write(picture: Image.Image, place: tuple[float, float], text: str, anchor: str, size: int) -> None:
    draw = ImageDraw.Draw(picture)
    draw.text(place, text, TEXT_COLOR, _font(size), anchor, stroke_width=2, stroke_fill="black")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


__all__ = ["VIEWS", "WINDOWS", "View", "gray_levels", "plane_picture", "three_planes"]
