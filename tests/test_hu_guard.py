"""The HU guard on phantoms whose true HU are known, and on what goes wrong with them on the way."""

import numpy as np
import pytest

from med3d_r1.hu_guard_med3d_r1 import Finding, VoxelStatistics, examine

SHAPE = (40, 64, 64)


def judged(voxels: np.ndarray, slab: int = 7) -> Finding | None:
    """What the guard finds when the voxels stream by in slabs."""
    statistics = VoxelStatistics(voxels.shape)
    for _ in statistics.watch(iter([voxels[start : start + slab] for start in range(0, len(voxels), slab)])):
        pass
    return examine(statistics.samples, statistics.lowest, statistics.highest)


def outcome(voxels: np.ndarray) -> str:
    finding = judged(voxels)
    return "accept" if finding is None else "refuse" if finding.refuse else "warn"


def noise_free() -> np.ndarray:
    """Air -1000, a body of 40 HU with two lungs, fat and a spine."""
    hu = np.full(SHAPE, -1000.0)
    hu[:, 10:54, 6:58] = -90
    hu[:, 13:51, 9:55] = 40
    hu[4:, 18:44, 13:27] = hu[4:, 18:44, 36:50] = -850
    hu[:, 42:48, 29:35] = 600
    return hu


def chest(seed: int = 0) -> np.ndarray:
    """The same with noise, whole HU."""
    return np.rint(noise_free() + np.random.default_rng(seed).normal(0, 25, SHAPE))


def in_a_circle(hu: np.ndarray, padding: float) -> np.ndarray:
    """What lies outside the circular field of view is filled with one value."""
    row, column = np.ogrid[-1 : 1 : SHAPE[1] * 1j, -1 : 1 : SHAPE[2] * 1j]
    return np.where(row**2 + column**2 <= 1, hu, padding)


def head() -> np.ndarray:
    rng = np.random.default_rng(1)
    hu = np.full(SHAPE, -1000.0)
    hu[:, 8:56, 12:52] = rng.uniform(300, 1800, (40, 48, 40))
    hu[:, 10:54, 14:50] = 35
    return np.rint(hu + rng.normal(0, 8, SHAPE))


def mr(background: float) -> np.ndarray:
    """Bright fat, darker muscle and next to no signal from air, lung and cortical bone."""
    signal = np.full(SHAPE, background)
    for hu, strength in ((-90, 850), (40, 380), (-850, 30), (600, 60)):
        signal[noise_free() == hu] = strength
    return np.where(signal > 0, np.rint(np.abs(signal + np.random.default_rng(7).normal(0, 15, SHAPE))), 0)


