"""Filling a feature store: the vision tower's own tokens, each scan once, whatever happens in between."""

import ast
import os
import signal
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
import torch

from med3d_r1.checkpoints import initialize, save_checkpoint
from med3d_r1.data import encode as encode_module
from med3d_r1.data.ct_rate import read_ct_rate
from med3d_r1.data.encode import encode_scans, encode_store, scans_of
from med3d_r1.data.feature_store import FEATURES, FeatureStore, encoding
from med3d_r1.data.manifest import StoreError, read_manifest
from med3d_r1.data.phantom import make_phantom, write_ct_rate_tree
from med3d_r1.data.phantom.files import save_nifti
from med3d_r1.data.prepare import prepare_scans
from med3d_r1.data.rows import report_rows
from med3d_r1.data.scans import Scan, Volume
from med3d_r1.data.volume_store import Store
from med3d_r1.data.workers import Died
from med3d_r1.encoded_med3d_r1 import open_encoded, save_encoded

SHAPE = (16, 24, 24)
ROOT = Path(__file__).resolve().parent.parent
pytestmark = pytest.mark.filterwarnings("ignore:.*axial slices|.*voxels are up to|.*fills")


@pytest.fixture(scope="module")
def tiny():
    return initialize("tiny")


@pytest.fixture(scope="module")
def model(tiny):
    return tiny[0]


@pytest.fixture(scope="module")
def image_processor(tiny):
    return tiny[1].image_processor


@pytest.fixture(scope="module")
def scans(tmp_path_factory) -> list[Scan]:
    tree = write_ct_rate_tree(tmp_path_factory.mktemp("tree"), {"train": 8, "validation": 2}, shape=SHAPE)
    return [scan for split in ("train", "validation") for scan in read_ct_rate(tree, split)]


@pytest.fixture(scope="module")
def store(tmp_path_factory, scans, image_processor) -> Store:
    """The same scans, prepared."""
    folder = tmp_path_factory.mktemp("volumes")
    prepare_scans(scans, folder, image_processor)
    return Store(folder, image_processor)


@pytest.fixture
def encode(model, image_processor):
    """`encode_store` and `encode_scans` with the tiny model."""

    def run(source, folder, **how):
        function = encode_store if isinstance(source, Store) else encode_scans
        return function(source, folder, model, image_processor, **how)

    return run


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Stored scans -> what changes when one is written again."""
    found = folder.glob("features/*/*.safetensors")
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in found}


def entries(folder: Path):
    return read_manifest(folder, FEATURES).entries


def scan_of(path: Path) -> Scan:
    return Scan("CT-RATE", "train", path.stem, path.stem, (Volume(path.name, path),))


class TestTheTokens:
    @pytest.mark.parametrize("batch_size", [1, 4, 100])
    def test_they_are_those_of_encoding_within_bfloat16(
        self, tmp_path, store, encode, model, image_processor, batch_size
    ):
        """bfloat16 keeps 8 bits: a relative error of at most 2 ** -8; float32's own sums differ by far less."""
        summary = encode(store, tmp_path, batch_size=batch_size)
        features = FeatureStore(tmp_path)
        assert (summary.made, summary.wanted, summary.present) == (len(store), len(store), 0)
        assert list(features) == list(store)
        for name, prepared in store.items():
            with torch.no_grad():
                expected = model.encode_volumes(image_processor.to_tensor(prepared)[None])[0]
            assert features[name].shape == (256, 64)
            torch.testing.assert_close(features[name].float(), expected, rtol=2**-8, atol=1e-5)

    def test_everything_known_of_a_scan_is_in_the_manifest_and_in_its_file(
        self, tmp_path, store, encode, model, image_processor
    ):
        encode(store, tmp_path)
        manifest = read_manifest(tmp_path, FEATURES)
        assert manifest.preprocessing == encoding(model, image_processor)
        FeatureStore(tmp_path).require(model, image_processor)
        for name, entry in manifest.entries.items():
            source = store.manifest.entries[name]
            for field in ("dataset", "split", "patient", "scan"):
                assert getattr(entry, field) == getattr(source, field)
            assert (entry.source_sha256, entry.tokens) == (source.sha256, [256, 64])
            path = FEATURES.path(tmp_path, name)
            assert entry.bytes == path.stat().st_size
            record = open_encoded(path)[1]
            assert record == {
                "volume": name,
                "source_sha256": source.sha256,
                "weights": manifest.preprocessing["weights"],
                "preprocessing": image_processor.tensor_preprocessing,
            }
        assert set(dict(FeatureStore(tmp_path).faults()).values()) == {None}

    @pytest.mark.parametrize("workers", [0, 2])
    def test_from_the_scans_themselves_they_are_the_same(self, tmp_path, scans, store, encode, workers):
        """One scan a batch: in larger ones the order in which processes finish decides who shares a batch."""
        encode(store, tmp_path / "prepared", batch_size=1)
        encode(scans, tmp_path / "raw", batch_size=1, workers=workers)
        prepared, raw = FeatureStore(tmp_path / "prepared"), FeatureStore(tmp_path / "raw")
        assert raw.fingerprint == prepared.fingerprint
        assert all(torch.equal(raw[name], prepared[name]) for name in prepared)

    def test_rows_point_to_them(self, tmp_path, scans, encode, image_processor):
        encode(scans, tmp_path, limit=3)
        features = FeatureStore(tmp_path)
        rows = report_rows(features.stored(scans), images=features.path_of)
        assert [row["images"] for row in rows] == [[features.path(name)] for name in features]
        tokens = image_processor([row["images"] for row in rows], return_tensors="pt")["pixel_values"]
        assert tokens.shape == (3, 256, 64)

    def test_the_next_scans_are_read_while_the_vision_tower_is_at_work(
        self, tmp_path, store, encode, model, monkeypatch
    ):
        """The first batch is held back until the third scan was read; without a thread it never would be."""
        third_is_read, read = threading.Event(), []
        reading, encoding_of = encode_module.read_scan, type(model).encode_volumes

        def read_scan(job, *others):
            read.append(job.volume.name)
            if len(read) == 3:
                third_is_read.set()
            return reading(job, *others)

        def encode_volumes(self, volumes):
            assert third_is_read.wait(timeout=30)
            return encoding_of(self, volumes)

        monkeypatch.setattr(encode_module, "read_scan", read_scan)
        monkeypatch.setattr(type(model), "encode_volumes", encode_volumes)
        assert encode(store, tmp_path, batch_size=2, limit=4).made == 4


