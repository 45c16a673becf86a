"""One DICOM file: its header -> its image -> its frames -> their HU.

Of a header only the elements named here are loaded: a patient's name, number and dates never are.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import groupby
from typing import Any, BinaryIO

import numpy as np

from .reading_med3d_r1 import ByteSource, damage_refused, optional_package, to_hounsfield
from .volume_med3d_r1 import AIR_HU, VolumeError

_ELEMENTS = [
    "ImageType", "Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDescription",
    "Manufacturer", "ManufacturerModelName", "ConvolutionKernel", "KVP",
    "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness", "SpacingBetweenSlices",
    "Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "PixelRepresentation", "NumberOfFrames",
    "RescaleSlope", "RescaleIntercept", "PixelPaddingValue", "PixelPaddingRangeLimit",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence",
]  # fmt: skip
_ONLY_IN_CODE_SEQUENCES = ["CodeValue", "CodingSchemeDesignator", "CodingSchemeVersion", "CodeMeaning"]
_TRANSFER_SYNTAX = 0x00020010
_DEFLATED = "1.2.840.10008.1.2.1.99"
_ENDS_WITH_A_MARKER = {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81)}  # JPEG and JPEG-LS
_END_OF_IMAGE = b"\xff\xd9"
DAMAGED = "The file is damaged: export it from its archive again."


@dataclass(frozen=True, eq=False)
class DicomImage:
    """One DICOM file that holds an image of one or more frames."""

    source: ByteSource
    header: Any
    transfer_syntax: str

    @property
    def frame_count(self) -> int:
        return int(self.header.get("NumberOfFrames") or 1)

    @property
    def is_localizer(self) -> bool:
        return "LOCALIZER" in texts(self.header.get("ImageType"))


@dataclass(frozen=True, eq=False)
class Frame:
    """One slice: where its pixels are, and how they lie in the patient (millimetres, LPS as in DICOM).

    `size` and `spacing` are those of rows, then columns. `along_row` is the direction in which the column index
    grows, `along_column` that of the row index. `padding` are the ends of the stored values that mean no measurement.
    """

    image: DicomImage
    index: int
    size: tuple[int, int]
    position: np.ndarray
    along_row: np.ndarray
    along_column: np.ndarray
    spacing: np.ndarray
    slope: float | None
    intercept: float | None
    padding: tuple[int, ...]
    thickness: float | None

    @property
    def normal(self) -> np.ndarray:
        return np.cross(self.along_row, self.along_column)


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins with these 132 bytes is a DICOM file."""
    return head[128:132] == b"DICM"


def read_image(source: ByteSource) -> DicomImage | None:
    """The header of a DICOM file; None where it holds no image."""
    pydicom = optional_package("pydicom", package="pydicom", name=source.name)
    reader = optional_package("pydicom.filereader", package="pydicom", name=source.name)
    with damage_refused(source.name, "the DICOM header must be readable", DAMAGED), source.open() as stream:
        stream.seek(132)
        meta = reader.data_element_generator(stream, False, True, stop_when=lambda tag, *_: tag.group != 2)
        syntaxes = [element.value for element in meta if element.tag == _TRANSFER_SYNTAX]
        transfer_syntax = syntaxes[0].rstrip(b"\0 ").decode("ascii") if syntaxes else ""
        if transfer_syntax in ("", _DEFLATED):
            raise VolumeError(
                source.name,
                "the File Meta Information must name a transfer syntax, and not the deflated one",
                repr(transfer_syntax),
                "Rewrite the file as Explicit VR Little Endian, for instance with `dcmconv +te`.",
            )
        stream.seek(0)
        header = pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=[*_ELEMENTS, *_ONLY_IN_CODE_SEQUENCES])
    if "Rows" not in header or "Columns" not in header:
        return None
    for keyword in _ONLY_IN_CODE_SEQUENCES:
        if keyword in header:
            raise VolumeError(
                source.name,
                "an element of a code sequence must stand in one",
                f"{keyword} outside of any sequence: the file's sequences are broken",
                "Export the file from its archive again, or remove the stray element.",
            )
    return DicomImage(source, pydicom.Dataset(header), transfer_syntax)  # a Dataset does not hold on to the stream


