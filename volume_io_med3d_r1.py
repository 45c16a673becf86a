"""A chest CT in any of its forms -> CTVolume. The one door through which scans come in.

What a file is, its first bytes tell, not its name. Read are NIfTI-1 and -2 (.nii, .nii.gz), DICOM (a folder, a list of
files, one file of one or many frames), a .zip of one DICOM scan or of one of the other files, .npz (RAD-ChestCT's and
prepared ones) and .npy; nibabel images, arrays, tensors and PIL pictures. Each format's rules are at the top of its
own module.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .arrays_med3d_r1 import NPY_MAGIC, open_array, open_npy, open_npz, open_picture
from .dicom_frames_med3d_r1 import is_dicom
from .dicom_med3d_r1 import open_dicom
from .nifti_med3d_r1 import inflated_head, nifti_version, open_nifti, open_nifti_image
from .prepared_med3d_r1 import PreparedVolume
from .reading_med3d_r1 import DEFAULT_MAX_BYTES, ByteSource, zip_members
from .volume_med3d_r1 import CTVolume, VolumeError

ZIP_MAGIC = b"PK\x03\x04"
_SUPPORTED = (
    "a path to .nii, .nii.gz, .npz, .npy, .zip, a DICOM file or a folder of them; a list of DICOM files; a nibabel "
    "image, an array, a tensor or a PIL image; or a dict with `path`, `array`, `image` or `volume`"
)
_CONVERT = {b"NRRD": "NRRD", b"ObjectType": "MetaImage"}
_PREPARED_ENTRIES = {"hu.npy", "affine.npy", "record.npy"}


@dataclass(frozen=True)
class _Request:
    """What the caller asks for beside the scan itself."""

    spacing: Sequence[float] | None
    affine: np.ndarray | None
    orientation: str | None
    series: str | int | None
    modality: str | None
    max_bytes: int

    @property
    def geometry(self) -> dict[str, Any]:
        return {"spacing": self.spacing, "affine": self.affine, "orientation": self.orientation}


def open_volume(
    source: Any,
    *,
    spacing: Sequence[float] | None = None,
    affine: np.ndarray | None = None,
    orientation: str | None = None,
    series: str | int | None = None,
    modality: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
) -> CTVolume | PreparedVolume:
    """Open a scan. Headers are read and checked now, voxels when `blocks` of the result is called.

    Args:
        source: one of
            - a path: .nii, .nii.gz, .npz, .npy, .zip, a DICOM file, or a folder with DICOM files at any depth
            - a list of paths: the DICOM files of one volume
            - a nibabel image; a numpy array or torch tensor (D, H, W), (1, D, H, W) or (H, W) of HU; a PIL image
            - a mapping with one of `path`, `array`, `image`, `volume` and, if wanted, `spacing`, `affine`,
              `orientation`, which go before the arguments of the same name; with `bytes` beside `path` the file's
              content is taken from there, as data sets with embedded files have it
            - a CTVolume or PreparedVolume, which is returned as it is
        spacing: millimetres between voxels along the axes as they are stored: (D, H, W) for arrays, (i, j, k) for
            NIfTI.
        affine: (4, 4), maps voxel indices, axes as for `spacing`, to millimetres RAS+. Instead of the two others.
        orientation: the direction in which each axis grows, as in "SPL" (the default for arrays) or "RAS".
        series: of DICOM, the description, number or SeriesInstanceUID of the series to read.
        modality: of DICOM, the modality to read; by default CT, else with a warning what there is.
        max_bytes: bytes of voxels, or of a zip's members, that the source may claim.

    Returns:
        The scan on the grid it is stored on; of a .npz that `PreparedVolume.save` wrote, the prepared volume.

    Raises:
        VolumeError: there is nothing at the path, or the scan breaks a rule of its format.
    """
    request = _Request(spacing, affine, orientation, series, modality, max_bytes)
    # By name, because code from the Hub and code from the installed package bring a class each.
    if type(source).__name__ in ("CTVolume", "PreparedVolume"):
        return source
    if isinstance(source, Mapping):
        return _open_mapping(source, request)
    if isinstance(source, str | os.PathLike):
        return _open_path(_path(source), request)
    if isinstance(source, list | tuple):
        return _open_list(source, request)
    if hasattr(source, "dataobj"):
        return open_nifti_image(source, **request.geometry, max_bytes=max_bytes)
    if isinstance(source, np.ndarray):
        return open_array(source, **request.geometry)
    if hasattr(source, "detach"):
        return open_array(_numpy(source), name="tensor", **request.geometry)
    if hasattr(source, "getbands"):
        return open_picture(source, **request.geometry)
    raise VolumeError("scan", "a scan is one of the supported forms", type(source).__name__, f"Give {_SUPPORTED}.")


def _numpy(tensor: Any) -> np.ndarray:
    """A torch tensor on the CPU as an array. numpy has no bfloat16."""
    tensor = tensor.detach().cpu()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _open_mapping(source: Mapping, request: _Request) -> CTVolume | PreparedVolume:
    forms = [key for key in ("path", "array", "image", "volume") if source.get(key) is not None]
    known = {"path", "bytes", "array", "image", "volume", "spacing", "affine", "orientation", "type"}
    if len(forms) != 1 or not set(source) <= known:
        raise VolumeError(
            "scan",
            "a dict has exactly one of `path`, `array`, `image` and `volume`, and besides `spacing`, `affine`, "
            "`orientation` at most",
            f"the keys {', '.join(map(str, source)) or 'none'}",
            "Rename or remove the others.",
        )
    told = {key: source[key] for key in request.geometry if source.get(key) is not None}
    request = replace(request, **told)
    if source.get("bytes") is not None:
        name, content = Path(source["path"]).name, source["bytes"]
        return _open_source(ByteSource(name, len(content), lambda: io.BytesIO(content)), request)
    return open_volume(
        source[forms[0]],
        **request.geometry,
        series=request.series,
        modality=request.modality,
        max_bytes=request.max_bytes,
    )


def _path(source: str | os.PathLike[str]) -> Path:
    text = os.fspath(source)
    if "://" in text:
        raise VolumeError(text, "a scan is read from this machine's disk", "a URL", "Download it first.")
    path = Path(text).expanduser()
    if not path.exists():
        parent = path.absolute().parent
        found = "nothing there" if parent.is_dir() else f"not even the folder {parent}"
        raise VolumeError(text, "the path of a scan must exist", found, "Check the path.")
    return path


def _open_list(paths: Sequence[Any], request: _Request) -> CTVolume | PreparedVolume:
    if not paths or not all(isinstance(path, str | os.PathLike) for path in paths):
        found = ", ".join(sorted({type(path).__name__ for path in paths})) or "nothing"
        raise VolumeError(
            "list", "a list holds the paths of one volume's DICOM files", found, "Give one scan at a time."
        )
    files = [_path(path) for path in paths]
    if len(files) == 1:
        return _open_path(files[0], request)
    strangers = [file.name for file in files if not file.is_file() or not is_dicom(ByteSource.of_file(file).head(132))]
    if strangers:
        raise VolumeError(
            files[0].parent.name,
            "the files of a list are the DICOM slices of one volume",
            f"{strangers[0]}, which is not DICOM",
            "Give one scan at a time.",
        )
    return _dicom(files, files[0].parent.name, request)


def _dicom(files: Sequence[Path], name: str, request: _Request) -> CTVolume:
    return _open_dicom([ByteSource.of_file(file) for file in files], name, request)


def _open_dicom(sources: Sequence[ByteSource], name: str, request: _Request) -> CTVolume:
    if any(value is not None for value in request.geometry.values()):
        raise VolumeError(
            name,
            "DICOM tells its own geometry",
            ", ".join(f"`{key}`" for key, value in request.geometry.items() if value is not None),
            "Leave it out; to give another geometry pass the voxels as an array.",
        )
    return open_dicom(sources, name=name, series=request.series, modality=request.modality, max_bytes=request.max_bytes)


def _open_path(path: Path, request: _Request) -> CTVolume | PreparedVolume:
    if path.is_dir():
        return _open_folder(path, request)
    if not path.is_file():
        raise VolumeError(str(path), "a scan is a file or a folder", "neither", f"Give {_SUPPORTED}.")
    source = ByteSource.of_file(path)
    if source.head(4) == ZIP_MAGIC and {member.name for member in zip_members(source, request.max_bytes)} == (
        _PREPARED_ENTRIES
    ):
        return PreparedVolume.load(path)
    return _open_source(source, request)


def _open_folder(folder: Path, request: _Request) -> CTVolume:
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    sources = [ByteSource.of_file(file) for file in files]
    if not any(is_dicom(source.head(132)) for source in sources):
        names = ", ".join(file.name for file in files[:3])
        raise VolumeError(
            str(folder),
            "a folder must hold DICOM files",
            f"{len(files)} other files ({names}{', ...' if len(files) > 3 else ''})" if files else "no file",
            "Give the path of the scan itself.",
        )
    return _open_dicom(sources, folder.name, request)


def _open_source(source: ByteSource, request: _Request) -> CTVolume:
    """Read a file as what its first bytes say it is; where they say nothing its name decides whose error to give."""
    head, name = source.head(540), source.name.lower()
    if head.startswith(ZIP_MAGIC):
        return _open_zip(source, request)
    if head.startswith(NPY_MAGIC):
        return open_npy(source, **request.geometry, max_bytes=request.max_bytes)
    if is_dicom(head):
        return _open_dicom([source], source.name, request)
    if nifti_version(inflated_head(source, 540)) or name.endswith((".nii", ".nii.gz", ".hdr", ".img")):
        return open_nifti(source, **request.geometry, max_bytes=request.max_bytes)
    for magic, format_name in _CONVERT.items():
        if head.startswith(magic):
            raise VolumeError(
                source.name,
                "a scan in a file is NIfTI, DICOM, .npz or .npy",
                format_name,
                "Convert the scan to NIfTI, for instance with SimpleITK: "
                "`sitk.WriteImage(sitk.ReadImage(path), 'scan.nii.gz')`.",
            )
    if name.endswith((".dcm", ".ima", ".dicom")):
        return _open_dicom([source], source.name, request)
    raise VolumeError(
        source.name,
        "a scan in a file is NIfTI, DICOM, .npz or .npy",
        f"a file that begins with {head[:8]!r}",
        f"Give {_SUPPORTED}.",
    )


def _open_zip(source: ByteSource, request: _Request) -> CTVolume:
    members = zip_members(source, request.max_bytes)
    if members and all(member.name.endswith(".npy") for member in members):
        return open_npz(source, **request.geometry, max_bytes=request.max_bytes)
    slices = [member for member in members if is_dicom(member.head(132))]
    others = [member for member in members if member.name.lower().endswith((".nii", ".nii.gz", ".npy", ".npz"))]
    if len(others) + bool(slices) != 1:
        raise VolumeError(
            source.name,
            "a zip file holds one scan: DICOM files, or one .nii, .nii.gz, .npz or .npy; archives in it are not opened",
            f"{len(slices)} DICOM files, {len(others)} other scans, {len(members)} files in all",
            "Unpack it and give the scan itself.",
        )
    if slices:
        return _open_dicom(slices, source.name, request)
    if others[0].head(4) == ZIP_MAGIC:  # a .npz; were it opened as any zip, one could hold itself for ever
        return open_npz(others[0], **request.geometry, max_bytes=request.max_bytes)
    return _open_source(others[0], request)


__all__ = ["open_volume"]
