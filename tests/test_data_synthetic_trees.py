"""Synthetic chests in both layouts go the whole way: written, read, made into rows, saved and loaded by `datasets`."""

import numpy as np
import pytest
from datasets import load_from_disk

from med3d_r1.data.ct_rate import questions_file, read_ct_rate
from med3d_r1.data.mmvqa import mmvqa_rows
from med3d_r1.data.phantom import write_ct_rate_tree, write_rad_chestct_tree
from med3d_r1.data.rad_chestct import read_rad_chestct
from med3d_r1.data.rows import as_dataset, report_rows, vqa_rows
from med3d_r1.data.vqa import read_vqa
from med3d_r1.image_processing_med3d_r1 import Med3DR1ImageProcessor


@pytest.fixture(scope="module")
def ct_rate(tmp_path_factory):
    return write_ct_rate_tree(tmp_path_factory.mktemp("ct-rate"), {"validation": 8}, original=True)


@pytest.fixture
def processor():
    return Med3DR1ImageProcessor(spacing=(12, 6, 6), field_size=(28, 56, 56), size=(28, 56, 56))


def test_ct_rates_layout_becomes_rows(ct_rate, processor, tmp_path):
    scans = read_ct_rate(ct_rate, "validation")
    reports = report_rows(scans)
    answers = vqa_rows(scans, read_vqa(questions_file(ct_rate, "validation")))
    questions = mmvqa_rows(scans, distractors="random", draw="positive")
    assert len(reports) == sum(len(scan.volumes) for scan in scans) > 0
    assert len(answers) > 0
    assert len(questions) == sum(sum(scan.labels) for scan in scans) > 0
    for name, rows in (("sft", reports + answers), ("rl", questions)):
        as_dataset(rows).save_to_disk(tmp_path / name)
        loaded = load_from_disk(tmp_path / name)
        assert len(loaded) == len(rows)
        assert processor(loaded["images"][0], return_tensors="pt")["pixel_values"].shape == (1, 1, 28, 56, 56)


def test_originals_are_the_same_scans(ct_rate, processor):
    both = [read_ct_rate(ct_rate, "validation", volumes=volumes)[0].volumes[0] for volumes in ("fixed", "original")]
    fixed, original = (processor.prepare(volume.path, **volume.reading).hu for volume in both)
    assert np.array_equal(fixed, original)


def test_rad_chestcts_layout_becomes_questions(processor, tmp_path):
    scans = read_rad_chestct(write_rad_chestct_tree(tmp_path, {"test": 6}), "test")
    rows = mmvqa_rows(scans, draw="positive", images=lambda volume: str(volume.path))
    assert {row["report"] for row in rows} == {None}
    for scan in scans[:2]:
        assert processor.prepare(scan.volumes[0].path, **scan.volumes[0].reading).hu.max() > 100
