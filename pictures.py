"""Pictures of a volume for people: axial, coronal and sagittal planes as a radiologist expects them.

For files bitmaps (`plane_picture`, `three_planes`), for pages a drawing with a crosshair (`plane_svg`).

All arrays are canonical volumes (D, H, W): slices from the feet to the head, rows from front to back, columns from the
patient's right to the left. On every picture the head or the front is up, the patient's right is at the left of axial
and coronal planes, and sagittal planes look from the left side, the front at the left. Letters at the edges say so
(R, L, A, P, S, I), pixels are square in millimetres, and a bar shows 50 mm. No name and no date is drawn.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

WINDOWS = {"lung": (-600, 1500), "mediastinum": (40, 400), "bone": (400, 1800)}
"""Centre and width in HU: what lies outside is black or white."""

PANEL_PIXELS = 448
"""Length on the picture of the volume's longest side."""

SCALE_BAR_MM = 50
FOR_COLOR, AGAINST_COLOR, TEXT_COLOR = (255, 140, 0), (60, 130, 255), (255, 255, 0)
CROSSHAIR_COLOR, CROSSHAIR_GAP_MM = (90, 220, 200), 6
_FULL_COLOR = 160 / 255
_CELL_OPACITY, _FAINTEST_CELL = 0.44, 0.1
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
        return plane[::-1] if self.head_up else plane

    def extent(self, lengths: Sequence[float]) -> tuple[float, float]:
        """(width, height) of the plane, from lengths along (D, H, W)."""
        rows, columns = self.across
        return lengths[columns], lengths[rows]

    @property
    def across(self) -> tuple[int, int]:
        """The axes of (D, H, W) that run down the picture and to its right."""
        rows, columns = (axis for axis in range(3) if axis != self.axis)
        return rows, columns

    @property
    def head_up(self) -> bool:
        """Whether the picture is upside down against the volume, whose slices begin at the feet."""
        return self.axis != 0


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


def plane_svg(
    hu: np.ndarray,
    affine: np.ndarray,
    view: View,
    position: Sequence[int],
    window: str,
    relevance: np.ndarray | None = None,
    relevance_affine: np.ndarray | None = None,
) -> str:
    """One plane as an SVG element whose unit is the millimetre, with letters, a scale bar and a crosshair.

    The gray levels lie in it as a PNG, a pixel a voxel: nothing is written to disk, nothing is loaded from elsewhere.

    Args:
        hu: (D, H, W) in HU.
        affine: (4, 4), voxel (d, h, w) of `hu` to millimetres, RAS+.
        position: the voxel (d, h, w) under the crosshair; the plane goes through it.
        window: one of `WINDOWS`.
        relevance: (d, h, w), cells of any grid with the same axes: orange above 0, blue below, the stronger the less
            transparent. Cells of less than a tenth of the strongest are left out: all colour and no picture else.
        relevance_affine: (4, 4), cell (d, h, w) of `relevance` to millimetres, RAS+.
    """
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    width, height = (float(length) for length in view.extent(np.multiply(hu.shape, spacing)))
    rows, columns = view.across
    x, y = (float((position[axis] + 0.5) * spacing[axis]) for axis in (columns, rows))
    place = ", ".join(place_in_mm(affine, position))
    cells = [] if relevance is None else _cells(view, hu.shape, affine, position, relevance, relevance_affine)
    parts = [
        f'<svg class="plane" viewBox="0 0 {width:.1f} {height:.1f}" role="img" xmlns="http://www.w3.org/2000/svg"'
        f' aria-label="{view.name} plane, {window} window, crosshair at {place} mm">',
        f'<image width="{width:.1f}" height="{height:.1f}" preserveAspectRatio="none"'
        f' href="data:image/png;base64,{_png(gray_levels(view.plane(hu, position[view.axis]), window))}"/>',
        *cells,
        _crosshair(x, height - y if view.head_up else y, width, height),
        *_edge_letters(view.letters, width, height),
        f'<path d="M8 {height - 10:.1f}h{SCALE_BAR_MM}" stroke="{_css(TEXT_COLOR)}" stroke-width="1.5"/>',
        _svg_text(f"{SCALE_BAR_MM} mm", 8, height - 14, 10, "start"),
        "</svg>",
    ]
    return "".join(parts)


