"""Writes small scans to disk in the formats that the readers know, whole or with a chosen defect."""

import gzip
import importlib
import io
import zipfile
from pathlib import Path

import nibabel
import numpy as np
import pydicom
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from med3d_r1.reading_med3d_r1 import ByteSource

PATIENT = {"PatientName": "Doe^Jane", "PatientID": "P-4711", "PatientBirthDate": "19560229", "StudyDate": "20250102"}
"""What no message may repeat."""

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def chest(shape=(6, 5, 4), seed=0) -> np.ndarray:
    """int16 HU of the given shape, each voxel different enough from its neighbours to betray a wrong axis."""
    return np.random.default_rng(seed).integers(-1000, 1000, shape, dtype=np.int16)


def in_memory(content: bytes, name: str = "scan") -> ByteSource:
    return ByteSource(name, len(content), lambda: io.BytesIO(content))


def forbid(monkeypatch, package: str) -> None:
    """Let a package look as if it were not installed."""
    real = importlib.import_module

    def import_module(name, *rest):
        if name.split(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(importlib, "import_module", import_module)


def npy_bytes(array: np.ndarray, **options) -> bytes:
    """A .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npz_bytes(compressed: bool = False, **entries) -> bytes:
    """A .npz file."""
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **entries)
    return buffer.getvalue()


def zip_file(path: Path, members: dict[str, bytes]) -> Path:
    """Write a zip of files by their paths in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def nifti_bytes(
    voxels_kji: np.ndarray,
    affine: np.ndarray,
    *,
    version: int = 1,
    byte_order: str = "<",
    slope: float = float("nan"),
    intercept: float = 0.0,
    sform_code: int = 1,
    qform_code: int = 0,
    **fields,
) -> bytes:
    """A NIfTI file. Voxels are stored as they are; `affine` maps (i, j, k); `fields` replace header fields."""
    header_class = {1: nibabel.Nifti1Header, 2: nibabel.Nifti2Header}[version]
    header = header_class(endianness=byte_order)
    header.set_data_dtype(voxels_kji.dtype)
    header.set_data_shape(voxels_kji.shape[::-1])
    header.set_qform(affine, qform_code, strip_shears=True)
    header.set_sform(affine, sform_code)
    header["vox_offset"] = header.sizeof_hdr + 4
    header["scl_slope"], header["scl_inter"] = slope, intercept
    for field, value in fields.items():
        header[field] = value
    stored = np.ascontiguousarray(voxels_kji).astype(voxels_kji.dtype.newbyteorder(byte_order))
    return header.binaryblock + bytes(4) + stored.tobytes()


def write_nifti(path: Path, voxels_kji: np.ndarray, affine: np.ndarray | None = None, **options) -> Path:
    """Write a NIfTI file, gzipped where the name ends in .gz; for the options see `nifti_bytes`."""
    affine = np.diag([0.8, 0.7, 1.5, 1.0]) if affine is None else affine
    content = nifti_bytes(voxels_kji, affine, **options)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


def _dataset(path: Path, sop_class: str, stored: np.ndarray, elements: dict) -> pydicom.FileDataset:
    meta = pydicom.dataset.FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UID(sop_class)
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = pydicom.FileDataset(str(path), {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.SeriesInstanceUID, dataset.SeriesNumber, dataset.SeriesDescription = "1.2.3.1", 1, "CHEST 1.0"
    dataset.Rows, dataset.Columns = stored.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 16
    dataset.HighBit, dataset.PixelRepresentation = 15, int(stored.dtype.kind == "i")
    dataset.PixelData = stored.tobytes()
    for keyword, value in {**PATIENT, **elements}.items():
        setattr(dataset, keyword, value)
    return dataset


def stored_values(hu: np.ndarray, slope: float, intercept: float, dtype="uint16") -> np.ndarray:
    return np.rint((hu.astype(np.float64) - intercept) / slope).astype(dtype)


def positions(count: int, spacing, iop=AXIAL, origin=(-100.0, -90.0, 40.0), lean=(0.0, 0.0, 0.0)) -> np.ndarray:
    """(count, 3) mm LPS, one step of spacing[0] along the normal apart; `lean` is added to each step."""
    step = np.cross(iop[:3], iop[3:]) * spacing[0] + np.array(lean)
    return np.array(origin) + np.arange(count)[:, None] * step


def write_dicom_series(
    folder: Path,
    hu: np.ndarray,
    spacing=(2.0, 0.7, 0.8),
    iop=AXIAL,
    *,
    places: np.ndarray | None = None,
    slope: float = 1.0,
    intercept: float = -1024.0,
    dtype: str = "uint16",
    prefix: str = "slice",
    change=None,
    **elements,
) -> list[Path]:
    """Write hu (slices, rows, columns) as one DICOM file a slice.

    Args:
        spacing: millimetres between slices, rows and columns.
        places: (slices, 3) mm LPS of the slices; by default along the normal.
        change: called with (index, dataset) before a slice is written; returning False leaves the slice out.
        elements: DICOM elements by keyword that replace the usual ones; None removes one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    places = positions(len(hu), spacing, iop) if places is None else places
    stored = stored_values(hu, slope, intercept, dtype)
    paths = []
    for index, (pixels, place) in enumerate(zip(stored, places, strict=True)):
        # The names run against the positions: nothing may rely on them.
        path = folder / f"{prefix}{len(hu) - index:03d}.dcm"
        dataset = _dataset(path, CT_IMAGE, pixels, {})
        dataset.ImagePositionPatient, dataset.ImageOrientationPatient = [f"{p:.6f}" for p in place], list(iop)
        dataset.PixelSpacing, dataset.SliceThickness = list(spacing[1:]), spacing[0]
        dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
        for keyword, value in elements.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        if change is None or change(index, dataset) is not False:
            dataset.save_as(path, enforce_file_format=True)
            paths.append(path)
    return paths


def write_enhanced_dicom(
    path: Path,
    hu: np.ndarray,
    spacing=(2.0, 0.7, 0.8),
    iop=AXIAL,
    *,
    order: list[int] | None = None,
    slopes=None,
    intercepts=None,
    change=None,
    **elements,
) -> Path:
    """Write hu (slices, rows, columns) as one enhanced CT file, its frames in `order`, rescaled frame by frame."""
    count = len(hu)
    order = list(range(count)) if order is None else order
    slopes = [1.0] * count if slopes is None else slopes
    intercepts = [-1024.0] * count if intercepts is None else intercepts
    places = positions(count, spacing, iop)
    stored = np.stack([stored_values(hu[index], slopes[index], intercepts[index]) for index in order])
    dataset = _dataset(path, ENHANCED_CT_IMAGE, stored, elements)
    dataset.NumberOfFrames = count
    dataset.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[_item(PixelSpacing=list(spacing[1:]), SliceThickness=spacing[0])],
            PlaneOrientationSequence=[_item(ImageOrientationPatient=list(iop))],
        )
    ]
    dataset.PerFrameFunctionalGroupsSequence = [
        _item(
            PlanePositionSequence=[_item(ImagePositionPatient=[f"{p:.6f}" for p in places[index]])],
            PixelValueTransformationSequence=[
                _item(RescaleSlope=slopes[index], RescaleIntercept=intercepts[index], RescaleType="HU")
            ],
        )
        for index in order
    ]
    if change is not None:
        change(dataset)
    dataset.save_as(path, enforce_file_format=True)
    return path


def _item(**elements) -> pydicom.Dataset:
    item = pydicom.Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def transcode(path: Path, syntax: str) -> None:
    """Rewrite a DICOM file with its pixels compressed; `syntax` is the name of a gdcm.TransferSyntax."""
    import gdcm

    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
