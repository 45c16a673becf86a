"""A picture of all abnormalities, each beside the same chest without it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ...abnormalities import CT_RATE_LABELS
from ...pictures import VIEWS, View, gray_levels
from .chest import draw_chest
from .make import Phantom, make_phantom

_AXIAL, _CORONAL, _ = VIEWS
_LUNG, _SOFT, _BONE = "lung", "mediastinum", "bone"
SHOWN: dict[str, tuple[View, str]] = {
    "Medical material": (_AXIAL, _BONE),
    "Arterial wall calcification": (_AXIAL, _SOFT),
    "Cardiomegaly": (_AXIAL, _SOFT),
    "Pericardial effusion": (_AXIAL, _SOFT),
    "Coronary artery wall calcification": (_AXIAL, _SOFT),
    "Hiatal hernia": (_AXIAL, _SOFT),
    "Lymphadenopathy": (_AXIAL, _SOFT),
    "Emphysema": (_AXIAL, _LUNG),
    "Atelectasis": (_CORONAL, _LUNG),
    "Lung nodule": (_AXIAL, _LUNG),
    "Lung opacity": (_AXIAL, _LUNG),
    "Pulmonary fibrotic sequela": (_CORONAL, _LUNG),
    "Pleural effusion": (_AXIAL, _SOFT),
    "Mosaic attenuation pattern": (_AXIAL, _LUNG),
    "Peribronchial thickening": (_AXIAL, _LUNG),
    "Consolidation": (_AXIAL, _LUNG),
    "Bronchiectasis": (_AXIAL, _LUNG),
    "Interlobular septal thickening": (_AXIAL, _LUNG),
}
"""From where, and through which window, each abnormality is looked at."""

_TYPICAL = {
    "Medical material": "pacemaker", "Emphysema": "centrilobular", "Atelectasis": "linear", "Lung nodule": "solid",
    "Pulmonary fibrotic sequela": "apical", "Consolidation": "patchy", "Bronchiectasis": "cylindrical",
}  # fmt: skip
_SEVERITY, _TRIED = 0.75, 60
_WIDTH, _HEIGHT, _CAPTION, _GAP = 256, 232, 22, 8
_NOISE_HU = 60


def montage(shape: Sequence[int] = (160, 272, 272), columns: int = 3) -> Image.Image:
    """Pairs of planes: on the left without and on the right with the abnormality, where there is most of it.

    Args:
        shape: voxels along (D, H, W).
        columns: pairs in a row.
    """
    rows = -(-len(CT_RATE_LABELS) // columns)
    pair_width, pair_height = 2 * _WIDTH + _GAP, _HEIGHT + _CAPTION + _GAP
    sheet = Image.new("L", (columns * (pair_width + _GAP) - _GAP, rows * pair_height))
    for number, label in enumerate(CT_RATE_LABELS):
        seed = _instructive(label, shape)
        without, diseased = make_phantom(seed, shape, labels=()), make_phantom(seed, shape, labels=[label])
        row, column = divmod(number, columns)
        sheet.paste(_pair(without, diseased, label), (column * (pair_width + _GAP), row * pair_height))
    return sheet


def _instructive(label: str, shape: Sequence[int]) -> int:
    """A seed whose abnormality is plain to see, and of its most typical form."""
    drawn = {seed: draw_chest(seed, shape, labels=[label]).findings[0] for seed in range(_TRIED)}
    typical = {seed: finding for seed, finding in drawn.items() if finding.kind == _TYPICAL.get(label, finding.kind)}
    return min(typical, key=lambda seed: abs(typical[seed].severity - _SEVERITY))


def _pair(without: Phantom, diseased: Phantom, label: str) -> Image.Image:
    view, window = SHOWN[label]
    index = _most_changed(without.volume, diseased.volume, view.axis)
    pair = Image.new("L", (2 * _WIDTH + _GAP, _HEIGHT + _CAPTION))
    for left, phantom in ((0, without), (_WIDTH + _GAP, diseased)):
        pair.paste(_panel(phantom, view, index, window), (left, _CAPTION))
    (finding,) = diseased.findings
    kind = f" ({finding.kind})" if finding.kind else ""
    ImageDraw.Draw(pair).text((2, 3), f"{label}{kind}", fill=255, font=ImageFont.load_default(14))
    return pair


def _most_changed(before: np.ndarray, after: np.ndarray, axis: int) -> int:
    """The plane in which two volumes differ most."""
    change = np.abs(after.astype(np.int32) - before)
    change[change < _NOISE_HU] = 0
    return int(change.sum(axis=tuple(other for other in range(3) if other != axis)).argmax())


def _panel(phantom: Phantom, view: View, index: int, window: str) -> Image.Image:
    """One plane, its pixels square in millimetres, in the middle of a panel."""
    gray = Image.fromarray(gray_levels(view.plane(phantom.volume, index), window))
    width, height = view.extent(np.multiply(phantom.volume.shape, phantom.spacing))
    scale = max(_WIDTH / width, _HEIGHT / height)
    size = round(width * scale), round(height * scale)
    left, top = (size[0] - _WIDTH) // 2, (size[1] - _HEIGHT) // 2
    scaled = gray.resize(size, Image.Resampling.BILINEAR)
    return scaled.crop((left, top, left + _WIDTH, top + _HEIGHT))


__all__ = ["SHOWN", "montage"]
