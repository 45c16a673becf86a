"""Scans that nobody on the project made. The folder is named by MED3D_R1_REAL_DATA; without it nothing here runs."""

import os
from pathlib import Path

import nibabel
import numpy as np
import pytest

from med3d_r1.volume_io_med3d_r1 import open_volume
from med3d_r1.volume_med3d_r1 import AIR_HU, VolumeError, VolumeWarning, orientation_codes

ROOT = Path(os.environ.get("MED3D_R1_REAL_DATA", "."))
pytestmark = pytest.mark.skipif("MED3D_R1_REAL_DATA" not in os.environ, reason="MED3D_R1_REAL_DATA is not set")

NIFTI = {
    "chest_nifti/copdgene_ct64.nii.gz": ((79, 64, 64), (3.987, 4.172, 4.172), "SPL", (-1007, 1095)),
    "chest_nifti/elastix_3DCT_lung_small.nii.gz": ((64, 78, 57), (5, 2.732, 2.732), "SPL", (-1130, 1379)),
    "totalseg/aorta_report__test_result__models__ct_cropped.nii.gz": (
        (164, 126, 120), (1.5, 1.5, 1.5), "SPL", (-1078, 3343),
    ),
    "totalseg/example_ct.nii.gz": ((112, 101, 122), (3, 3, 3), "SAR", (-1207, 3382)),
    # not CT: reading them is right, passing them on is the HU guard's affair
    "nibabel/anatomical.nii": ((25, 41, 33), (2, 2, 2), "SAL", (-610, 30393)),
    "nibabel/reoriented_anat_moved.nii": ((22, 26, 21), (4, 4, 4), "SAR", (0, 21199.936)),
    "totalseg/example_mr_sm.nii.gz": ((20, 91, 117), (3, 3, 3), "SPL", (-47, 833)),
    "niivue/CT_pitch.nii.gz": ((58, 248, 175), (2.397, 0.8125, 0.8125), "SAR", (0, 255)),
}  # fmt: skip

DICOM = {
    "totalseg/dicom": ((20, 512, 512), (2.0, 0.9765625, 0.9765625), "SPL", (-1024, 1839)),
    "cip": ((2, 512, 512), (0.625, 0.703125, 0.703125), "SPL", (AIR_HU, 1219)),
    "pydicom/CT_small.dcm": ((1, 128, 128), (5, 0.661468, 0.661468), "SPL", (-896, 1167)),
    "pydicom_data/693_UNCI.dcm": ((1, 512, 512), (5, 0.478516, 0.478516), "SPL", (-2023, 1812)),
    "pydicom_data/explicit_VR-UN.dcm": ((1, 512, 512), (3, 0.859375, 0.859375), "IAL", (-1024, 1186)),
}

REFUSED = {
    "nifti_rs/fuzz_artifacts/crash-08123ef33416bd6f0c5fa63d44b681b8581d62a0.nii": "code -1",
    "nifti_rs/fuzz_artifacts/crash-1.nii": "code -9510",
    "nifti_rs/fuzz_artifacts/crash-98aa054390f8d3f932f190dc22ef62c6ff2d6619.nii": "code 55",
    "nifti_reader_js/not-nifti.nii": "magic string",
    "nifti_reader_js/5D_zeros.nii.gz": "three dimensions; found 5: 256 x 256 x 170 x 1 x 3",
    "nifti_rs/rgb/3D.nii": "found RGB",
    "nifti_rs/complex/complex32.nii": "found complex64",
    "nifti_rs/complex/complex64.nii": "found complex128",
    "nibabel/example4d.nii.gz": "three dimensions; found 4: 128 x 96 x 24 x 2",
    "nibabel/functional.nii": "three dimensions; found 4: 17 x 21 x 3 x 20",
    "pydicom/no_meta.dcm": "has 'DICM' at byte 128, followed by its File Meta Information",
    "pydicom_data/bad_sequence.dcm": "CodeMeaning outside of any sequence: the file's sequences are broken",
    "dicom2nifti/failing/gantrytilting": r"a gantry tilt of 14\.0 degrees",
    "dicom2nifti/failing/sliceincrement": r"another step between 28\.11 and 38\.11 mm",
    "cip/crop_ct_2slices.nrrd": "found NRRD. Convert the scan to NIfTI",
}


def check_facts(volume, facts):
    shape, spacing, codes, extremes = facts
    assert volume.shape == shape
    assert volume.spacing == pytest.approx(spacing, rel=1e-3)
    assert orientation_codes(volume.affine) == codes
    voxels = volume.voxels()
    assert (voxels.min(), voxels.max()) == pytest.approx(extremes)