class TestWhichScans:
    def test_a_volume_store_gives_its_scans_back(self, scans, store):
        found = scans_of(store)
        told = [(scan.dataset, scan.split, scan.patient, scan.name) for scan in scans]
        assert [(scan.dataset, scan.split, scan.patient, scan.name) for scan in found] == told
        assert [volume.name for scan in found for volume in scan.volumes] == list(store)
        train = [scan for scan in scans if scan.split == "train"]
        assert [scan.name for scan in scans_of(store, "train")] == [scan.name for scan in train]

    def test_a_split_that_is_not_there(self, store):
        with pytest.raises(ValueError, match="no volumes of the split 'test', only of train, validation"):
            scans_of(store, "test")

    def test_shards_together_are_the_whole(self, tmp_path, store, encode):
        for index in (1, 2, 3):
            encode(store, tmp_path / "parts", shard=(index, 3), batch_size=1)
        encode(store, tmp_path / "whole", batch_size=1)
        assert FeatureStore(tmp_path / "parts").fingerprint == FeatureStore(tmp_path / "whole").fingerprint

    def test_batches_have_scans(self, tmp_path, store, encode):
        with pytest.raises(ValueError, match="batch_size is 1 or more scans; got 0"):
            encode(store, tmp_path, batch_size=0)


