"""The planes of a scan as they stand on the page, and what is written beside them."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np

from med3d_r1 import PreparedVolume
from med3d_r1.inference import EvidenceMap
from med3d_r1.pictures import VIEWS, View, place_in_mm, plane_svg
from med3d_r1.prepared_med3d_r1 import describe
from patients import Scan

Position = tuple[int, int, int]

NO_PLANE = '<div class="empty">no scan</div>'
NO_FACTS = '<div class="facts"><p class="note">What is known about the scan stands here.</p></div>'
_SCRIPT = Path(__file__).with_name("viewer.js").read_text(encoding="utf-8")
_NAMES = [view.name for view in VIEWS]


def plane_component(view: View) -> gr.HTML:
    """A plane that can be clicked, and moved through with wheel and keys; see viewer.js."""
    rows, columns = view.across
    return gr.HTML(
        NO_PLANE,
        elem_id=f"{view.name}-plane",
        elem_classes="plane-frame",
        js_on_load=_SCRIPT,
        plane=view.name,
        right=_NAMES[columns],
        down=_NAMES[rows],
        head_up=view.head_up,
    )


def planes(
    scan: Scan, position: Position, window: str, evidence: EvidenceMap | None = None, as_seen: bool = False
) -> list[str]:
    """Axial, coronal and sagittal plane as SVG.

    Args:
        position: voxel (d, h, w) of `scan.shown` under the crosshair.
        evidence: laid over the planes.
        as_seen: draw the voxels that the model sees.
    """
    volume = scan.seen if as_seen else scan.shown
    if as_seen:
        position = nearest_voxel(volume, world(scan.shown, position))
    relevance = (None, None) if evidence is None else (evidence.relevance, evidence.affine)
    return [plane_svg(volume.hu, volume.affine, view, position, window, *relevance) for view in VIEWS]


def world(volume: PreparedVolume, position: Sequence[float]) -> np.ndarray:
    """Millimetres, RAS+, of a voxel."""
    return (volume.affine @ (*position, 1.0))[:3]


def nearest_voxel(volume: PreparedVolume, millimetres: Sequence[float]) -> Position:
    """The voxel (d, h, w) at a place in millimetres, RAS+, or the one at the edge nearest to it."""
    voxel = np.rint((np.linalg.inv(volume.affine) @ (*millimetres, 1.0))[:3]).astype(int)
    return tuple(int(index) for index in np.clip(voxel, 0, np.array(volume.hu.shape) - 1))


def readout(scan: Scan, position: Position) -> str:
    """Where the crosshair stands, in millimetres, and what is there."""
    place = "".join(f"<b>{part}</b>" for part in place_in_mm(scan.shown.affine, position))
    return f'<p class="readout" aria-live="polite">{place}<span>mm</span><b>{scan.shown.hu[position]} HU</b></p>'


def facts(scan: Scan) -> str:
    """What `med3d-r1 inspect` says about a scan, warnings first."""
    lines = [(line[:16].strip(), line[16:]) for line in describe(scan.seen).splitlines()]
    warnings = [f'<p class="warning" role="alert">{escape(text)}</p>' for label, text in lines if label == "WARNING"]
    rows = [
        f"<dt>{escape(label)}</dt><dd>{escape(text)}</dd>" for label, text in lines if label not in ("scan", "WARNING")
    ]
    return f'<div class="facts">{"".join(warnings)}<dl>{"".join(rows)}</dl>{_painted(scan)}</div>'


def _painted(scan: Scan) -> str:
    if scan.painted is None:
        return ""
    names = ", ".join(scan.painted) or "nothing"
    return f"<details><summary>What was painted into this synthetic chest</summary><p>{names}</p></details>"


def refused(sentence: str) -> str:
    """In the place of the facts, why there are none."""
    return f'<div class="facts"><p class="refusal" role="alert"><b>Refused.</b> {escape(sentence)}</p></div>'


__all__ = ["NO_FACTS", "NO_PLANE", "Position", "facts", "nearest_voxel", "plane_component", "planes", "readout",
           "refused", "world"]  # fmt: skip
