"""Scans laid onto the model's grid: the same anatomy gives the same voxels, and millimetres stay where they were."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from med3d_r1.geometry_med3d_r1 import ModelGrid, Placement, Pose, place
from med3d_r1.volume_med3d_r1 import AIR_HU, CTVolume, VolumeError, orientation_affine

ORIENTATIONS = [
    "".join(letters)
    for pairs in itertools.permutations(("SI", "PA", "LR"))
    for letters in itertools.product(*pairs)
]  # fmt: skip
GRID = ModelGrid(spacing=(3.0, 1.5, 1.5), field_size=(14, 24, 22), size=(10, 20, 18))


def scan(voxels: np.ndarray, affine: np.ndarray, slab: int = 3) -> CTVolume:
    """A scan that hands out `slab` slices at a time."""

    def blocks():
        return iter([voxels[start : start + slab] for start in range(0, len(voxels), slab)])

    return CTVolume("scan", voxels.shape, affine, blocks)


def placed(volume: CTVolume, grid: ModelGrid = GRID) -> Placement:
    return place(volume.blocks(), Pose.of(volume.name, volume.shape, volume.affine), grid)


def stored_as(canonical: np.ndarray, orientation: str, spacing: tuple[float, float, float]) -> CTVolume:
    """A canonical volume as another program would store it: the same anatomy at the same millimetres."""
    axes = [next(axis for axis, pair in enumerate(("SI", "PA", "LR")) if letter in pair) for letter in orientation]
    flips = [axis for axis, letter in enumerate(orientation) if letter in "IAR"]
    voxels = np.ascontiguousarray(np.flip(canonical.transpose(axes), flips))
    affine = orientation_affine(orientation, tuple(spacing[axis] for axis in axes))
    last = np.array(canonical.shape) - 1
    corner = np.zeros(3)
    for axis in flips:
        corner[axes[axis]] = last[axes[axis]]
    affine[:3, 3] = orientation_affine("SPL", spacing)[:3, :3] @ corner + (10.0, 20.0, 30.0)
    return scan(voxels, affine)


def noise(shape, seed=0, dtype=np.int16) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1300, 2000, shape).astype(dtype)


def test_there_are_48_orientations():
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("antialias", [True, False])
def test_all_48_orientations_give_the_same_voxels_and_millimetres(antialias):
    """Sizes that crop along D, pad along H and do both halves of odd differences."""
    voxels, spacing = noise((47, 21, 53)), (0.8, 1.3, 0.7)
    grid = ModelGrid(**{**vars(GRID), "antialias": antialias})
    expected = placed(stored_as(voxels, "SPL", spacing), grid)
    assert expected.hu.std() > 100
    for orientation in ORIENTATIONS:
        result = placed(stored_as(voxels, orientation, spacing), grid)
        assert np.array_equal(result.hu, expected.hu), orientation
        assert result.affine == pytest.approx(expected.affine, abs=1e-9), orientation


@given(
    st.tuples(*[st.integers(1, 60)] * 3),
    st.tuples(*[st.floats(0.3, 5.0)] * 3),
    st.sampled_from(ORIENTATIONS),
    st.integers(1, 9),
    st.integers(0, 99),
)
@settings(max_examples=60)
def test_orientation_slabs_and_dtype_change_nothing(shape, spacing, orientation, slab, seed):
    voxels = noise(shape, seed)
    expected = placed(stored_as(voxels, "SPL", spacing))
    volume = stored_as(voxels.astype(np.float32), orientation, spacing)
    result = placed(scan(volume.voxels(), volume.affine, slab))
    assert np.array_equal(result.hu, expected.hu)


@pytest.mark.parametrize("orientation", ["SPL", "IPL", "LPS", "RAI", "ALS"])
def test_slabs_of_both_types_may_mix(orientation):
    voxels = noise((9, 12, 11))
    volume = stored_as(voxels, orientation, (3.0, 2.0, 1.0))
    stored = volume.voxels()
    mixed = CTVolume(
        "mixed", stored.shape, volume.affine, lambda: iter([stored[:4], stored[4:5].astype(np.float32), stored[5:]])
    )
    assert np.array_equal(placed(mixed).hu, placed(volume).hu)


@pytest.mark.parametrize("orientation", ["SPL", "LPS", "PIR", "RAS"])
def test_a_value_stays_at_its_place_in_the_body(orientation):
    """HU that grow linearly with position: linear interpolation keeps them, so each voxel tells where it came from."""
    slope = np.array([3.0, -5.0, 4.0])
    spacing, shape = (1.1, 0.9, 1.3), (40, 44, 41)
    volume = stored_as(np.zeros(shape, dtype=np.int16), orientation, spacing)
    indices = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), axis=-1)
    millimetres = indices @ volume.affine[:3, :3].T + volume.affine[:3, 3]
    volume = scan((millimetres @ slope).astype(np.float32), volume.affine)
    result = placed(volume, ModelGrid(**{**vars(GRID), "antialias": False}))
    indices = np.stack(np.meshgrid(*map(np.arange, result.hu.shape), indexing="ij"), axis=-1)
    millimetres = indices @ result.affine[:3, :3].T + result.affine[:3, 3]
    inside = tuple(axis.inside for axis in result.axes)
    assert result.hu[inside] == pytest.approx((millimetres @ slope)[inside], abs=0.51)


def test_the_effective_spacing_covers_the_same_extent():
    """10 samples at 1 mm -> round(10 / 1.5) = 7 samples of 10 / 7 mm."""
    result = placed(stored_as(noise((4, 10, 10)), "SPL", (3.0, 1.0, 1.0)))
    assert result.spacing == pytest.approx((3.0, 10 / 7, 10 / 7))
    assert np.linalg.norm(result.affine[:3, :3], axis=0) == pytest.approx(result.spacing)


def test_padding_does_not_bleed():
    """Air beside a padding of -3024 stays air."""
    voxels = np.full((12, 20, 20), -3024, dtype=np.int16)
    voxels[:, 5:15, 5:15] = AIR_HU
    assert (placed(stored_as(voxels, "SPL", (1.0, 1.0, 1.0))).hu == AIR_HU).all()


def test_what_lies_outside_the_scan_is_air():
    result = placed(stored_as(np.full((2, 4, 4), 50, dtype=np.int16), "SPL", (3.0, 1.5, 1.5)))
    assert np.argwhere(result.hu == 50).min(axis=0).tolist() == [4, 8, 7]
    assert (result.hu == 50).sum() == 2 * 4 * 4
    assert (result.hu[result.hu != 50] == AIR_HU).all()


def test_a_margin_adds_voxels_around_the_same_crop():
    volume = stored_as(noise((60, 60, 60)), "SPL", (1.0, 1.0, 1.0))
    wide = placed(volume, ModelGrid(**{**vars(GRID), "margin": (2, 1, 2)}))
    narrow = placed(volume)
    assert wide.hu.shape == (14, 22, 22)
    assert np.array_equal(wide.hu[2:-2, 1:-1, 2:-2], narrow.hu)
    assert wide.affine @ (2, 1, 2, 1) == pytest.approx(narrow.affine @ (0, 0, 0, 1))


def test_a_crop_touches_nothing_beyond_it():
    """Voxels that the model does not see may hold anything."""
    voxels = noise((90, 90, 90))
    expected = placed(stored_as(voxels, "SPL", (1.0, 1.0, 1.0)))
    voxels[:20] = voxels[:, -20:] = voxels[:, :, :20] = 30000
    assert np.array_equal(placed(stored_as(voxels, "SPL", (1.0, 1.0, 1.0))).hu, expected.hu)


def turned(affine: np.ndarray, degrees: float, axis: int, centre) -> np.ndarray:
    """The affine after turning the scan about an axis of the world through `centre`."""
    radians = np.radians(degrees)
    rotation = np.eye(4)
    one, two = [row for row in range(3) if row != axis]
    rotation[[one, one, two, two], [one, two, one, two]] = np.array([1, -1, 1, 1]) * [
        np.cos(radians), np.sin(radians), np.sin(radians), np.cos(radians)
    ]  # fmt: skip
    rotation[:3, 3] = centre - rotation[:3, :3] @ centre
    return rotation @ affine


def bump(millimetres: np.ndarray) -> np.ndarray:
    """HU of a smooth body that is not symmetric: two soft balls in air."""
    large = np.exp(-((millimetres - (2.0, 1.0, -3.0)) ** 2).sum(-1) / 120)
    small = np.exp(-((millimetres - (-8.0, 6.0, 7.0)) ** 2).sum(-1) / 80)
    return np.clip(-1000 + 900 * large + 600 * small, -1024, 3000)


@pytest.mark.parametrize("orientation", ["SPL", "RAS", "ASR"])
@pytest.mark.parametrize("degrees", [1.5, 12.0, -35.0])
@pytest.mark.parametrize("axis", [0, 2])
def test_an_oblique_scan_is_turned_back(orientation, degrees, axis):
    """Sampled on a turned grid, a smooth body comes back as if it had been sampled upright."""
    volume = stored_as(np.zeros((60, 60, 60), dtype=np.int16), orientation, (1.0, 1.0, 1.0))
    centre = volume.affine[:3, :3] @ (np.array(volume.shape) - 1) / 2 + volume.affine[:3, 3]
    affine = turned(volume.affine, degrees, axis, centre)
    affine[:3, 3] -= centre
    indices = np.stack(np.meshgrid(*map(np.arange, volume.shape), indexing="ij"), axis=-1)
    volume = scan(bump(indices @ affine[:3, :3].T + affine[:3, 3]).astype(np.float32), affine)
    result = placed(volume, ModelGrid((2.0, 1.5, 1.5), (20, 24, 24), (16, 20, 20)))
    indices = np.stack(np.meshgrid(*map(np.arange, result.hu.shape), indexing="ij"), axis=-1)
    expected = bump(indices @ result.affine[:3, :3].T + result.affine[:3, 3])
    assert np.abs(result.hu - expected).max() < 30  # of 900: shrinking and turning smooth a little
    assert result.affine[:3, :3] == pytest.approx(orientation_affine("SPL", (2.0, 1.5, 1.5))[:3, :3])


def test_an_oblique_scan_looks_the_same_in_any_orientation_and_with_any_number_of_threads():
    voxels = noise((30, 40, 35))
    centre = np.array([1.0, 2.0, 3.0])
    threads = torch.get_num_threads()
    results = []
    for number, orientation in enumerate(["SPL", "RAI", "LSA", "PIR"]):
        volume = stored_as(voxels, orientation, (1.2, 0.9, 0.8))
        torch.set_num_threads(1 + number % 2)
        results.append(placed(scan(volume.voxels(), turned(volume.affine, 20.0, 1, centre))))
    torch.set_num_threads(threads)
    assert all(np.array_equal(result.hu, results[0].hu) for result in results)


def test_a_turned_scan_is_air_outside():
    """A cube of 20 mm turned by 45 degrees is 28.3 mm across: the corners of its box are air."""
    volume = stored_as(np.full((20, 20, 20), 100, dtype=np.int16), "SPL", (1.0, 1.0, 1.0))
    result = placed(
        scan(volume.voxels(), turned(volume.affine, 45.0, 2, np.zeros(3))), ModelGrid((1, 1, 1), (28,) * 3, (28,) * 3)
    )
    assert [axis.whole for axis in result.axes] == [20, 28, 28]
    assert (result.hu[:, [0, 0, -1, -1], [0, -1, 0, -1]] == AIR_HU).all()
    assert (result.hu[4:-4, 13:15, 13:15] == 100).all()
    assert result.hu[14].astype(int).sum() == pytest.approx(400 * 100 + (784 - 400) * AIR_HU, rel=0.02)


def test_a_small_tilt_keeps_the_grid_and_the_true_directions():
    volume = stored_as(noise((30, 40, 40)), "SPL", (1.0, 1.0, 1.0))
    tilted = turned(volume.affine, 0.9, 0, np.zeros(3))
    result = placed(scan(volume.voxels(), tilted))
    assert np.array_equal(result.hu, placed(volume).hu)
    assert Pose.of("scan", volume.shape, tilted).tilt == pytest.approx(0.9)
    directions = result.affine[:3, :3] / np.linalg.norm(result.affine[:3, :3], axis=0)
    assert directions == pytest.approx(tilted[:3, :3])


@pytest.mark.parametrize(("degrees", "refused"), [(0.4, False), (0.6, True), (14.0, True)])
def test_a_gantry_tilt_is_refused(degrees, refused):
    affine = orientation_affine("SPL", (5.0, 0.5, 0.5))
    affine[1, 0] = 5.0 * np.tan(np.radians(degrees))
    if not refused:
        assert Pose.of("scan", (4, 5, 6), affine).shape == (4, 5, 6)
        return
    with pytest.raises(VolumeError, match=f"{degrees:.1f} degrees of shear"):
        Pose.of("scan", (4, 5, 6), affine)


def test_an_affine_without_a_direction_is_refused():
    affine = orientation_affine("SPL", (1.0, 1.0, 1.0))
    affine[:, 1] = 0
    with pytest.raises(VolumeError, match="a direction and a spacing"):
        Pose.of("scan", (4, 5, 6), affine)
