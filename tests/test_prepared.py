"""Prepared volumes on disk: whole or not at all, and nothing else is taken for one."""

import json
import os
import pickle
import zipfile

import numpy as np
import pytest

from med3d_r1.prepared_med3d_r1 import PreparedVolume, describe
from med3d_r1.volume_med3d_r1 import VolumeError, orientation_affine

RECORD = {
    "source": "scan.nii.gz",
    "headers": {"format": "NIfTI-1"},
    "source_shape": [300, 512, 512],
    "source_spacing": [1.0, 0.7, 0.7],
    "source_orientation": "SPL",
    "tilt_degrees": 0.25,
    "hu_min": -1024.0,
    "hu_max": 3071.0,
    "spacing": [3.0, 1.5, 1.5],
    "resampling": [3.0, 2.142, 2.142],
    "cropped_mm": {"inferior": 0.0, "superior": 0.0, "anterior": 12.0, "posterior": 10.5, "right": 0.2, "left": 0.0},
    "padded_mm": {"inferior": 18.0, "superior": 18.0, "anterior": 0.0, "posterior": 0.0, "right": 0.0, "left": 0.0},
    "notes": ["series 2 of 3"],
    "warnings": ["12 axial slices"],
    "preprocessing": {"version": 1},
}


@pytest.fixture
def prepared():
    hu = np.random.default_rng(0).integers(-1024, 3071, (4, 6, 5)).astype(np.int16)
    return PreparedVolume(hu, orientation_affine("SPL", (3.0, 1.5, 1.5)), RECORD)


@pytest.mark.parametrize("compress", [False, True])
def test_saving_and_loading_keeps_everything(prepared, tmp_path, compress):
    path = tmp_path / "scan.npz"
    prepared.save(path, compress=compress)
    loaded = PreparedVolume.load(path)
    assert loaded.hu.dtype == np.int16
    assert np.array_equal(loaded.hu, prepared.hu)
    assert np.array_equal(loaded.affine, prepared.affine)
    assert loaded.record == RECORD
    assert loaded.name == "scan.nii.gz"
    assert loaded.spacing == (3.0, 1.5, 1.5)
    assert os.listdir(tmp_path) == ["scan.npz"]


def test_the_file_is_plain_numpy(prepared, tmp_path):
    prepared.save(tmp_path / "scan.npz")
    with np.load(tmp_path / "scan.npz", allow_pickle=False) as entries:
        assert sorted(entries) == ["affine", "hu", "record"]
        assert json.loads(str(entries["record"])) == RECORD


def test_any_name_will_do_and_an_older_file_is_replaced(prepared, tmp_path):
    path = tmp_path / "entry"
    path.write_text("an older file")
    prepared.save(path)
    assert np.array_equal(PreparedVolume.load(path).hu, prepared.hu)


def test_a_failed_save_leaves_the_older_file_and_nothing_else(prepared, tmp_path):
    path = tmp_path / "scan.npz"
    path.write_text("an older file")
    unsaveable = PreparedVolume(prepared.hu, prepared.affine, {"notes": object()})
    with pytest.raises(TypeError):
        unsaveable.save(path)
    assert os.listdir(tmp_path) == ["scan.npz"]
    assert path.read_text() == "an older file"


def test_it_travels_between_processes(prepared):
    assert np.array_equal(pickle.loads(pickle.dumps(prepared)).hu, prepared.hu)


def entries_of(prepared) -> dict:
    return {"hu": prepared.hu, "affine": prepared.affine, "record": np.array(json.dumps(prepared.record))}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"hu": None}, "entries"),
        ({"extra": np.zeros(2)}, "entries"),
        ({"hu": np.zeros((2, 3, 4), dtype=np.float32)}, "'hu' as float32"),
        ({"hu": np.zeros((3, 4), dtype=np.int16)}, r"'hu' as int16 \(3, 4\)"),
        ({"affine": np.eye(4, dtype=np.float32)}, "'affine' as float32"),
        ({"affine": np.eye(3)}, r"affine of shape \(3, 3\)"),
        ({"affine": np.full((4, 4), np.nan)}, "affine"),
        ({"record": np.array("no JSON")}, "JSON"),
        ({"record": np.array("[1, 2]")}, "a list"),
        ({"record": np.zeros(3)}, "'record' as float64"),
    ],
)
def test_what_save_did_not_write_is_refused(prepared, tmp_path, change, words):
    entries = {key: value for key, value in {**entries_of(prepared), **change}.items() if value is not None}
    path = tmp_path / "other.npz"
    np.savez(path, **entries)
    with pytest.raises(VolumeError, match=words) as refusal:
        PreparedVolume.load(path)
    assert "other.npz" in str(refusal.value)


def test_pickled_entries_are_not_opened(prepared, tmp_path):
    path = tmp_path / "pickled.npz"
    np.savez(path, **{**entries_of(prepared), "record": np.array({"a": 1}, dtype=object)})
    with pytest.raises(VolumeError):
        PreparedVolume.load(path)


@pytest.mark.parametrize("damage", ["not a zip", "cut short", "flipped bytes"])
def test_a_broken_file_is_refused(prepared, tmp_path, damage):
    path = tmp_path / "broken.npz"
    prepared.save(path, compress=True)
    content = bytearray(path.read_bytes())
    if damage == "flipped bytes":
        content[100:140] = bytes(40)
    path.write_bytes(b"text" if damage == "not a zip" else content[:-30] if damage == "cut short" else content)
    with pytest.raises(VolumeError):
        PreparedVolume.load(path)


def test_a_claim_beyond_what_is_stored_costs_no_memory(prepared, tmp_path):
    """The header of 'hu' says 10^12 voxels, the file holds 120."""
    path = tmp_path / "bomb.npz"
    prepared.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["hu.npy"] = members["hu.npy"].replace(b"(4, 6, 5)", b"(10000, 10000, 10000)").replace(b" " * 12, b"", 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(VolumeError, match="claiming 2000000000000 bytes"):
        PreparedVolume.load(path)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        PreparedVolume.load(tmp_path / "nothing.npz")


@pytest.mark.parametrize(
    ("hu", "affine"),
    [
        (np.zeros((2, 3, 4)), np.eye(4)),
        (np.zeros((2, 3), dtype=np.int16), np.eye(4)),
        (np.zeros((2, 3, 4), dtype=np.int16), np.eye(3)),
    ],
)
def test_other_voxels_make_no_prepared_volume(hu, affine):
    with pytest.raises(ValueError, match="must be"):
        PreparedVolume(hu, affine)


def test_describe_says_what_a_person_wants_to_know(prepared):
    lines = describe(prepared).splitlines()
    stored = "300 x 512 x 512 voxels, 1 x 0.7 x 0.7 mm, axes grow towards SPL, tilted 0.2 degrees"
    assert lines[1] == f"stored          {stored}"
    assert "cropped         anterior 12 mm, posterior 10 mm" in lines
    assert "air added       inferior 18 mm, superior 18 mm" in lines
    assert "note            series 2 of 3" in lines
    assert "WARNING         12 axial slices" in lines
