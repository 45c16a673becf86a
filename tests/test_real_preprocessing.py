"""Real scans through the whole of preprocessing, with SimpleITK as the second opinion on geometry.

They are not part of the project. MED3D_R1_REAL_DATA names the folder that holds them; without it these tests skip.
"""

import os
import warnings
from pathlib import Path

import numpy as np
import pytest

from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.volume_med3d_r1 import VolumeError, VolumeWarning

REAL = Path(os.environ.get("MED3D_R1_REAL_DATA", "."))
pytestmark = pytest.mark.skipif("MED3D_R1_REAL_DATA" not in os.environ, reason="MED3D_R1_REAL_DATA is not set")

VOLUMES = (
    "chest_nifti/copdgene_ct64.nii.gz",
    "chest_nifti/elastix_3DCT_lung_small.nii.gz",
    "totalseg/aorta_report__test_result__models__ct_cropped.nii.gz",
    "totalseg/example_ct.nii.gz",
    "totalseg/dicom",
)
FEW_SLICES = ("cip", "pydicom/CT_small.dcm", "pydicom_data/693_UNCI.dcm", "pydicom_data/explicit_VR-UN.dcm")
REFUSED = (
    "nifti_rs/fuzz_artifacts/*.nii", "nifti_reader_js/*", "nifti_rs/rgb/3D.nii", "nifti_rs/complex/*",
    "nibabel/example4d.nii.gz", "nibabel/functional.nii", "nibabel/anatomical.nii", "nibabel/reoriented_anat_moved.nii",
    "totalseg/example_mr_sm.nii.gz", "niivue/CT_pitch.nii.gz", "pydicom/MR_truncated.dcm", "pydicom/no_meta.dcm",
    "pydicom_data/bad_sequence.dcm", "dicom2nifti/failing/*",
)  # fmt: skip


def read_with_simpleitk(path: Path):
    """The same scan as SimpleITK reads it, padding set to air."""
    sitk = pytest.importorskip("SimpleITK")
    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)) if path.is_dir() else str(path)
    image = sitk.ReadImage(files, sitk.sitkFloat32)
    return sitk.Maximum(image, -1024.0)


def on_the_grid_of(prepared, image) -> np.ndarray:
    """SimpleITK's linear interpolation at the millimetres of each prepared voxel, float32 (D, H, W)."""
    sitk = pytest.importorskip("SimpleITK")
    to_lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ prepared.affine
    directions = to_lps[:3, [2, 1, 0]] / prepared.spacing[::-1]  # SimpleITK counts (w, h, d)
    resampled = sitk.Resample(
        image, prepared.hu.shape[::-1], sitk.Transform(), sitk.sitkLinear, to_lps[:3, 3].tolist(),
        prepared.spacing[::-1], directions.ravel().tolist(), -1024.0, sitk.sitkFloat32,
    )  # fmt: skip
    return sitk.GetArrayFromImage(resampled)


@pytest.mark.parametrize("name", VOLUMES)
def test_each_voxel_lies_where_simpleitk_finds_it(name):
    prepared = Med3DR1ImageProcessor(antialias=False).prepare(REAL / name)
    difference = np.abs(prepared.hu - on_the_grid_of(prepared, read_with_simpleitk(REAL / name)))
    assert np.median(difference) <= 0.5
    assert (difference <= 1).mean() > 0.995  # at the scan's very edge rounding decides what is still inside


@pytest.mark.parametrize("name", VOLUMES)
def test_real_scans_pass_without_a_warning(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error", VolumeWarning)
        prepared = Med3DR1ImageProcessor().prepare(REAL / name)
    assert prepared.hu.std() > 200


@pytest.mark.parametrize("name", FEW_SLICES)
def test_single_slices_pass_with_a_warning(name):
    with pytest.warns(VolumeWarning, match="axial slice"):
        Med3DR1ImageProcessor().prepare(REAL / name)


@pytest.mark.parametrize("pattern", REFUSED)
def test_what_is_no_ct_is_refused(pattern):
    paths = sorted(REAL.glob(pattern))
    assert paths
    for path in paths:
        with pytest.raises(VolumeError):
            Med3DR1ImageProcessor().prepare(path)


@pytest.mark.parametrize("name", VOLUMES)
@pytest.mark.parametrize("rescale", [(1, -1024), (1, -8192), (1, 1024), (1, 8192)])
def test_a_wrong_rescale_of_a_real_scan_is_refused(name, rescale):
    with pytest.raises(VolumeError, match="rescale slope and intercept seem"):
        Med3DR1ImageProcessor().prepare(REAL / name, rescale=rescale)