def frames_of(image: DicomImage) -> list[Frame]:
    """The slices that an image holds, in the order in which it stores them, localizers left out.

    Raises:
        VolumeError: a frame is not described, has no place in the patient, or is in colour.
    """
    header, count = image.header, image.frame_count
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    if count != 1 and len(per_frame) != count:
        raise VolumeError(
            image.source.name,
            "a multi-frame image describes each of its frames",
            f"{len(per_frame)} descriptions for {count} frames",
            "Export it as enhanced CT or as single slices.",
        )
    if int(header.get("SamplesPerPixel") or 1) != 1:
        raise VolumeError(image.source.name, "a CT has one value a voxel", "a colour image", "Give the CT series.")
    return [_frame(image, index) for index in range(count) if not _is_localizer_frame(header, index)]


def _is_localizer_frame(header: Any, index: int) -> bool:
    return "LOCALIZER" in texts(functional(header, index, "CTImageFrameTypeSequence", "FrameType"))


def _frame(image: DicomImage, index: int) -> Frame:
    def numbers(sequence: str, keyword: str, count: int) -> np.ndarray:
        value = functional(image.header, index, sequence, keyword)
        found = floats(value)
        if len(found) != count or not np.isfinite(found).all():
            raise VolumeError(
                image.source.name,
                f"every slice needs {keyword}, {count} numbers",
                "nothing" if value is None else str(value),
                "Without it the slices cannot be placed; give the original CT series.",
            )
        return found

    def number(sequence: str, keyword: str) -> float | None:
        value = functional(image.header, index, sequence, keyword)
        return None if value is None else float(numbers(sequence, keyword, 1)[0])

    orientation = numbers("PlaneOrientationSequence", "ImageOrientationPatient", 6).reshape(2, 3)
    if not np.allclose(orientation @ orientation.T, np.eye(2), atol=0.01):
        raise VolumeError(
            image.source.name,
            "ImageOrientationPatient is two unit vectors at a right angle",
            str(orientation.tolist()),
            "Give the original CT series.",
        )
    spacing = numbers("PixelMeasuresSequence", "PixelSpacing", 2)
    if not (spacing > 0).all():
        raise VolumeError(
            image.source.name, "PixelSpacing is positive", str(spacing.tolist()), "Give the original CT series."
        )
    slope = number("PixelValueTransformationSequence", "RescaleSlope")
    if slope == 0:
        raise VolumeError(image.source.name, "RescaleSlope is not 0", "0", "Give the original CT series.")
    along_row, along_column = orientation / np.linalg.norm(orientation, axis=1, keepdims=True)
    return Frame(
        image=image,
        index=index,
        size=(int(image.header.Rows), int(image.header.Columns)),
        position=numbers("PlanePositionSequence", "ImagePositionPatient", 3),
        along_row=along_row,
        along_column=along_column,
        spacing=spacing,
        slope=slope,
        intercept=number("PixelValueTransformationSequence", "RescaleIntercept"),
        padding=_padding(image.header),
        thickness=number("PixelMeasuresSequence", "SliceThickness"),
    )


def functional(header: Any, index: int, sequence: str, keyword: str) -> Any:
    """A value of a frame: its own, else the one that all frames share, else that of the whole file, else None."""
    own = (header.get("PerFrameFunctionalGroupsSequence") or [])[index : index + 1]
    for group in (*own, *(header.get("SharedFunctionalGroupsSequence") or [])):
        for item in group.get(sequence) or []:
            if item.get(keyword) not in (None, ""):
                return item.get(keyword)
    value = header.get(keyword)
    return None if value == "" else value


def check_codec(image: DicomImage) -> None:
    """Refuse pixels that cannot be decoded here before anybody waits for them."""
    pixels = optional_package("pydicom.pixels", package="pydicom", name=image.source.name)
    try:
        decoder = pixels.get_decoder(image.transfer_syntax)
    except NotImplementedError as error:
        raise VolumeError(
            image.source.name,
            "the pixels must be stored in a transfer syntax that pydicom decodes",
            image.transfer_syntax,
            "Rewrite the file as Explicit VR Little Endian, for instance with `gdcmconv --raw`.",
        ) from error
    if not decoder.is_available:
        package = "pylibjpeg pylibjpeg-openjpeg" if "High-Throughput" in decoder.UID.name else "python-gdcm"
        raise VolumeError(
            image.source.name,
            f"decoding {decoder.UID.name} needs a further package",
            "none installed",
            f"Run `pip install {package}`.",
        )


