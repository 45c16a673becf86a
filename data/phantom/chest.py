"""One synthetic chest: everything that is drawn about it, and how it becomes voxels.

Each part is drawn from its own stream of random numbers, made from the seed and the part's own number. So whether an
abnormality is there says nothing about the body, the scanner or the noise; the same seed with and without an
abnormality gives the same scan, voxel for voxel, outside of the abnormality itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...abnormalities import CT_RATE_LABELS
from ...volume_med3d_r1 import AIR_HU
from . import anatomy
from .body import Body, draw_body
from .canvas import Canvas
from .finding import Finding
from .findings import FINDINGS
from .scanner import Scanner, draw_scanner

PREVALENCE = dict(
    zip(
        CT_RATE_LABELS,
        (0.20, 0.30, 0.20, 0.15, 0.28, 0.18, 0.25, 0.25, 0.28, 0.35, 0.30, 0.28, 0.22, 0.15, 0.18, 0.24, 0.18, 0.16),
        strict=True,
    )
)
"""How often each abnormality is drawn. Invented: frequent ones more often than rare ones, and none so rare that a few
thousand chests would not teach it."""

HIGHEST_HU = 3071
SLAB_VOXELS = 4_000_000
_LABELS, _BODY, _SCANNER, _KERNEL, _FINDING, _NOISE = range(1, 7)

Labels = Mapping[str, bool] | Iterable[str]


@dataclass(frozen=True, eq=False)
class Chest:
    """A patient in a scanner, not painted yet.

    Attributes:
        seed, reconstruction: where its random numbers come from.
        shape: voxels along (D, H, W).
        body: as it would be without any abnormality.
        scanner: how the scan is made.
        findings: the abnormalities, in official order.
    """

    seed: int
    reconstruction: int
    shape: tuple[int, int, int]
    body: Body
    scanner: Scanner
    findings: tuple[Finding, ...]

    @property
    def labels(self) -> dict[str, bool]:
        """Whether each abnormality is there, in official order."""
        present = {finding.label for finding in self.findings}
        return {label: label in present for label in CT_RATE_LABELS}

    def volume(self) -> np.ndarray:
        """The scan: int16 (D, H, W) in HU, canonical orientation. Takes memory for it and for one slab in work."""
        volume = np.empty(self.shape, np.int16)
        noise = np.random.default_rng((self.seed, _NOISE, self.reconstruction))
        step = max(1, SLAB_VOXELS // (self.shape[1] * self.shape[2]))
        for start in range(0, self.shape[0], step):
            slab = slice(start, start + step)
            canvas = self.scanner.canvas(self.shape, slab, self.body)
            self._paint(canvas)
            canvas.hu += self.scanner.grain(noise, canvas.hu.shape)
            volume[slab] = np.clip(np.rint(canvas.hu), AIR_HU, HIGHEST_HU)
        return volume

    def _paint(self, canvas: Canvas) -> None:
        body = self.body
        for finding in self.findings:
            body = finding.change(body)
        anatomy.paint_wall(canvas, body)
        if self.scanner.table:
            anatomy.paint_table(canvas, body)
        anatomy.paint_lungs(canvas, body)
        anatomy.paint_mediastinum(canvas, body)
        anatomy.paint_belly(canvas, body)
        self._paint_findings("middle", canvas, body)
        anatomy.paint_heart(canvas, body)
        self._paint_findings("behind", canvas, body)
        anatomy.paint_great_vessels(canvas, body)
        anatomy.paint_bones(canvas, body)
        self._paint_findings("lung", canvas, body)
        anatomy.paint_trees(canvas, body)
        self._paint_findings("last", canvas, body)

    def _paint_findings(self, stage: str, canvas: Canvas, body: Body) -> None:
        for finding in self.findings:
            if finding.stage == stage:
                finding.paint(canvas, body)


def draw_chest(
    seed: int,
    shape: Sequence[int] = (32, 64, 64),
    labels: Labels | None = None,
    prevalence: float | Mapping[str, float] | None = None,
    *,
    spacing: Sequence[float] | None = None,
    patient: int | None = None,
    reconstruction: int = 1,
) -> Chest:
    """Draw a chest without painting it. For the arguments see `make_phantom`."""
    if len(shape) != 3 or min(shape) < 1:
        raise ValueError(f"shape needs three voxel counts, along (D, H, W); got {tuple(shape)}")
    if spacing is not None and (len(spacing) != 3 or min(spacing) <= 0):
        raise ValueError(f"spacing needs three numbers of millimetres, along (D, H, W); got {tuple(spacing)}")
    streams = np.random.default_rng((seed, _SCANNER)), np.random.default_rng((seed, _KERNEL, reconstruction))
    scanner = draw_scanner(*streams, shape, spacing)
    body = draw_body(np.random.default_rng((seed if patient is None else patient, _BODY)))
    present = _present(np.random.default_rng((seed, _LABELS)), labels, prevalence)
    findings = tuple(
        kind.draw(np.random.default_rng((seed, _FINDING, 1 + number)), body, scanner.voxel)
        for number, (label, kind) in enumerate(FINDINGS.items())
        if label in present
    )
    return Chest(seed, reconstruction, tuple(int(length) for length in shape), body, scanner, findings)


def _present(
    rng: np.random.Generator, labels: Labels | None, prevalence: float | Mapping[str, float] | None
) -> set[str]:
    """The abnormalities that are there. As much is drawn whatever is asked for."""
    if isinstance(prevalence, int | float):
        prevalence = dict.fromkeys(CT_RATE_LABELS, prevalence)
    shares = PREVALENCE | dict(prevalence or {})
    asked = dict(labels) if isinstance(labels, Mapping) else dict.fromkeys(labels or (), True)
    if unknown := sorted({*asked, *shares} - {*CT_RATE_LABELS}):
        raise ValueError(f"no such abnormality: {', '.join(unknown)}; there are {', '.join(CT_RATE_LABELS)}")
    dice = dict(zip(CT_RATE_LABELS, rng.random(len(CT_RATE_LABELS)), strict=True))
    drawn = {label: dice[label] < shares[label] for label in CT_RATE_LABELS}
    if labels is not None and not isinstance(labels, Mapping):
        drawn = dict.fromkeys(CT_RATE_LABELS, False)
    return {label for label, there in (drawn | asked).items() if there}


__all__ = ["HIGHEST_HU", "PREVALENCE", "Chest", "Labels", "draw_chest"]
