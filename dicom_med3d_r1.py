"""DICOM: a folder, a zip, a list of files or one file, classic slices or multi-frame (enhanced CT) -> CTVolume.

pydicom reads headers and decodes pixels. Opening reads headers only, and of them only the elements named below: a
patient's name, number and dates are never loaded. Pixels are decoded slice by slice when `blocks` is called.

Rules, each with its threshold:
    files          those with "DICM" at byte 128 count; others, a DICOMDIR, objects without an image and localizers
                   are left out
    modality       CT where there is one. Where there is none another is read, with a `VolumeWarning`: whether its
                   numbers can be HU the HU guard decides. `modality="CT"` refuses it
    series         the one with most slices among the axial series of the modality; of equals the one with the lowest
                   series number, then the lowest SeriesInstanceUID. `series` names one by description, number or
                   SeriesInstanceUID
    order          by position along the slices' normal, the cross product of row and column direction
    spacing        from the positions; SliceThickness counts only for a scan of a single slice
    duplicates     within 0.01 mm of each other along the normal: dropped where place and pixels are the same, refused
                   where not
    missing slice  steps may differ from their median by 10 % or 0.1 mm, whichever is more; beyond that refused
    gantry tilt    the stack may lean away from the normal by 0.5 degrees; beyond that refused. A stack that is turned
                   as a whole is not tilted: its affine tells the turn
    HU             RescaleSlope * stored + RescaleIntercept, slice by slice; where both are missing 1 and 0 are taken
    padding        PixelPaddingValue (to PixelPaddingRangeLimit) becomes air. Where padding lies below air, all that
                   is nearer to it than to air becomes air too: lossy compression smears it
    sequences      a file in which an element of a code sequence stands outside of any sequence is refused: something
                   took its sequences apart
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .dicom_frames_med3d_r1 import (
    DAMAGED,
    DicomImage,
    Frame,
    check_codec,
    floats,
    frames_of,
    functional,
    is_dicom,
    read_image,
    slices_of,
    texts,
)
from .reading_med3d_r1 import DEFAULT_MAX_BYTES, ByteSource, check_affine, check_claim, damage_refused
from .volume_med3d_r1 import CTVolume, VolumeError, VolumeWarning

SAME_POSITION_MM = 0.01
STEP_TOLERANCE = 0.1
STEP_TOLERANCE_MM = 0.1
TILT_LIMIT_DEGREES = 0.5
ASSUMED_THICKNESS_MM = 3.0
"""Of a single slice that does not tell its thickness: the slice spacing that the model sees."""

_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class _Series:
    """The images of one SeriesInstanceUID, localizers left out."""

    uid: str
    images: list[DicomImage]

    def _text(self, keyword: str) -> str:
        return str(self.images[0].header.get(keyword) or "").strip()

    @property
    def modality(self) -> str:
        return self._text("Modality")

    @property
    def number(self) -> str:
        return self._text("SeriesNumber")

    @property
    def slices(self) -> int:
        return sum(image.frame_count for image in self.images)

    @property
    def is_axial(self) -> bool:
        orientation = functional(self.images[0].header, 0, "PlaneOrientationSequence", "ImageOrientationPatient")
        cosines = floats(orientation)
        return len(cosines) == 6 and int(np.argmax(np.abs(np.cross(cosines[:3], cosines[3:])))) == 2

    @property
    def rank(self) -> tuple:
        """Sorts the series to prefer first."""
        return -self.slices, int(self.number) if self.number.isdecimal() else 2**31, self.uid

    def answers_to(self, wanted: str | int) -> bool:
        text = str(wanted).strip()
        return text in (self.uid, self.number) or text.casefold() == self._text("SeriesDescription").casefold()

    def __str__(self) -> str:
        number, description = self.number or "none", self._text("SeriesDescription")
        return f"number {number} {description!r} ({self.modality or 'no modality'}, {self.slices} slices)"


def open_dicom(
    sources: Sequence[ByteSource],
    *,
    name: str,
    series: str | int | None = None,
    modality: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> CTVolume:
    """Read the headers of DICOM files and make one volume of one of their series.

    Args:
        sources: files; those that are not DICOM are left out.
        name: how messages call the scan.
        series: description, number or SeriesInstanceUID of the series to read; by default the largest axial one.
        modality: the modality to read; by default CT, else with a warning what there is.
        max_bytes: bytes that the decoded voxels may take.

    Returns:
        Shape (slices, rows, columns), slices in the direction of the normal; affine in RAS+.

    Raises:
        VolumeError: the files break a rule of this module.
    """
    with warnings.catch_warnings(), damage_refused(name, "the DICOM headers must make sense", DAMAGED):
        warnings.filterwarnings("ignore", module=r"pydicom\.")  # they quote the values of elements
        images, notes = _read_images(name, sources)
        chosen, choice = _choose(name, images, series, modality)
        frames = [frame for image in chosen.images for frame in frames_of(image)]
        for image in chosen.images:
            check_codec(image)
        _check_size(name, frames, max_bytes)
        frames, affine, placing = _stack(name, frames)
        return CTVolume(
            name=name,
            shape=(len(frames), *frames[0].size),
            affine=check_affine(name, affine),
            blocks=lambda: slices_of(frames),
            notes=(*notes, *choice, *placing, *_rescale_notes(frames)),
            headers=_facts(chosen, frames),
        )


def _read_images(name: str, sources: Sequence[ByteSource]) -> tuple[list[DicomImage], list[str]]:
    files = [source for source in sources if is_dicom(source.head(132))]
    if not files:
        raise VolumeError(
            name,
            "a DICOM file has 'DICM' at byte 128, followed by its File Meta Information",
            f"{len(sources)} file(s) without it",
            "Export the scan again as DICOM files, or convert it to NIfTI.",
        )
    images = [image for image in map(read_image, files) if image is not None]
    kept = [image for image in images if not image.is_localizer]
    if not kept:
        found = "localizers only" if images else "no image in them"
        raise VolumeError(name, "the DICOM files must hold slices", found, "Give the folder of a CT series.")
    notes = []
    if len(kept) < len(images):
        notes.append(f"{len(images) - len(kept)} localizer image(s) were left out.")
    return kept, notes


def _choose(
    name: str, images: list[DicomImage], wanted: str | int | None, modality: str | None
) -> tuple[_Series, list[str]]:
    groups: dict[str, list[DicomImage]] = {}
    for image in images:
        groups.setdefault(str(image.header.get("SeriesInstanceUID") or ""), []).append(image)
    every = sorted((_Series(uid, group) for uid, group in groups.items()), key=lambda series: series.rank)
    listing = "; ".join(map(str, every))
    if wanted is not None:
        candidates = [series for series in every if series.answers_to(wanted)]
        if len(candidates) != 1:
            raise VolumeError(
                name,
                "`series` must be the description, the number or the SeriesInstanceUID of exactly one series",
                f"{len(candidates)} for {wanted!r}",
                f"There are: {listing}.",
            )
    else:
        candidates = every
    readable = [series for series in candidates if series.modality == (modality or "CT")]
    if not readable and modality is not None:
        raise VolumeError(
            name,
            f"the modality must be {modality}",
            "modality " + ", ".join(sorted({series.modality or "unknown" for series in candidates})),
            f"Leave `modality` out to read it all the same. There are: {listing}.",
        )
    readable = readable or candidates
    best, *others = [series for series in readable if series.is_axial] or readable
    notes = []
    if modality is None and best.modality != "CT":
        notes.append(f"The modality is {best.modality or 'not told'}: only a CT is stored in Hounsfield units.")
        warnings.warn(f"{name}: {notes[-1]}", VolumeWarning, stacklevel=2)
    if len(every) > 1:
        notes.append(f"One series of {len(every)} was read: {best}. All of them: {listing}.")
    if wanted is None and any(other.slices == best.slices for other in others):
        notes.append("Another series is as large; the one with the lowest series number was taken.")
    if not best.is_axial:
        notes.append("The series is not axial.")
    return best, notes


def _stack(name: str, frames: list[Frame]) -> tuple[list[Frame], np.ndarray, list[str]]:
    """The frames in order, the affine (RAS+) of (slice, row, column), and notes."""
    first = frames[0]
    _check_alike(name, frames)
    frames = sorted(frames, key=lambda frame: float(frame.position @ first.normal))
    frames, notes = _without_duplicates(name, frames)
    if len(frames) > 1:
        _check_steps(name, frames)
        step = (frames[-1].position - frames[0].position) / (len(frames) - 1)
        _check_tilt(name, frames, step)
        notes += _thickness_notes(frames, float(np.linalg.norm(step)))
    else:
        thickness, note = _single_thickness(name, first)
        step = first.normal * thickness
        notes.append(note)
    affine = np.eye(4)
    affine[:3, 0] = step
    affine[:3, 1] = first.along_column * first.spacing[0]
    affine[:3, 2] = first.along_row * first.spacing[1]
    affine[:3, 3] = frames[0].position
    return frames, _LPS_TO_RAS @ affine, notes


def _check_alike(name: str, frames: list[Frame]) -> None:
    """All slices have the same size in pixels and millimetres, and are parallel."""
    traits = {
        "Rows and Columns": (lambda f: f.size, 0.0),
        "PixelSpacing": (lambda f: f.spacing, 1e-3 * float(frames[0].spacing.min())),
        "ImageOrientationPatient": (lambda f: [*f.along_row, *f.along_column], 2e-3),
    }
    for keyword, (trait, tolerance) in traits.items():
        values = np.array([trait(frame) for frame in frames], dtype=np.float64)
        other = int(np.argmax(np.abs(values - values[0]).max(axis=1)))
        if not np.abs(values[other] - values[0]).max() <= tolerance:
            raise VolumeError(
                name,
                f"all slices of a volume have the same {keyword}",
                f"{values[0].tolist()} in {frames[0].image.source.name}, "
                f"{values[other].tolist()} in {frames[other].image.source.name}",
                "Give the slices of one reconstruction only.",
            )


def _heights(frames: list[Frame]) -> np.ndarray:
    """Millimetres along the normal."""
    return np.array([frame.position @ frames[0].normal for frame in frames])


def _without_duplicates(name: str, frames: list[Frame]) -> tuple[list[Frame], list[str]]:
    """The frames, in order, without those that repeat the one before."""
    kept, heights = [], _heights(frames)
    for frame, height, gap in zip(frames, heights, np.diff(heights, prepend=-np.inf), strict=True):
        if gap >= SAME_POSITION_MM:
            kept.append(frame)
        elif not _are_same(frame, kept[-1]):
            raise VolumeError(
                name,
                "each position has one slice",
                f"two different ones at {height:.2f} mm: {kept[-1].image.source.name} and {frame.image.source.name}",
                "The series mixes reconstructions or time points: give the files of one of them.",
            )
    dropped = len(frames) - len(kept)
    return kept, [f"{dropped} slice(s) that were there twice were dropped."] if dropped else []


def _are_same(frame: Frame, other: Frame) -> bool:
    near = np.linalg.norm(frame.position - other.position) < SAME_POSITION_MM
    return bool(near) and np.array_equal(next(slices_of([frame])), next(slices_of([other])))


def _check_steps(name: str, frames: list[Frame]) -> None:
    heights = _heights(frames)
    steps = np.diff(heights)
    median = float(np.median(steps))
    uneven = np.abs(steps - median) > max(STEP_TOLERANCE * median, STEP_TOLERANCE_MM)
    if uneven.any():
        gaps = [f"{heights[i]:.2f} and {heights[i + 1]:.2f} mm" for i in np.flatnonzero(uneven)]
        more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
        raise VolumeError(
            name,
            f"slices lie at even steps (here {median:.3g} mm), to within 10 % or {STEP_TOLERANCE_MM} mm",
            f"another step between {', between '.join(gaps[:3])}{more}",
            "A slice is missing or the series mixes several: export it again, completely.",
        )


def _check_tilt(name: str, frames: list[Frame], step: np.ndarray) -> None:
    cosine = float(step @ frames[0].normal / np.linalg.norm(step))
    tilt = float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))
    if tilt > TILT_LIMIT_DEGREES:
        raise VolumeError(
            name,
            f"slices are stacked along their normal, to within {TILT_LIMIT_DEGREES} degrees",
            f"a gantry tilt of {tilt:.1f} degrees",
            "Correct it with a converter such as dcm2niix and give the corrected NIfTI.",
        )
    line = frames[0].position + np.arange(len(frames))[:, None] * step
    aside = np.array([frame.position for frame in frames]) - line
    aside -= np.outer(aside @ frames[0].normal, frames[0].normal)
    worst = int(np.argmax(np.linalg.norm(aside, axis=1)))
    if np.linalg.norm(aside[worst]) > frames[0].spacing.max():
        raise VolumeError(
            name,
            "the slices of a stack lie on one line, to within a pixel",
            f"{frames[worst].image.source.name} {np.linalg.norm(aside[worst]):.1f} mm beside it",
            "Give the slices of one reconstruction only.",
        )


def _thickness_notes(frames: list[Frame], step: float) -> list[str]:
    thickness = frames[0].thickness
    if thickness is None or abs(thickness - step) <= 0.01 * step:
        return []
    return [f"Slices are {step:.4g} mm apart by their positions; SliceThickness says {thickness:g} mm."]


def _single_thickness(name: str, frame: Frame) -> tuple[float, str]:
    between = floats(frame.image.header.get("SpacingBetweenSlices"))
    told = {"SliceThickness": frame.thickness, "SpacingBetweenSlices": between[0] if len(between) else None}
    for keyword, thickness in told.items():
        if thickness is not None and thickness > 0:
            return float(thickness), f"A single slice; its thickness of {thickness:g} mm is its {keyword}."
    note = f"A single slice that does not tell its thickness; {ASSUMED_THICKNESS_MM:g} mm were assumed."
    warnings.warn(f"{name}: {note}", VolumeWarning, stacklevel=2)
    return ASSUMED_THICKNESS_MM, note


def _rescale_notes(frames: list[Frame]) -> list[str]:
    if all(frame.slope is not None and frame.intercept is not None for frame in frames):
        return []
    return ["RescaleSlope or RescaleIntercept is missing; 1 and 0 were taken in their place."]


def _facts(series: _Series, frames: list[Frame]) -> dict[str, str]:
    header = series.images[0].header
    thickness = frames[0].thickness
    facts = {
        "format": "DICOM",
        "modality": series.modality,
        "scanner": f"{header.get('Manufacturer') or ''} {header.get('ManufacturerModelName') or ''}".strip(),
        "kernel": " ".join(texts(header.get("ConvolutionKernel"))),
        "tube voltage": f"{header.get('KVP')} kV" if header.get("KVP") else "",
        "slice thickness": "" if thickness is None else f"{thickness:g} mm",
    }
    return {key: value for key, value in facts.items() if value}


def _check_size(name: str, frames: list[Frame], max_bytes: int) -> None:
    if not frames:
        raise VolumeError(name, "the DICOM files must hold slices", "localizers only", "Give the CT series.")
    bits = max(int(frame.image.header.get("BitsAllocated") or 16) for frame in frames)
    check_claim(name, (len(frames), *frames[0].size), max(1, bits // 8), max_bytes)


__all__ = ["open_dicom"]