def slices_of(frames: list[Frame]) -> Iterator[np.ndarray]:
    """HU of one frame after the other, (1, rows, columns); frames of one file are read while it is open once."""
    pixels = optional_package("pydicom.pixels", package="pydicom", name=frames[0].image.source.name)
    for image, run in groupby(frames, key=lambda frame: frame.image):
        run = list(run)
        indices = [frame.index for frame in run]
        with (
            damage_refused(image.source.name, "the file must hold all the pixels that its header claims", DAMAGED),
            image.source.open_for_seeking() as stream,
        ):
            if image.transfer_syntax in _ENDS_WITH_A_MARKER:
                _check_ends(image, stream, indices)
            with closing(pixels.iter_pixels(stream, indices=indices, raw=True)) as arrays:
                for frame in run:
                    yield _hounsfield(frame, next(arrays))[None]


def _check_ends(image: DicomImage, stream: BinaryIO, indices: list[int]) -> None:
    """Look for the end of each JPEG code stream: where it is missing, decoders fill the rest with 0 and say nothing."""
    pydicom = optional_package("pydicom", package="pydicom", name=image.source.name)
    encaps = optional_package("pydicom.encaps", package="pydicom", name=image.source.name)
    pydicom.dcmread(stream, stop_before_pixels=True, specific_tags=["Rows"])
    stream.seek(12, io.SEEK_CUR)  # tag, VR and length of the pixel data
    for index in indices:
        code_stream = encaps.get_frame(stream, index, number_of_frames=image.frame_count)
        if _END_OF_IMAGE not in code_stream[-10:]:
            raise ValueError(f"a JPEG code stream of {len(code_stream):,} bytes without its end")


def _hounsfield(frame: Frame, stored: np.ndarray) -> np.ndarray:
    if stored.shape != frame.size or stored.dtype.kind not in "iu":
        raise ValueError(f"pixels of type {stored.dtype} and shape {stored.shape}")
    slope = 1.0 if frame.slope is None else frame.slope
    intercept = 0.0 if frame.intercept is None else frame.intercept
    hu = to_hounsfield(stored, slope, intercept)
    if frame.padding:
        low, high = sorted(_same_bits(end, stored.dtype) for end in frame.padding)
        hu[(stored >= low) & (stored <= high)] = AIR_HU
        brightest = slope * high + intercept
        if brightest < AIR_HU:
            hu[hu <= (brightest + AIR_HU) / 2] = AIR_HU
    return hu


def _padding(header: Any) -> tuple[int, ...]:
    value, limit = header.get("PixelPaddingValue"), header.get("PixelPaddingRangeLimit")
    if not isinstance(value, int):
        return ()
    return value, limit if isinstance(limit, int) else value


def _same_bits(value: int, dtype: np.dtype) -> int:
    """A number as the stored type reads it: some writers call -2000 unsigned, 63536, and only its bits are right."""
    unsigned = np.dtype(f"u{dtype.itemsize}")
    return int(np.array(value % 2 ** (8 * dtype.itemsize), unsigned).view(dtype))


def floats(value: Any) -> np.ndarray:
    """The numbers of an element, (n,); none where it is missing or holds something else."""
    try:
        return np.atleast_1d(np.array([] if value is None else value, dtype=np.float64))
    except (TypeError, ValueError):
        return np.empty(0)


def texts(value: Any) -> list[str]:
    """The strings of an element that holds none, one or several."""
    values = value if isinstance(value, Iterable) and not isinstance(value, str) else [value or ""]
    return [str(text).strip() for text in values]


__all__ = [
    "DAMAGED", "DicomImage", "Frame", "check_codec", "floats", "frames_of", "functional", "is_dicom", "read_image",
    "slices_of", "texts",
]  # fmt: skip