class TestGoingOn:
    def test_what_is_there_is_not_touched(self, tmp_path, store, encode):
        encode(store, tmp_path, limit=3)
        before = files(tmp_path)
        summary = encode(store, tmp_path)
        assert (summary.present, summary.made) == (3, len(store) - 3)
        assert before.items() <= files(tmp_path).items()

    def test_files_without_a_row_are_taken_over(self, tmp_path, store, encode):
        """As after a kill: the manifest is written now and then only."""
        encode(store, tmp_path)
        before, fingerprint = files(tmp_path), FeatureStore(tmp_path).fingerprint
        (tmp_path / "manifest" / "all.parquet").unlink()
        summary = encode(store, tmp_path)
        assert (summary.found, summary.made) == (len(before), 0)
        assert files(tmp_path) == before
        assert FeatureStore(tmp_path).fingerprint == fingerprint

    @pytest.mark.parametrize("fault", ["torn", "weights", "preprocessing", "voxels"])
    def test_other_files_without_a_row_are_made_anew(self, tmp_path, store, encode, fault):
        encode(store, tmp_path, limit=2)
        (tmp_path / "manifest" / "all.parquet").unlink()
        path = FEATURES.path(tmp_path, next(iter(store)))
        features, record = open_encoded(path)
        features = features.clone()  # a mapping would not survive the file being cut off
        if fault == "torn":
            path.write_bytes(path.read_bytes()[:100])
        else:
            changed = {"weights": "0" * 64, "preprocessing": {}, "voxels": "0" * 64}
            record["source_sha256" if fault == "voxels" else fault] = changed[fault]
            save_encoded(path, torch.zeros_like(features), record)
        summary = encode(store, tmp_path, limit=2)
        assert (summary.found, summary.made) == (1, 1)
        # Encoded alone now, beside another before: the last bit of a token depends on that.
        torch.testing.assert_close(open_encoded(path)[0], features, rtol=2**-7, atol=2**-6)

    def test_a_scan_that_changed_is_encoded_again(self, tmp_path, encode, image_processor):
        source = tmp_path / "scan.nii.gz"
        for seed in (1, 2):
            save_nifti(make_phantom(seed, SHAPE), source)
            assert prepare_scans([scan_of(source)], tmp_path / "volumes", image_processor).made == 1
            assert encode(Store(tmp_path / "volumes"), tmp_path / "features").made == 1
            assert encode(Store(tmp_path / "volumes"), tmp_path / "features").present == 1
        assert encode([scan_of(source)], tmp_path / "raw").made == 1
        assert FeatureStore(tmp_path / "raw").fingerprint == FeatureStore(tmp_path / "features").fingerprint

    def test_verify_repairs_what_is_broken(self, tmp_path, store, encode):
        encode(store, tmp_path, limit=3)
        features = FeatureStore(tmp_path)
        broken, other = list(features)[:2]
        _, record = open_encoded(features.path(broken))
        save_encoded(features.path(broken), features[other], record)
        assert encode(store, tmp_path, limit=3).present == 3
        summary = encode(store, tmp_path, limit=3, verify=True)
        assert (summary.repaired, summary.found) == (1, 2)
        assert set(dict(FeatureStore(tmp_path).faults()).values()) == {None}

    def test_after_sigkill_nothing_is_half_written_and_nothing_is_done_twice(self, tmp_path, tiny, image_processor):
        """Kills the command line in the middle of its work, and runs it again."""
        save_nifti(make_phantom(0, SHAPE), tmp_path / "0.nii.gz")
        for number in range(1, 150):
            os.link(tmp_path / "0.nii.gz", tmp_path / f"{number}.nii.gz")
        sources = [scan_of(tmp_path / f"{number}.nii.gz") for number in range(150)]
        prepare_scans(sources, tmp_path / "volumes", image_processor)
        save_checkpoint(*tiny, tmp_path / "model")
        folder = tmp_path / "features"
        command = [sys.executable, "-m", "med3d_r1.cli", "encode", str(tmp_path / "volumes"), "--out", str(folder)]
        command += ["--model", str(tmp_path / "model"), "--dtype", "float32", "--batch-size", "1"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as killed:
            end = time.monotonic() + 120
            while len(files(folder)) < 5 and time.monotonic() < end:
                time.sleep(0.001)
            killed.send_signal(signal.SIGKILL)
        at_kill = files(folder)
        assert 5 <= len(at_kill) < 150
        for path in folder.glob("features/*/*.safetensors"):
            assert open_encoded(path)[0].shape == (256, 64)

        store = Store(tmp_path / "volumes")
        summary = encode_store(store, folder, tiny[0], image_processor)
        assert (summary.found, summary.made) == (len(at_kill), 150 - len(at_kill))
        after = files(folder)
        assert at_kill.items() <= after.items()
        assert set(dict(FeatureStore(folder).faults()).values()) == {None}
        assert not list(folder.glob("features/*/.*.partial"))


class TestRefusals:
    def test_bad_scans_are_noted_and_the_rest_goes_on(self, tmp_path, encode):
        for number, name in enumerate(("good", "torn", "fine")):
            save_nifti(make_phantom(number, SHAPE), tmp_path / f"{name}.nii.gz")
        torn = tmp_path / "torn.nii.gz"
        torn.write_bytes(torn.read_bytes()[:2000])
        sources = [scan_of(tmp_path / f"{name}.nii.gz") for name in ("good", "torn", "gone", "fine")]
        summary = encode(sources, tmp_path / "features", batch_size=2)
        assert list(FeatureStore(tmp_path / "features")) == ["good.nii.gz", "fine.nii.gz"]
        assert [refusal.volume for refusal in summary.refused] == ["torn.nii.gz", "gone.nii.gz"]
        assert len(summary.report.read_text().splitlines()) == 2
        save_nifti(make_phantom(7, SHAPE), torn)
        summary = encode(sources, tmp_path / "features")
        assert (summary.present, summary.made, len(summary.refused)) == (2, 1, 1)

    def test_tokens_that_are_no_numbers_are_not_stored(self, tmp_path, store, image_processor):
        model, _ = initialize("tiny")
        with torch.no_grad():
            model.model.vision_tower.norm.weight[0] = torch.inf
        summary = encode_store(store, tmp_path, model, image_processor, limit=2)
        assert len(summary.refused) == 2
        assert "the vision tower makes numbers of a scan; found infinite ones" in summary.refused[0].sentence
        assert not files(tmp_path)

    def test_a_process_that_died_over_a_scan(self, tmp_path, store, encode, monkeypatch):
        def deadly(jobs, function, workers, imports):
            for index, job in enumerate(jobs):
                yield job, (Died(-9) if index == 1 else function(job))

        monkeypatch.setattr(encode_module, "work_off", deadly)
        summary = encode(store, tmp_path, limit=3)
        assert summary.made == 2
        assert "SIGKILL" in summary.refused[0].sentence

    def test_other_weights_or_settings_are_refused_before_anything_is_done(self, tmp_path, store, encode, tiny):
        encode(store, tmp_path, limit=1)
        other, processor = initialize("tiny", seed=1)
        with pytest.raises(StoreError, match=r"was encoded with weights .* and weights .* is asked for"):
            encode_store(store, tmp_path, other, processor.image_processor)
        processor.image_processor.mean = 0.1
        with pytest.raises(StoreError, match=r"was encoded with mean 0\.5, and mean 0\.1 is asked for"):
            encode_store(store, tmp_path, tiny[0], processor.image_processor)
        assert len(files(tmp_path)) == 1

    def test_no_room_ends_the_run_and_keeps_what_was_done(self, tmp_path, store, encode, monkeypatch):
        saved = []

        def full(path, features, record):
            if len(saved) == 3:
                raise OSError(28, "No space left on device", str(path))
            saved.append(path)
            save_encoded(path, features, record)

        monkeypatch.setattr(encode_module, "save_encoded", full)
        with pytest.raises(OSError, match="No space left"):
            encode(store, tmp_path, batch_size=2)
        assert len(entries(tmp_path)) == 3


def test_memory_does_not_grow_with_the_number_of_scans(tmp_path, store, encode):
    """Eight scans and sixty-four, by the same few files: the peak is that of a batch and those that wait."""
    paths = [Path(store.path(name)) for name in store]
    scans = [
        Scan("CT-RATE", "train", f"{number}", f"{number}", (Volume(f"{number}.npz", paths[number % len(paths)]),))
        for number in range(64)
    ]
    encode(scans[:1], tmp_path / "first", batch_size=2)  # what is imported and cached on first use

    def peak(count: int, turn: int) -> int:
        tracemalloc.start()
        encode(scans[:count], tmp_path / f"store_{count}_{turn}", batch_size=2)
        held = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return held

    few, many = (min(peak(count, turn) for turn in range(3)) for count in (8, 64))  # others allocate now and then
    one_tensor = 4 * 32 * 64 * 64
    assert many < few + one_tensor


@pytest.mark.parametrize("module", ["feature_store", "encode"])
def test_the_documented_rules_are_the_modules_docstrings(module):
    """Where this fails, copy the module's docstring into its block."""
    docstring = ast.get_docstring(ast.parse((ROOT / "data" / f"{module}.py").read_text(encoding="utf-8")))
    assert f"\n```text\n{docstring}\n```\n" in (ROOT / "docs" / "prepare.md").read_text(encoding="utf-8")