ACCEPTED = {
    "chest": chest(),
    "noise free": noise_free(),
    "air and tissue only": np.where(noise_free() > -500, 40.0, -1000.0),
    "clipped as in the release": np.clip(chest(), -1000, 1000),
    "values below -1024": chest() - 60,
    "unfiltered air": np.rint(chest() + np.random.default_rng(2).normal(0, 90, SHAPE)),
    "padding -2000": in_a_circle(chest(), -2000),
    "padding -3024": in_a_circle(chest(), -3024),
    "padding that is air after adding 1024": in_a_circle(chest(), -2048),
    "one slice": chest()[20:21],
    "a crop of the heart and some lung": chest()[:, 20:50, 20:44],
    "metal": np.where(noise_free() == 600, 20000, chest()),
    "head": head(),
    "mostly air": np.pad(chest(), 20, constant_values=-1000),
}
WARNED = {
    "constant": np.zeros(SHAPE),
    "all air": np.full(SHAPE, -1000.0),
    "air and lung": chest()[4:, 19:43, 14:26],
    "air and lung with padding": in_a_circle(np.where(noise_free() == -850, chest(), -1000), -2000),
    "no air": chest()[:, 45:50, 13:50],
    "brain": head()[:, 8:56, 12:52],
    "padding after interpolation": in_a_circle(chest(), -2000)
    + np.where(in_a_circle(chest(), 1) == 1, np.random.default_rng(3).normal(0, 300, SHAPE), 0),
    "uniform 0 to 254": np.random.default_rng(4).integers(0, 255, SHAPE).astype(float),
}
REFUSED = {
    "twice": (chest() - 1024, "applied twice"),
    "twice, clipped before": (np.maximum(chest(), -1024) - 1024, "applied twice"),
    "twice, noise free": (noise_free() - 1024, "applied twice"),
    "twice, air and tissue only": (ACCEPTED["air and tissue only"] - 1024, "applied twice"),
    "twice, 8192": (chest() - 8192, "applied twice"),
    "twice, padded": (in_a_circle(chest(), -2000) - 1024, "applied twice"),
    "twice, one slice": (chest()[20:21] - 1024, "applied twice"),
    "not applied": (chest() + 1024, "not to have been applied"),
    "not applied, unsigned": (np.maximum(chest() + 1024, 0), "not to have been applied"),
    "not applied, 1000": (chest() + 1000, "not to have been applied"),
    "not applied, 8192": (chest() + 8192, "not to have been applied"),
    "not applied, 32768": (chest() + 32768, "not to have been applied"),
    "not applied, padded": (in_a_circle(chest() + 1024, -2000), "not to have been applied"),
    "0 to 1": (np.clip((chest() + 1000) / 2000, 0, 1), "normalised"),
    "-1 to 1": (np.clip(chest() / 1000, -1, 1), "normalised"),
    "z-score": ((chest() - chest().mean()) / chest().std(), "normalised"),
    "mask": ((noise_free() == -850).astype(float), "a mask"),
    "labels": (np.where(noise_free() == -850, 10.0, 0) + np.where(noise_free() == 600, 90.0, 0), "a mask"),
    "0 to 255": (np.clip((chest() + 1000) / 2000, 0, 1) * 255 // 1, "0"),
    "0 to 255 without background": (np.clip((chest()[:, 14:50, 10:54] + 950) / 1100, 0, 1) * 255 // 1, "picture"),
    "MR, background 0": (mr(0), "MR"),
    "MR, dark background": (mr(20), "MR"),
    "MR, signed": (mr(20) - 20, "MR"),
    "MR, large values": (20 * mr(100), "4000"),
    "PET": (np.where(noise_free() == 40, 5.0, 0) + 40 * np.random.default_rng(5).random(SHAPE) ** 9, "PET"),
    "far too low": (10 * chest(), "-1200"),
    "neither air nor tissue": (np.random.default_rng(6).normal(-200, 30, SHAPE) + 900, "neither|bright|above"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_hounsfield_units_pass(name):
    assert judged(ACCEPTED[name]) is None


@pytest.mark.parametrize("name", WARNED)
def test_what_is_doubtful_is_warned_of(name):
    assert outcome(WARNED[name]) == "warn"


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_hounsfield_units_is_refused(name):
    voxels, words = REFUSED[name]
    finding = judged(voxels)
    assert finding is not None
    assert finding.refuse
    assert any(word in f"{finding.rule} {finding.found}" for word in words.split("|"))
    assert "hu_guard=" in finding.remedy


@pytest.mark.parametrize(("offset", "remedy"), [(1024, "rescale=(1, -1024)"), (8192, "rescale=(1, -8192)")])
def test_the_remedy_names_the_rescale_that_helps(offset, remedy):
    assert remedy in judged(chest() + offset).remedy
    assert remedy.replace("-", "") in judged(chest() - offset).remedy


def test_statistics_cover_all_voxels_and_sample_all_slabs():
    """A stride of 2 along each axis: (400 * 50 * 100 / 250000) ** (1/3) = 2."""
    voxels = np.arange(400 * 50 * 100, dtype=np.int32).reshape(400, 50, 100).astype(np.float32)
    for slab in (1, 3, 64, 400):
        statistics = VoxelStatistics(voxels.shape)
        passed = list(statistics.watch(iter([voxels[start : start + slab] for start in range(0, 400, slab)])))
        assert np.array_equal(np.concatenate(passed), voxels)
        assert np.array_equal(statistics.samples, voxels[::2, ::2, ::2])
        assert (statistics.lowest, statistics.highest) == (0, voxels.max())


def test_the_sample_of_a_small_scan_is_the_scan():
    statistics = VoxelStatistics((1, 30, 30))
    list(statistics.watch(iter([np.ones((1, 30, 30), dtype=np.int16)])))
    assert statistics.samples.shape == (1, 30, 30)


def test_slices_that_are_missing_are_noticed():
    with pytest.raises(ValueError, match="handed out 3 slices"):
        list(VoxelStatistics((4, 5, 6)).watch(iter([np.zeros((3, 5, 6), dtype=np.int16)])))
