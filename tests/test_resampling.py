"""The resampler against torch's, against numbers by hand, and against itself in another order."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import interpolate

from med3d_r1.resampling_med3d_r1 import AxisGrid, Taps, axis_taps, model_axis, resample_planes, resampled_length

lengths = st.integers(1, 40)


def whole(source: int, outputs: int) -> AxisGrid:
    """A grid that shows the whole resampled axis and nothing else."""
    return AxisGrid(source, outputs, first=0, length=outputs)


def as_matrix(taps: Taps, source: int) -> np.ndarray:
    """Taps as dense float32 (outputs, source)."""
    dense = np.zeros((len(taps.start), source), dtype=np.float32)
    for output, (start, count) in enumerate(zip(taps.start, taps.counts, strict=True)):
        dense[output, start : start + count] = taps.weights[output, :count]
    return dense


def resample(volume: np.ndarray, shape: tuple[int, int, int], antialias: bool, order=None) -> np.ndarray:
    """The whole of `volume` on a grid of `shape`, its planes fed in the given order."""
    depth, rows, columns = (axis_taps(whole(*axis), antialias) for axis in zip(volume.shape, shape, strict=True))
    order = range(len(volume)) if order is None else order
    planes = ((index, volume[index]) for index in order)
    result = np.full(shape, np.nan, dtype=np.float32)
    for index, plane in resample_planes(planes, depth, rows, columns):
        result[index] = plane
    return result


@given(st.tuples(lengths, lengths, lengths), st.tuples(lengths, lengths, lengths), st.integers(0, 2**31))
@settings(max_examples=60)
def test_without_antialias_it_is_trilinear_interpolation(source, target, seed):
    volume = np.random.default_rng(seed).uniform(-1000, 1000, source).astype(np.float32)
    expected = interpolate(torch.from_numpy(volume)[None, None], size=target, mode="trilinear")[0, 0].numpy()
    assert resample(volume, target, antialias=False) == pytest.approx(expected, abs=1e-2)


@given(lengths, lengths, st.integers(0, 2**31))
@settings(max_examples=100)
def test_with_antialias_each_axis_is_that_of_two_dimensional_interpolation(source, target, seed):
    line = np.random.default_rng(seed).uniform(-1000, 1000, (source, 3)).astype(np.float32)
    expected = interpolate(torch.from_numpy(line)[None, None], size=(target, 3), mode="bilinear", antialias=True)
    result = as_matrix(axis_taps(whole(source, target), antialias=True), source) @ line
    assert result == pytest.approx(expected[0, 0].numpy(), abs=1e-2)


@given(st.tuples(lengths, lengths, lengths), st.tuples(lengths, lengths, lengths), st.integers(0, 2**31))
@settings(max_examples=40)
def test_planes_may_come_in_any_order(source, target, seed):
    rng = np.random.default_rng(seed)
    volume = rng.integers(-1024, 3000, source).astype(np.float32)
    forwards = resample(volume, target, antialias=True)
    shuffled = resample(volume, target, antialias=True, order=rng.permutation(source[0]))
    assert np.array_equal(forwards, shuffled)


def test_antialiased_weights_by_hand():
    """6 samples -> 2: factor 3, half width 3, output 0 centred at 1. Distances 1 0 1 2 give weights 2/3 1 2/3 1/3."""
    weights = as_matrix(axis_taps(whole(6, 2), antialias=True), 6)
    expected = np.array([[2, 3, 2, 1, 0, 0], [0, 0, 1, 2, 3, 2]]) / 8
    assert weights == pytest.approx(expected, abs=1e-6)


def test_linear_weights_by_hand():
    """4 samples -> 2: output 0 lies at 0.5, halfway; 2 -> 4: output 0 lies at -0.25 and is clamped to sample 0."""
    assert as_matrix(axis_taps(whole(4, 2), antialias=False), 4).tolist() == [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]
    assert as_matrix(axis_taps(whole(2, 4), antialias=True), 2).tolist() == [
        [1, 0],
        [0.75, 0.25],
        [0.25, 0.75],
        [0, 1],
    ]


@given(lengths, lengths, st.booleans())
def test_every_output_is_an_average(source, target, antialias):
    taps = axis_taps(whole(source, target), antialias)
    assert taps.weights.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert taps.window.start >= 0
    assert taps.window.stop <= source


def test_a_crop_is_a_part_of_the_whole():
    complete = as_matrix(axis_taps(whole(50, 17), antialias=True), 50)
    part = axis_taps(AxisGrid(50, 17, first=5, length=4), antialias=True)
    assert np.array_equal(as_matrix(part, 50), complete[5:9])
    assert part.window == slice(13, 28)  # factor 2.94: first output at 15.68, last at 24.5, both +-2.94
    assert part.relative().window.start == 0


@pytest.mark.parametrize(
    ("outputs", "field", "size", "margin", "first"),
    [
        (260, 256, 224, 0, 18),  # excess 4: 2; then 32: 16
        (261, 256, 224, 0, 19),  # excess 5: the larger half, 3, at the lower side
        (256, 256, 224, 16, 0),  # the margin fills the field
        (100, 128, 112, 0, -6),  # missing 28: 14 before; of these 8 are cut again
        (101, 128, 112, 0, -5),  # missing 27: the smaller half, 13, at the lower side
        (1, 128, 112, 0, -55),
    ],
)
def test_crop_and_pad_follow_the_release(outputs, field, size, margin, first):
    grid = model_axis(300, outputs, field, size, margin)
    assert (grid.first, grid.length) == (first, size + 2 * margin)
    lower, upper = grid.overhang
    assert lower + grid.length + upper == outputs


def release_crop(line: np.ndarray, field: int, size: int) -> np.ndarray:
    """The release's steps on one axis, one after the other."""
    if (excess := len(line) - field) > 0:
        line = line[-(-excess // 2) :][:field]
    elif excess < 0:
        line = np.pad(line, (-excess // 2, -excess - -excess // 2), constant_values=-1024)
    start = (field - size) // 2
    return line[start : start + size]


@given(lengths, st.integers(0, 16), st.integers(1, 20))
def test_crop_and_pad_in_one_step_equal_two(outputs, half_difference, size):
    """For an even difference of field and size, as all presets have it."""
    field = size + 2 * half_difference
    line = np.arange(outputs)
    grid = model_axis(outputs, outputs, field, size)
    result = np.full(size, -1024)
    result[grid.inside] = line[grid.inside.start + grid.first : grid.inside.stop + grid.first]
    assert np.array_equal(result, release_crop(line, field, size))


@pytest.mark.parametrize(
    ("source", "spacing", "target", "length"),
    [
        (512, 0.7, 1.5, 239),  # 238.93
        (303, 2.5, 3.0, 252),  # 252.5, to the even number
        (303, 2.4999999, 3.0, 252),
        (303, 2.5000001, 3.0, 252),
        (1, 0.1, 3.0, 1),
    ],
)
def test_resampled_length(source, spacing, target, length):
    assert resampled_length(source, spacing, target) == length


def test_only_the_planes_still_needed_are_held():
    """50 planes -> 10 outputs of at most 10 taps: a plane is given up when the last output that uses it is done."""
    alive: set[int] = set()
    most = 0

    class Plane(np.ndarray):
        def __del__(self):
            alive.discard(id(self))

    def planes():
        nonlocal most
        for index in range(50):
            plane = np.zeros((4, 4), dtype=np.float32).view(Plane)
            alive.add(id(plane))
            most = max(most, len(alive))
            yield index, plane

    taps = axis_taps(whole(4, 4), antialias=True)
    outputs = [index for index, _ in resample_planes(planes(), axis_taps(whole(50, 10), True), taps, taps)]
    assert outputs == list(range(10))
    assert most <= 20