def place_in_mm(affine: np.ndarray, position: Sequence[float]) -> tuple[str, str, str]:
    """A voxel's millimetres in the scan's world, each with the side of the patient on which it lies from the origin.

    >>> place_in_mm(np.diag([-2.0, -2.0, 3.0, 1.0]), (5, 0, 4))
    ('L 10', 'A 0', 'S 12')
    """
    millimetres = [round(float(x)) for x in (affine @ (*position, 1.0))[:3]]
    return tuple(f"{sides[x < 0]} {abs(x)}" for sides, x in zip(("RL", "AP", "SI"), millimetres, strict=True))


def _cells(view: View, shape, affine: np.ndarray, position, relevance: np.ndarray, relevance_affine) -> Iterator[str]:
    """Rectangles of the cells that the plane cuts. Both grids have the same axes, so a cell is a box of voxels."""
    to_voxels = np.linalg.inv(affine) @ relevance_affine
    steps, offsets = to_voxels.diagonal()[:3], to_voxels[:3, 3]
    cut = int(np.floor((position[view.axis] - offsets[view.axis]) / steps[view.axis] + 0.5))
    strongest = float(np.abs(relevance).max())
    if not 0 <= cut < relevance.shape[view.axis] or strongest == 0:
        return
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    rows, columns = view.across
    for (row, column), value in np.ndenumerate(np.take(relevance, cut, axis=view.axis)):
        left, top = (
            (offsets[axis] + (cell - 0.5) * steps[axis] + 0.5) * spacing[axis]
            for axis, cell in ((columns, column), (rows, row))
        )
        width, height = (steps[axis] * spacing[axis] for axis in (columns, rows))
        top = shape[rows] * spacing[rows] - top - height if view.head_up else top
        share = abs(value) / strongest
        if share >= _FAINTEST_CELL:
            yield (
                f'<rect class="cell" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}"'
                f' fill="{_css(FOR_COLOR if value > 0 else AGAINST_COLOR)}"'
                f' fill-opacity="{_CELL_OPACITY * share:.2f}"/>'
            )


def _crosshair(x: float, y: float, width: float, height: float) -> str:
    """Two lines that leave the place itself free."""
    gap = CROSSHAIR_GAP_MM
    lines = f"M0 {y:.1f}H{x - gap:.1f}M{x + gap:.1f} {y:.1f}H{width:.1f}"
    lines += f"M{x:.1f} 0V{y - gap:.1f}M{x:.1f} {y + gap:.1f}V{height:.1f}"
    return f'<path class="crosshair" d="{lines}" fill="none" stroke="{_css(CROSSHAIR_COLOR)}" stroke-opacity="0.75"/>'


def _edge_letters(letters: str, width: float, height: float) -> Iterator[str]:
    places = ((width / 2, 18, "middle"), (width / 2, height - 8, "middle"),
              (6, height / 2 + 6, "start"), (width - 6, height / 2 + 6, "end"))  # fmt: skip
    for letter, (x, y, anchor) in zip(letters, places, strict=True):
        yield _svg_text(letter, x, y, 17, anchor)


def _svg_text(text: str, x: float, y: float, size: float, anchor: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{_css(TEXT_COLOR)}"'
        f' font-family="sans-serif" stroke="black" stroke-width="2.5" paint-order="stroke">{text}</text>'
    )


def _css(color: tuple[int, int, int]) -> str:
    return f"rgb({','.join(map(str, color))})"


def _png(gray: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(gray).save(file, format="PNG", compress_level=1)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _colored(picture: Image.Image, plane: np.ndarray, strongest: float) -> Image.Image:
    """Lay a plane of relevance over a picture; its cells keep their edges, for they are all the map resolves."""
    shares = np.abs(plane) / strongest if strongest > 0 else np.zeros(plane.shape)
    opacity = Image.fromarray(np.rint(shares * _FULL_COLOR * 255).astype(np.uint8)).resize(
        picture.size, Image.Resampling.NEAREST
    )
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


__all__ = ["VIEWS", "WINDOWS", "View", "gray_levels", "place_in_mm", "plane_picture", "plane_svg", "three_planes"]
