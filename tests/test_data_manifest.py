"""The manifest of a store: what stands in it, what is merged, and what is refused."""

import json
from pathlib import Path

import pytest

from med3d_r1.data import manifest as manifests
from med3d_r1.data.manifest import ManifestPart, StoreError, volume_stem
from med3d_r1.data.manifest import read_manifest as read_manifest_of
from med3d_r1.data.volume_store import VOLUMES
from store_rows import PREPROCESSING, REFUSAL, entry, fill


def read_manifest(folder: Path):
    return read_manifest_of(folder, VOLUMES)


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


def test_parts_with_different_preprocessing_are_no_store(tmp_path):
    fill(tmp_path / "one", entry())
    fill(tmp_path / "two", shard=(1, 2), preprocessing={**PREPROCESSING, "antialias": False})
    (tmp_path / "two" / "manifest" / "1-of-2.parquet").rename(tmp_path / "one" / "manifest" / "1-of-2.parquet")
    with pytest.raises(StoreError, match="antialias"):
        read_manifest(tmp_path / "one")


def test_one_part_has_one_writer(tmp_path):
    with ManifestPart(tmp_path, VOLUMES, (1, 2), PREPROCESSING) as part:
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
    monkeypatch.setattr(manifests, "import_module", lambda name: (_ for _ in ()).throw(ImportError(name)))
    with pytest.raises(ImportError, match=r"pip install 'med3d-r1\[data\]'"):
        fill(tmp_path)
