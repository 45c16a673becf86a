"""Pictures of a scan: which slices, which way round, how bright."""

from dataclasses import replace

import numpy as np
import pytest

from med3d_r1.evaluation.views import ViewSettings, radiographs, show, stitch
from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor
from med3d_r1.prepared_med3d_r1 import PreparedVolume
from scans import synthetic_chest
from tiny import tiny_processor


@pytest.fixture(scope="module")
def chest():
    return tiny_processor().image_processor.prepare(synthetic_chest((40, 56, 56)))


def numbered(prepared: PreparedVolume) -> PreparedVolume:
    """Each slice has its own number of HU, and there is no padding."""
    hu = np.zeros_like(prepared.hu) + 10 * np.arange(len(prepared.hu), dtype=np.int16)[:, None, None]
    record = {**prepared.record, "padded_mm": dict.fromkeys(prepared.record["padded_mm"], 0.0)}
    return replace(prepared, hu=hu, record=record)


def test_frames_stand_in_the_middle_of_equal_parts(chest):
    """32 slices in 4 parts of 8: slices 4, 12, 20, 28; black at 0 HU and white at 310."""
    settings = ViewSettings("video", slices=4, pixels=16, window=(0.0, 310.0))
    levels = [np.asarray(frame)[0, 0, 0] for frame in show(numbered(chest), settings)]
    assert levels == [round(255 * hu / 310) for hu in (40, 120, 200, 280)]


def test_more_frames_than_slices_repeat_slices(chest):
    assert len(show(chest, ViewSettings("video", slices=50, pixels=16))) == 50


def test_a_montage_reads_row_by_row(chest):
    settings = ViewSettings("montage", slices=5, columns=2, pixels=16, window=(0.0, 310.0))
    (sheet,) = show(numbered(chest), settings)
    assert sheet.size == (32, 48)
    corners = np.asarray(sheet)[::16, ::16, 0]
    assert (np.diff(corners.ravel()[:5].astype(int)) > 0).all()
    assert corners[2, 1] == 0


def test_padding_is_not_shown():
    """A scan of 120 mm in a field of 336 mm fills a third of the slices; all frames show some of it."""
    processor = tiny_processor().image_processor
    short = synthetic_chest((12, 56, 56), spacing=(10.0, 6.0, 6.0))
    prepared = processor.prepare(short)
    assert (prepared.hu == prepared.hu.min()).all(axis=(1, 2)).sum() > 10
    for frame in show(prepared, ViewSettings("video", slices=8, pixels=32)):
        assert np.asarray(frame).max() > 100


def test_the_patients_right_is_on_the_left(chest):
    marked = np.full(chest.hu.shape, -1000, np.int16)
    marked[:, :8, :8] = 400  # in front, on the patient's right
    (first, *_) = show(replace(chest, hu=marked), ViewSettings("video", slices=2, pixels=64))
    gray = np.asarray(first)[..., 0]
    assert gray[:6, :6].min() > 200
    assert gray[20:].max() < 20
    assert gray[:, 20:].max() < 20


def test_radiographs_look_along_each_axis():
    """A dense rod along the body's axis, in water: a bar from the front and the side, a dot from the feet."""
    hu = np.zeros((20, 30, 40), np.int16)
    hu[:, 14:16, 9:11] = 3000
    front, side, feet = (np.asarray(film)[..., 0] > 128 for film in radiographs(hu, (2.0, 1.0, 1.0), 40))
    assert (front.shape, side.shape, feet.shape) == ((40, 40), (40, 30), (30, 40))
    assert front.all(axis=0).any()
    assert side.all(axis=0).any()
    assert front[:, 20:].sum() == 0
    assert 0 < feet.sum() < 0.02 * feet.size
    assert not feet.all(axis=0).any()


def test_dense_is_white(chest):
    front = np.asarray(show(chest, ViewSettings("drr", pixels=64))[0])[..., 0].astype(float)
    middle = front[:, 28:36].mean()  # the spine and the heart
    lungs = front[20:30, [18, 19, 20, 44, 45, 46]].mean()
    assert middle > lungs + 40


def test_empty_voxels_make_black_radiographs():
    films = radiographs(np.full((4, 5, 6), -1000, np.int16), (1, 1, 1), 8)
    assert all(np.asarray(film).max() == 0 for film in films)


def test_pixels_are_square_in_millimetres():
    hu = np.zeros((10, 20, 20), np.int16)
    front, _, feet = radiographs(hu, (3.0, 1.0, 2.0), 40)
    assert front.size == (40, 30)  # 40 mm from side to side, 30 mm high
    assert feet.size == (40, 20)


def test_what_is_left_of_the_last_row_is_black(chest):
    frames = show(chest, ViewSettings("video", slices=3, pixels=10))
    assert np.asarray(stitch(frames, 2))[10:, 10:].max() == 0


def test_the_release_grid_is_shown_too():
    prepared = Med3DR1ImageProcessor().prepare(synthetic_chest((30, 40, 40)))
    assert show(prepared, ViewSettings())[0].size == (896, 896)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [({"strategy": "mosaic"}, "mosaic"), ({"slices": 0}, "1 or more"), ({"window": (40.0, 40.0)}, "higher")],
)
def test_settings_that_make_no_sense_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        ViewSettings(**wrong)
