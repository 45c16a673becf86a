"""A chest CT as pictures, for models that take pictures or videos: the three input strategies of the paper (section 4).

    montage    axial slices at even distances, stitched into one picture, from the feet to the head
    drr        digitally reconstructed radiographs: three pictures, looking along each axis, as an X-ray would
    video      axial slices at even distances as frames, from the feet to the head

The paper does not give the numbers (slices, windows, sizes): those here are choices, written into every result. All
three show what the image processor has read and laid out, so that every system sees the same scan, in the radiologist's
way round (`pictures`), in gray.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from ..pictures import VIEWS
from ..prepared_med3d_r1 import SIDES, PreparedVolume

Strategy = Literal["montage", "drr", "video"]

_TISSUE = 0.02
"""Of the longest ray: less than that is air around the patient."""


@dataclass(frozen=True)
class ViewSettings:
    """How scans are shown.

    Attributes:
        strategy: see the top of the module.
        slices: of the montage, and frames of the video.
        columns: of the montage.
        pixels: side of a slice in the montage, of a radiograph, of a frame.
        window: (lowest, highest) HU, black and white; for slices.
    """

    strategy: Strategy = "montage"
    slices: int = 16
    columns: int = 4
    pixels: int = 224
    window: tuple[float, float] = (-1000.0, 400.0)

    def __post_init__(self):
        if self.strategy not in ("montage", "drr", "video"):
            raise ValueError(f"a strategy is montage, drr or video; got {self.strategy!r}")
        if min(self.slices, self.columns, self.pixels) < 1:
            raise ValueError("slices, columns and pixels are 1 or more")
        if self.window[0] >= self.window[1]:
            raise ValueError(f"a window goes from a lower to a higher HU; got {self.window}")


def show(prepared: PreparedVolume, settings: ViewSettings) -> list[Image.Image]:
    """The pictures of a scan: one (montage), three (drr), or `slices` (video), all RGB. Padding is not shown."""
    hu = _filled(prepared)
    if settings.strategy == "drr":
        return radiographs(hu, prepared.spacing, settings.pixels)
    frames = axial_frames(hu, prepared.spacing, settings)
    return [stitch(frames, settings.columns)] if settings.strategy == "montage" else frames


def _filled(prepared: PreparedVolume) -> np.ndarray:
    """The part of the model's grid that the scan fills along the body's axis."""
    padded, (first, last) = prepared.record["padded_mm"], SIDES[0]
    below, above = (round(padded[side] / prepared.spacing[0]) for side in (first, last))
    filled = prepared.hu[below : len(prepared.hu) - above]
    return filled if len(filled) else prepared.hu


def axial_frames(hu: np.ndarray, spacing: Sequence[float], settings: ViewSettings) -> list[Image.Image]:
    """Slices in the middle of as many equal parts of the scan."""
    low, high = settings.window
    axial = VIEWS[0]
    frames = []
    for number in range(settings.slices):
        place = min(len(hu) - 1, int((number + 0.5) * len(hu) / settings.slices))
        shares = (axial.plane(hu, place).astype(np.float32) - low) / (high - low)
        frames.append(_picture(np.clip(shares, 0, 1), axial.extent(np.multiply(hu.shape, spacing)), settings.pixels))
    return frames


def stitch(frames: Sequence[Image.Image], columns: int) -> Image.Image:
    """Pictures of one size row by row; what is left of the last row stays black."""
    width, height = frames[0].size
    sheet = Image.new("RGB", (width * min(columns, len(frames)), height * -(-len(frames) // columns)))
    for number, frame in enumerate(frames):
        sheet.paste(frame, (number % columns * width, number // columns * height))
    return sheet


def radiographs(hu: np.ndarray, spacing: Sequence[float], pixels: int) -> list[Image.Image]:
    """Looking from the front, from the left side and from the feet, with parallel rays.

    Gray is the attenuation that a ray has summed up, as digital radiographs show it (the logarithm of what comes
    through): white where least does. Each is stretched from the 1st to the 99th percentile of the rays that meet the
    patient.
    """
    attenuation = np.clip(hu.astype(np.float32) / 1000 + 1, 0, 4)  # in that of water
    pictures = []
    for view in (VIEWS[1], VIEWS[2], VIEWS[0]):
        path = view.plane(attenuation.sum(axis=view.axis, keepdims=True), 0)
        body = path[path > _TISSUE * path.max()]
        low, high = np.percentile(body, (1, 99)) if body.size else (0.0, 1.0)
        shares = np.clip((path - low) / max(high - low, 1e-6), 0, 1)
        pictures.append(_picture(shares, view.extent(np.multiply(hu.shape, spacing)), pixels))
    return pictures


def _picture(shares: np.ndarray, extent: tuple[float, float], pixels: int) -> Image.Image:
    """Shares of white (rows, columns) as an RGB picture whose longer side has so many pixels, square in millimetres."""
    scale = pixels / max(extent)
    size = tuple(max(1, round(length * scale)) for length in extent)
    return Image.fromarray(np.rint(shares * 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC).convert("RGB")


__all__ = ["Strategy", "ViewSettings", "axial_frames", "radiographs", "show", "stitch"]
