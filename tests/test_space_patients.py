"""Scans on their two grids, what is said about them, and what is never said."""

import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest

import viewer
from med3d_r1 import Med3DR1ImageProcessor, VolumeError
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.checkpoints import IMAGE_PROCESSORS
from med3d_r1.inference import EvidenceMap
from med3d_r1.pictures import VIEWS
from med3d_r1.volume_med3d_r1 import coarse_affine
from patients import SYNTHETIC, Scan, read_scan, read_upload, refusal, synthetic_scan
from scans import synthetic_chest
from volume_files import chest, write_dicom_series

IDENTITY = {"PatientName": "DOE^JOHN", "PatientID": "MRN-4711", "PatientBirthDate": "19610203",
            "InstitutionName": "St. Elsewhere", "AccessionNumber": "ACC-99"}  # fmt: skip


@pytest.fixture(scope="module")
def image_processor():
    return Med3DR1ImageProcessor(**IMAGE_PROCESSORS["tiny"])


@pytest.fixture(scope="module")
def scan(image_processor):
    return read_scan(synthetic_chest((40, 56, 56)), image_processor)


def test_eyes_and_model_each_have_their_grid(scan, image_processor):
    assert (scan.shown.hu.shape, scan.seen.hu.shape) == ((112, 224, 224), (32, 64, 64))
    full_size = Med3DR1ImageProcessor()
    once = read_scan(synthetic_chest((40, 56, 56)), full_size)
    assert once.shown is once.seen


def test_a_place_is_the_same_on_both_grids(scan):
    """Voxel (16, 32, 32) of the coarse grid has its middle half a coarse voxel beyond the field's middle: 5.25 mm of
    10.5 along D, 1.75 fine voxels of 3 mm, hence fine voxel 55.5 + 1.75 = 57.25, next to 57; 2.625 mm along H and W,
    1.75 fine voxels of 1.5 mm, hence 111.5 + 1.75 = 113.25, next to 113."""
    millimetres = viewer.world(scan.seen, (16, 32, 32))
    assert viewer.nearest_voxel(scan.shown, millimetres) == (57, 113, 113)
    assert viewer.nearest_voxel(scan.seen, millimetres) == (16, 32, 32)
    assert viewer.nearest_voxel(scan.seen, millimetres + 10_000) == (31, 0, 0)


def test_planes_are_drawn_from_the_voxels_that_are_asked_for(scan):
    fine, coarse = (viewer.planes(scan, (56, 112, 112), "lung", as_seen=as_seen) for as_seen in (False, True))
    for drawn in (fine, coarse):
        assert [re.search(r'aria-label="(\w+) plane', svg)[1] for svg in drawn] == [view.name for view in VIEWS]
    assert len(coarse[0]) < len(fine[0]) / 4  # 64 x 64 pixels instead of 224 x 224


def test_evidence_lies_over_the_planes(scan):
    relevance = np.zeros((2, 4, 4), np.float32)
    relevance[1, 0, 0] = 1.0
    affine = coarse_affine(scan.seen.affine, scan.seen.hu.shape, relevance.shape)
    drawn = viewer.planes(scan, (100, 10, 10), "lung", EvidenceMap(relevance, None, affine))
    assert ['<rect class="cell"' in svg for svg in drawn] == [True, True, True]
    corner = re.search(r'<rect class="cell" x="(\S+)" y="(\S+)"', drawn[0])
    # Right and front. The coarse grid begins up to half a coarse voxel, 2.6 mm, beside the fine one.
    assert [float(corner[1]), float(corner[2])] == pytest.approx([0, 0], abs=2.7)


def test_the_readout_names_the_place_and_what_is_there(scan):
    position = (56, 112, 112)
    text = viewer.readout(scan, position)
    assert f"<b>{scan.shown.hu[position]} HU</b>" in text
    assert text.count("<b>") == 4


def test_the_facts_are_those_of_inspect_with_warnings_first(image_processor):
    thin = read_scan(synthetic_chest((40, 56, 56)), image_processor)
    record = {**thin.seen.record, "warnings": ["only 3 slices <b>"]}
    page = viewer.facts(Scan(thin.shown, type(thin.seen)(thin.seen.hu, thin.seen.affine, record)))
    assert page.startswith('<div class="facts"><p class="warning" role="alert">only 3 slices &lt;b&gt;</p><dl>')
    assert "<dt>stored</dt><dd>40 x 56 x 56 voxels" in page
    assert "<dt>HU</dt>" in page
    assert "synthetic" not in page


def test_a_synthetic_chest_tells_what_was_painted_and_is_made_once(image_processor, monkeypatch):
    monkeypatch.setattr("patients.SYNTHETIC_SHAPE", (16, 24, 24))
    name = next(iter(SYNTHETIC))
    scan = synthetic_scan(name, image_processor)
    assert synthetic_scan(name, image_processor) is scan
    synthetic_scan.cache_clear()
    assert scan.painted == SYNTHETIC[name][1]
    assert ", ".join(scan.painted) in viewer.facts(scan)
    assert {label for _, labels in SYNTHETIC.values() for label in labels} <= set(CT_RATE_LABELS)


def test_nobodys_identity_is_shown(tmp_path, image_processor):
    """A zipped DICOM series, whose header knows its patient."""
    series = tmp_path / "DOE_JOHN"
    write_dicom_series(series, chest((6, 24, 24)), **IDENTITY)
    shutil.make_archive(str(tmp_path / "DOE_JOHN"), "zip", series)
    scan = read_upload(str(tmp_path / "DOE_JOHN.zip"), image_processor)
    page = viewer.facts(scan) + viewer.readout(scan, scan.shown.middle) + str(scan.seen.record)
    assert not [value for value in IDENTITY.values() if value in page]
    assert "DOE" not in page
    assert not (tmp_path / "DOE_JOHN.zip").exists()


def test_a_refused_upload_is_deleted_and_the_sentence_fits_a_browser(tmp_path, image_processor):
    upload = tmp_path / "DOE_JOHN.nii.gz"
    upload.write_bytes(b"not a scan")
    with pytest.raises(VolumeError) as refused:
        read_upload(str(upload), image_processor)
    sentence = refusal(refused.value)
    assert sentence[0].isupper()
    assert "DOE" not in sentence
    assert not upload.exists()
    assert "<b>Refused.</b> A &lt;tag&gt;" in viewer.refused("A <tag>")


def test_a_bound_of_the_space_is_not_called_an_argument():
    error = SimpleNamespace(rule="a scan may claim at most 5 bytes", found="9 bytes", remedy="raise `max_bytes`.")
    assert refusal(error).startswith("A scan may claim at most 5 bytes; found 9 bytes. This Space reads nothing larger")