def aligned(voxels: np.ndarray, affine: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Voxels on the grid of another affine, which may only run through the same grid in another order."""
    index = np.linalg.inv(other) @ affine
    turn = np.rint(index[:3, :3]).astype(int)
    np.testing.assert_allclose(index[:3, :3], turn, atol=2e-3)
    assert (np.abs(turn).sum(axis=0) == 1).all()
    axes = np.abs(turn).argmax(axis=1)
    moved = np.flip(voxels.transpose(axes), np.flatnonzero(turn.sum(axis=1) < 0))
    first = np.where(turn.sum(axis=1) < 0, np.array(moved.shape) - 1, 0)
    np.testing.assert_allclose(index[:3, 3], first, atol=2e-2)
    return moved


def read_by_simpleitk(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Voxels (k, j, i) and the affine of (k, j, i), RAS+."""
    import SimpleITK as sitk

    files = sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(path)) if path.is_dir() else str(path)
    image = sitk.ReadImage(files)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    affine[:3, 3] = image.GetOrigin()
    return sitk.GetArrayFromImage(image), (np.diag([-1.0, -1, 1, 1]) @ affine)[:, [2, 1, 0, 3]]


@pytest.mark.parametrize("path", NIFTI)
def test_nifti_is_read_as_simpleitk_reads_it(path):
    volume = open_volume(ROOT / path)
    check_facts(volume, NIFTI[path])
    voxels, affine = read_by_simpleitk(ROOT / path)
    np.testing.assert_allclose(aligned(volume.voxels(), volume.affine, affine), voxels, rtol=1e-6)


@pytest.mark.filterwarnings("ignore::med3d_r1.volume_med3d_r1.VolumeWarning")
@pytest.mark.parametrize("path", DICOM)
def test_dicom_is_read_as_simpleitk_reads_it(path):
    volume = open_volume(ROOT / path)
    check_facts(volume, DICOM[path])
    voxels, affine = read_by_simpleitk(ROOT / path)
    if volume.shape[0] == 1:  # what is the thickness of one slice is a matter of taste
        affine[:3, 0] *= np.linalg.norm(volume.affine[:3, 0]) / np.linalg.norm(affine[:3, 0])
    found = aligned(volume.voxels(), volume.affine, affine)
    measured = found != AIR_HU
    assert (found[measured] == voxels[measured]).all()
    assert (voxels[~measured] <= AIR_HU).all()


def test_the_slice_that_does_not_tell_its_thickness_is_warned_of():
    with pytest.warns(VolumeWarning, match="3 mm were assumed"):
        open_volume(ROOT / "pydicom_data/explicit_VR-UN.dcm")


def test_positions_go_before_the_slice_thickness():
    assert open_volume(ROOT / "totalseg/dicom").notes == (
        "Slices are 2 mm apart by their positions; SliceThickness says 3 mm.",
    )


@pytest.mark.parametrize("codec", ["rle", "jpeg", "jpegls", "j2k"])
def test_every_codec_decodes_what_another_program_decoded(codec):
    """They are MR, which is warned of; their ground truths are NIfTI files."""
    folder = ROOT / f"dicom2nifti/generic/compressed_{codec}"
    with pytest.warns(VolumeWarning, match="The modality is MR"):
        volume = open_volume(folder / "001")
    for name in ("001_ground_truth.nii.gz", "001_ground_truth_reoriented.nii.gz"):
        truth = open_volume(folder / name)
        assert (aligned(volume.voxels(), volume.affine, truth.affine) == truth.voxels()).all()
        image = nibabel.load(folder / name)
        assert (truth.voxels().transpose(2, 1, 0) == np.asarray(image.dataobj)).all()


def test_an_uncompressed_oblique_stack_with_a_rescale_of_each_slice():
    volume = open_volume(ROOT / "dicom2nifti/generic/anatomical/002_non_isotropic", modality="MR")
    assert volume.spacing == pytest.approx((0.5, 4.0, 6.4), rel=1e-4)
    voxels, affine = read_by_simpleitk(ROOT / "dicom2nifti/generic/anatomical/002_non_isotropic")
    assert aligned(volume.voxels(), volume.affine, affine).shape == voxels.shape


@pytest.mark.parametrize("path", REFUSED)
def test_what_is_broken_is_refused_for_what_is_wrong_with_it(path):
    with pytest.raises(VolumeError, match=REFUSED[path]) as caught:
        open_volume(ROOT / path)
    assert Path(path).name in str(caught.value)


def test_truncated_pixels_are_refused():
    with pytest.raises(VolumeError, match="must hold all the pixels that its header claims"):
        open_volume(ROOT / "pydicom/MR_truncated.dcm", modality="MR").voxels()
