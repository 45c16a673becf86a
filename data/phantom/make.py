"""make_phantom: one synthetic scan with everything that is known about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...volume_med3d_r1 import CTVolume
from .chest import Chest, Labels, draw_chest
from .finding import Finding
from .report import Report, write_report


@dataclass(frozen=True, eq=False)
class Phantom:
    """A synthetic chest CT.

    Attributes:
        volume: int16 (D, H, W), HU, canonical orientation: slices from the feet to the head, rows from the front to
            the back, columns from the patient's right to the left.
        affine: (4, 4), voxel (d, h, w) to millimetres, RAS+.
        report: what a radiologist would write about it.
        chest: how it was drawn: body, scanner, findings.
    """

    volume: np.ndarray
    affine: np.ndarray
    report: Report
    chest: Chest

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Millimetres between voxels along (D, H, W)."""
        return self.chest.scanner.spacing

    @property
    def labels(self) -> dict[str, bool]:
        """Whether each of the 18 abnormalities is there, in official order."""
        return self.chest.labels

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The abnormalities that are there, each with severity, side, places, form and size."""
        return self.chest.findings

    @property
    def spans(self) -> dict[str, list[tuple[int, int]]]:
        """[start, end) of the abnormal sentences of each section of the report."""
        return {section: self.report.abnormal_spans(section) for section in ("findings", "impression")}

    def ct_volume(self) -> CTVolume:
        """The scan as `Med3DR1ImageProcessor` and `open_volume` take it."""
        name = f"phantom-{self.chest.seed}"
        return CTVolume(
            name, self.volume.shape, self.affine, lambda: iter([self.volume]), headers={"format": "phantom"}
        )


def make_phantom(
    seed: int,
    shape: Sequence[int] = (32, 64, 64),
    labels: Labels | None = None,
    prevalence: float | Mapping[str, float] | None = None,
    *,
    spacing: Sequence[float] | None = None,
    style: str = "free",
    patient: int | None = None,
    reconstruction: int = 1,
) -> Phantom:
    """A synthetic chest CT, its labels and its report. The same arguments give the same bits.

    Args:
        seed: 0 or greater, of everything.
        shape: voxels along (D, H, W). The field of view is about 305 x 350 x 350 mm on any grid. On a coarse one small
            findings are larger than on a fine one, so that what the labels say can be seen.
        labels: the abnormalities to be there, and no others; or a mapping from some to whether they are there, the
            rest being drawn; or None to draw all.
        prevalence: how often an abnormality is drawn, for all or by name; default: `PREVALENCE`.
        spacing: millimetres along (D, H, W); default: drawn, and such that the field of view fits a chest.
        style: of the report, "free" or "plain".
        patient: the seed of the body, when it is not that of the scan: several scans of one patient.
        reconstruction: another number is the same scan with another blur and another noise.

    Raises:
        ValueError: no abnormality has such a name, or the shape or style is impossible.

    >>> phantom = make_phantom(3, labels=["Pleural effusion"])
    >>> phantom.volume.shape, phantom.report.abnormal_spans("impression") != []
    ((32, 64, 64), True)
    """
    chest = draw_chest(seed, shape, labels, prevalence, spacing=spacing, patient=patient, reconstruction=reconstruction)
    return paint(chest, write_report(chest, style))


def paint(chest: Chest, report: Report) -> Phantom:
    """A chest that was drawn before, and its report, with its voxels."""
    return Phantom(chest.volume(), chest.scanner.affine(chest.shape), report, chest)


__all__ = ["Phantom", "make_phantom", "paint"]
