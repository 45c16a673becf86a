"""The volume store: what stands where, what is merged, and what is refused."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from med3d_r1 import Med3DR1ImageProcessor, PreparedVolume, VolumeError
from med3d_r1.data import volume_store
from med3d_r1.data.scans import Scan, Volume
from med3d_r1.data.volume_store import (
    Entry,
    ManifestPart,
    Refusal,
    Store,
    StoreError,
    checksum,
    read_manifest,
    volume_path,
    volume_stem,
)

SMALL = Med3DR1ImageProcessor(field_size=(4, 6, 8), size=(2, 3, 4))
PREPROCESSING = SMALL.preprocessing
REFUSAL = Refusal("b_1.nii.gz", "/data/b_1.nii.gz", "a scan has slices", "none", "Scan again.")


def prepared(seed=0) -> PreparedVolume:
    hu = np.random.default_rng(seed).integers(-1000, 1000, (2, 3, 4), dtype=np.int16)
    return PreparedVolume(hu, np.eye(4), {"preprocessing": PREPROCESSING})


def entry(volume="a_1.nii.gz", **changes) -> Entry:
    facts = {
        "dataset": "CT-RATE", "split": "train", "patient": "a", "scan": "a_1", "sha256": "00", "bytes": 5,
        "source_bytes": 7, "source_shape": [2, 3, 4], "source_spacing": [3.0, 1.5, 1.5], "source_orientation": "SPL",
        "hu_min": -1000.0, "hu_max": 1000.0, "warnings": ["thick"], "seconds": 0.5, "prepared_at": 1.0,
    }  # fmt: skip
    return Entry(volume, **{**facts, **changes})


def fill(folder: Path, *outcomes, shard=(1, 1), preprocessing=PREPROCESSING) -> Path:
    with ManifestPart(folder, shard, preprocessing) as part:
        for outcome in outcomes:
            part.add(outcome)
    return folder


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


@pytest.mark.parametrize("suffix", ["", ".nii", ".nii.gz", ".npz", ".npy", ".zip"])
def test_the_suffix_of_the_source_is_left_out(suffix):
    assert volume_stem(f"trn00001{suffix}") == "trn00001"


@pytest.mark.parametrize("name", ["", ".nii.gz", "../etc/passwd", "a/b.nii.gz", "..", "a\nb.npz", ".hidden"])
def test_what_cannot_be_a_file_of_the_store_is_refused(name):
    with pytest.raises(StoreError, match="cannot be the name of a volume"):
        volume_stem(name)


def test_a_manifest_is_read_as_it_was_written(tmp_path):
    rows = entry(), entry("c_1.nii.gz", source_bytes=None, warnings=[])
    manifest = read_manifest(fill(tmp_path / "store", *rows, REFUSAL))
    assert manifest.entries == {row.volume: row for row in rows}
    assert manifest.refusals == {"b_1.nii.gz": REFUSAL}
    assert manifest.preprocessing == PREPROCESSING


def test_refusals_are_lines_for_people_and_programs(tmp_path):
    fill(tmp_path, REFUSAL)
    (line,) = (tmp_path / "refused" / "all.jsonl").read_text().splitlines()
    assert json.loads(line) == {
        "volume": "b_1.nii.gz", "path": "/data/b_1.nii.gz", "rule": "a scan has slices", "found": "none",
        "remedy": "Scan again.", "sentence": "b_1.nii.gz: a scan has slices; found none. Scan again.",
    }  # fmt: skip


def test_the_manifest_is_a_table_that_stock_datasets_reads(tmp_path):
    from datasets import Dataset

    fill(tmp_path, entry(), entry("c_1.nii.gz"))
    rows = Dataset.from_parquet(str(tmp_path / "manifest" / "all.parquet"), cache_dir=str(tmp_path / "cache"))
    assert rows["volume"] == ["a_1.nii.gz", "c_1.nii.gz"]
    assert rows[0]["source_spacing"] == [3.0, 1.5, 1.5]


def test_parts_are_merged_and_the_later_row_counts(tmp_path):
    fill(tmp_path, entry(sha256="old"), entry("c_1.nii.gz"))
    fill(tmp_path, entry(sha256="new", prepared_at=2.0), REFUSAL, shard=(1, 2))
    fill(tmp_path, entry("d_1.nii.gz"), shard=(2, 2))
    manifest = read_manifest(tmp_path)
    assert {name: row.sha256 for name, row in manifest.entries.items()} == {
        "a_1.nii.gz": "new", "c_1.nii.gz": "00", "d_1.nii.gz": "00",
    }  # fmt: skip
    assert [path.name for path in sorted((tmp_path / "manifest").glob("*.parquet"))] == [
        "1-of-2.parquet", "2-of-2.parquet", "all.parquet",
    ]  # fmt: skip


def test_what_becomes_of_a_volume_replaces_what_was_known(tmp_path):
    fill(tmp_path, REFUSAL)
    fill(tmp_path, entry("b_1.nii.gz"))
    assert read_manifest(tmp_path).refusals == {}
    assert (tmp_path / "refused" / "all.jsonl").read_text() == ""
    fill(tmp_path, REFUSAL)
    assert read_manifest(tmp_path).entries == {}


def test_a_volume_stored_by_one_part_is_not_refused_by_another(tmp_path):
    fill(tmp_path, REFUSAL, shard=(1, 2))
    fill(tmp_path, entry("b_1.nii.gz"))
    assert read_manifest(tmp_path).refusals == {}


def test_other_preprocessing_is_refused_with_both_values(tmp_path):
    fill(tmp_path, entry())
    other = {**PREPROCESSING, "size": [2, 3, 6], "version": 9}
    with pytest.raises(StoreError) as refused:
        fill(tmp_path, preprocessing=other)
    assert str(refused.value) == (
        f"{tmp_path} was prepared with version 1, size [2, 3, 4], and version 9, size [2, 3, 6] is asked for: take an "
        "image processor with the store's settings, or prepare another store"
    )
    with pytest.raises(StoreError, match="was prepared with"):
        Store(tmp_path, Med3DR1ImageProcessor())


def test_parts_with_different_preprocessing_are_no_store(tmp_path):
    fill(tmp_path / "one", entry())
    fill(tmp_path / "two", shard=(1, 2), preprocessing={**PREPROCESSING, "antialias": False})
    (tmp_path / "two" / "manifest" / "1-of-2.parquet").rename(tmp_path / "one" / "manifest" / "1-of-2.parquet")
    with pytest.raises(StoreError, match="antialias"):
        read_manifest(tmp_path / "one")


def test_one_part_has_one_writer(tmp_path):
    with ManifestPart(tmp_path, (1, 2), PREPROCESSING) as part:
        part.add(entry())
        fill(tmp_path, shard=(2, 2))
        with pytest.raises(StoreError, match="another process is writing this part"):
            fill(tmp_path, shard=(1, 2))
    assert list(read_manifest(tmp_path).entries) == ["a_1.nii.gz"]
    fill(tmp_path, entry("c_1.nii.gz"), shard=(1, 2))
    assert len(read_manifest(tmp_path).entries) == 2


@pytest.mark.parametrize("content", [b"", b"PAR1 torn", "no metadata", "other format"])
def test_a_part_that_cannot_be_read_names_the_way_out(tmp_path, content):
    path = tmp_path / "manifest" / "all.parquet"
    fill(tmp_path, entry())
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        from pyarrow import parquet

        table = parquet.read_table(path)
        facts = {} if content == "no metadata" else {b"med3d_r1": json.dumps({"format": 99}).encode()}
        parquet.write_table(table.replace_schema_metadata(facts), path)
    with pytest.raises(StoreError, match=r"prepare (the store )?again"):
        read_manifest(tmp_path)


def test_without_pyarrow_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(volume_store, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(ImportError, match=r"pip install 'med3d-r1\[data\]'"):
        fill(tmp_path)


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
    assert store.images(kept.volumes[0]) == str(volume_path(tmp_path, "a_1"))
    assert SMALL(store.images(kept.volumes[0]), return_tensors="pt")["pixel_values"].shape == (1, 1, 2, 3, 4)


def test_broken_files_are_found(tmp_path):
    store = store_of(tmp_path, a_1=prepared(0), b_1=prepared(1), c_1=prepared(2), d_1=prepared(3))
    content = bytearray(store.path("b_1.nii.gz").read_bytes())
    content[200] ^= 1
    store.path("b_1.nii.gz").write_bytes(content)
    prepared(7).save(store.path("c_1.nii.gz"))
    store.path("d_1.nii.gz").unlink()
    faults = dict(store.faults())
    assert faults["a_1.nii.gz"] is None
    assert "Prepare the scan again" in faults["b_1.nii.gz"]
    assert faults["c_1.nii.gz"] == "its voxels are not those that were stored"
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
    with pytest.raises(StoreError, match="no volume store; `med3d-r1 prepare` makes one"):
        Store(tmp_path)
