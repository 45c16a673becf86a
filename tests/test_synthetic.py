"""The synthetic chest: what lies where, how dense it is, and that every reader takes it for a CT."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.checkpoints import IMAGE_PROCESSORS
from med3d_r1.synthetic import EXTENT_MM, save_nifti, synthetic_chest

SHAPE = (55, 96, 96)


@pytest.fixture(scope="module")
def chest():
    return synthetic_chest(SHAPE)


@pytest.fixture(scope="module")
def voxels(chest):
    return chest.voxels()


@pytest.mark.parametrize(
    ("place", "low", "high"),
    [
        ((75, 0, 40), -900, -780),  # right lung
        ((-75, 0, 40), -900, -780),  # left lung
        ((68, 0, -145), 60, 130),  # liver, at the patient's right
        ((-52, 42, -122), -950, -850),  # air in the stomach, left
        ((-40, 16, -50), 110, 190),  # heart, left of the middle, contrast agent in its chamber
        ((0, -12, 100), -1024, -850),  # windpipe
        ((0, -68, 0), 100, 500),  # spine, at the back
        ((0, 84, 20), 150, 350),  # breastbone, at the front
        ((180, 170, 0), -1024, -950),  # air around the body
    ],
)
def test_organs_lie_where_they_belong_and_have_their_density(chest, voxels, place, low, high):
    """Places in mm, RAS+: x to the patient's right, y to the front, z to the head."""
    index = np.rint(np.linalg.inv(chest.affine) @ (*place, 1.0))[:3].astype(int)
    around = voxels[tuple(slice(i - 1, i + 2) for i in index)]
    assert low < np.median(around) < high


def test_the_same_seed_gives_the_same_body_and_another_seed_another(chest, voxels):
    assert np.array_equal(synthetic_chest(SHAPE).voxels(), voxels)
    assert not np.array_equal(synthetic_chest(SHAPE, seed=1).voxels(), voxels)


@given(st.tuples(*[st.integers(1, 12)] * 3), st.tuples(*[st.floats(0.5, 40)] * 3) | st.none(), st.integers(0, 99))
def test_any_grid_is_filled_about_the_origin(shape, spacing, seed):
    volume = synthetic_chest(shape, spacing, seed)
    voxels = volume.voxels()
    assert voxels.shape == shape
    assert voxels.dtype == np.int16
    assert -1024 <= voxels.min() <= voxels.max() <= 3000
    middle = volume.affine @ (*((np.array(shape) - 1) / 2), 1)
    assert middle[:3] == pytest.approx((0, 0, 0), abs=1e-9)
    assert volume.spacing == pytest.approx(spacing or np.divide(EXTENT_MM, shape))


@pytest.mark.parametrize("preset", ["3b", "tiny"])
def test_it_passes_for_a_ct_without_a_warning(chest, preset):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepared = Med3DR1ImageProcessor(**IMAGE_PROCESSORS[preset]).prepare(chest)
    assert prepared.record["warnings"] == []


def test_a_stored_one_is_read_as_it_was(chest, tmp_path):
    save_nifti(chest, tmp_path / "chest.nii.gz")
    processor = Med3DR1ImageProcessor(**IMAGE_PROCESSORS["tiny"])
    stored, direct = processor.prepare(tmp_path / "chest.nii.gz"), processor.prepare(chest)
    assert np.array_equal(stored.hu, direct.hu)
    np.testing.assert_allclose(stored.affine, direct.affine, atol=1e-4)  # NIfTI keeps float32
