"""The volume store: what stands where, what comes back, and what is refused."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1 import Med3DR1ImageProcessor, PreparedVolume, VolumeError
from med3d_r1.data.manifest import StoreError
from med3d_r1.data.scans import Scan, Volume
from med3d_r1.data.volume_store import VOLUMES, Store, checksum
from store_rows import PREPROCESSING, REFUSAL, SMALL, entry, fill


def volume_path(folder, volume):
    return VOLUMES.path(folder, volume)


def prepared(seed=0) -> PreparedVolume:
    hu = np.random.default_rng(seed).integers(-1000, 1000, (2, 3, 4), dtype=np.int16)
    return PreparedVolume(hu, np.eye(4), {"preprocessing": PREPROCESSING})


def store_of(folder: Path, **volumes: PreparedVolume) -> Store:
    """A store with these volumes, whose names get the suffix of a NIfTI file."""
    for name, volume in volumes.items():
        path = volume_path(folder, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        volume.save(path)
    fill(folder, *(entry(f"{name}.nii.gz", sha256=checksum(volume)) for name, volume in volumes.items()))
    return Store(folder, SMALL)


def test_the_checksum_is_that_of_the_bytes():
    volume = PreparedVolume(np.array([[[1, -2]]], dtype=np.int16), np.eye(4), {})
    content = bytes([1, 0, 0xFE, 0xFF]) + np.eye(4).astype("<f8").tobytes()
    assert checksum(volume) == hashlib.sha256(content).hexdigest()


def test_the_checksum_does_not_depend_on_the_order_in_memory():
    hu = prepared().hu
    turned = PreparedVolume(np.asfortranarray(hu), np.eye(4), {})
    assert checksum(turned) == checksum(prepared())
    assert checksum(prepared(1)) != checksum(prepared())


@given(st.text(alphabet="abcdefgh_0123456789.", min_size=1).filter(lambda name: name[0] != "."))
def test_a_volume_lies_in_its_store_under_its_name(name):
    path = volume_path(Path("store"), name + ".nii.gz")
    assert path.parts[:2] == ("store", "volumes")
    assert path.name == name + ".npz"
    assert path == volume_path(Path("store"), name + ".nii.gz")


def test_other_preprocessing_is_refused_with_both_values(tmp_path):
    fill(tmp_path, entry())
    other = {**PREPROCESSING, "size": [2, 3, 6], "version": 9}
    with pytest.raises(StoreError) as refused:
        fill(tmp_path, preprocessing=other)
    assert str(refused.value) == (
        f"{tmp_path} was prepared with version 1, size [2, 3, 4], and version 9, size [2, 3, 6] is asked for: take "
        "what the store was made with, or prepare another store"
    )
    with pytest.raises(StoreError, match="was prepared with"):
        Store(tmp_path, Med3DR1ImageProcessor())


def test_what_is_stored_comes_back(tmp_path):
    store = store_of(tmp_path, a_1=prepared(0), c_1=prepared(1))
    assert list(store) == ["a_1.nii.gz", "c_1.nii.gz"]
    assert len(store) == 2
    assert "a_1.nii.gz" in store
    assert 5 not in store
    assert np.array_equal(store["c_1.nii.gz"].hu, prepared(1).hu)


def test_a_volume_that_is_not_there_says_why(tmp_path):
    store = store_of(tmp_path, a_1=prepared())
    with pytest.raises(KeyError, match=r"z_1\.nii\.gz is not in "):
        store["z_1.nii.gz"]
    fill(tmp_path, REFUSAL)
    with pytest.raises(KeyError, match="a scan has slices; found none"):
        Store(tmp_path).path("b_1.nii.gz")


def test_rows_get_the_paths_of_what_is_stored(tmp_path):
    store = store_of(tmp_path, a_1=prepared(), c_1=prepared())
    volumes = tuple(Volume(f"{name}.nii.gz", Path("source"), {"rescale": (1, -8192)}) for name in ("a_1", "b_1"))
    scans = [Scan("CT-RATE", "train", "a", "a_1", volumes), Scan("CT-RATE", "train", "b", "b_1", volumes[1:])]
    (kept,) = store.stored(scans)
    assert kept == replace(scans[0], volumes=volumes[:1])
    assert store.path_of(kept.volumes[0]) == str(volume_path(tmp_path, "a_1"))
    assert SMALL(store.path_of(kept.volumes[0]), return_tensors="pt")["pixel_values"].shape == (1, 1, 2, 3, 4)


def test_broken_files_are_found(tmp_path):
    store = store_of(tmp_path, a_1=prepared(0), b_1=prepared(1), c_1=prepared(2), d_1=prepared(3))
    content = bytearray(Path(store.path("b_1.nii.gz")).read_bytes())
    content[200] ^= 1
    Path(store.path("b_1.nii.gz")).write_bytes(content)
    prepared(7).save(store.path("c_1.nii.gz"))
    Path(store.path("d_1.nii.gz")).unlink()
    faults = dict(store.faults())
    assert faults["a_1.nii.gz"] is None
    assert "Prepare the scan again" in faults["b_1.nii.gz"]
    assert faults["c_1.nii.gz"] == "its content is not what was stored"
    assert "No such file" in faults["d_1.nii.gz"]
    with pytest.raises(VolumeError):
        store["b_1.nii.gz"]


def test_the_fingerprint_is_that_of_the_voxels_and_their_preprocessing(tmp_path):
    first, second = entry(sha256="1"), entry("c_1.nii.gz", sha256="2")
    one = Store(fill(tmp_path / "one", first, second)).fingerprint
    parts = fill(tmp_path / "two", replace(second, prepared_at=9.0, seconds=3.0), shard=(1, 2))
    fill(parts, first, shard=(2, 2))
    assert Store(parts).fingerprint == one
    assert Store(fill(tmp_path / "three", first, replace(second, sha256="3"))).fingerprint != one
    margin = fill(tmp_path / "four", first, second, preprocessing={**PREPROCESSING, "margin": [1, 1, 1]})
    assert Store(margin).fingerprint != one


def test_a_folder_without_a_manifest_is_no_store(tmp_path):
    with pytest.raises(StoreError, match="no store of volumes; `med3d-r1 prepare` makes one"):
        Store(tmp_path)
