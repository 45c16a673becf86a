"""Filling a volume store: the same voxels as on the direct way, each scan once, whatever happens in between."""

import ast
import json
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from med3d_r1 import Med3DR1ImageProcessor, PreparedVolume
from med3d_r1.checkpoints import IMAGE_PROCESSORS
from med3d_r1.data import prepare
from med3d_r1.data.ct_rate import read_ct_rate
from med3d_r1.data.manifest import StoreError
from med3d_r1.data.manifest import read_manifest as read_manifest_of
from med3d_r1.data.phantom import make_phantom, write_ct_rate_tree, write_rad_chestct_tree
from med3d_r1.data.phantom.files import save_nifti
from med3d_r1.data.prepare import prepare_scans
from med3d_r1.data.rad_chestct import read_rad_chestct
from med3d_r1.data.rows import report_rows
from med3d_r1.data.scans import Scan, Volume
from med3d_r1.data.volume_store import VOLUMES, Store
from med3d_r1.data.workers import Died

TINY = Med3DR1ImageProcessor(**IMAGE_PROCESSORS["tiny"])
COARSE = Med3DR1ImageProcessor(spacing=(21.0, 10.5, 10.5), field_size=(16, 32, 32), size=(16, 32, 32))
SHAPE = (32, 40, 40)
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Synthetic patients in CT-RATE's layout, with the original volumes beside the fixed ones."""
    folder = tmp_path_factory.mktemp("tree")
    return write_ct_rate_tree(folder, {"train": 8, "validation": 2}, shape=SHAPE, original=True)


@pytest.fixture(scope="module")
def scans(tree) -> list[Scan]:
    return [scan for split in ("train", "validation") for scan in read_ct_rate(tree, split)]


def read_manifest(folder):
    return read_manifest_of(folder, VOLUMES)


def volume_path(folder, volume):
    return VOLUMES.path(folder, volume)


def names(scans) -> list[str]:
    return [volume.name for scan in scans for volume in scan.volumes]


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Stored volumes -> what changes when one is written again."""
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.glob("volumes/*/*.npz")}


def scan_of(path: Path, **reading) -> Scan:
    return Scan("CT-RATE", "train", path.stem, path.stem, (Volume(path.name, path, reading),))


class TestTheSameVoxels:
    @pytest.mark.parametrize("preset", ["tiny", "3b"])
    @pytest.mark.parametrize("orientation", ["LPS", "RAI", "SLA"])
    def test_in_any_orientation_and_on_both_grids(self, tmp_path, preset, orientation):
        image_processor = Med3DR1ImageProcessor(**IMAGE_PROCESSORS[preset])
        save_nifti(make_phantom(5, SHAPE), tmp_path / "scan.nii.gz", orientation)
        prepare_scans([scan_of(tmp_path / "scan.nii.gz")], tmp_path / "store", image_processor)
        store = Store(tmp_path / "store", image_processor)
        direct = image_processor(tmp_path / "scan.nii.gz", return_tensors="pt")["pixel_values"]
        assert torch.equal(image_processor.to_tensor(store["scan.nii.gz"]), direct[0])
        assert torch.equal(image_processor(store.path("scan.nii.gz"), return_tensors="pt")["pixel_values"], direct)

    def test_of_a_data_set_with_everything_known_of_it(self, tmp_path, scans):
        summary = prepare_scans(scans, tmp_path, COARSE)
        store = Store(tmp_path, COARSE)
        assert list(store) == names(scans)
        assert (summary.made, summary.wanted, summary.present) == (len(store), len(store), 0)
        assert summary.bytes == sum(path.stat().st_size for path in tmp_path.glob("volumes/*/*.npz"))
        for scan in scans:
            for volume in scan.volumes:
                entry = store.manifest.entries[volume.name]
                assert (entry.dataset, entry.split) == ("CT-RATE", scan.split)
                assert (entry.patient, entry.scan) == (scan.patient, scan.name)
                assert sorted(entry.source_shape) == sorted(SHAPE)
                assert np.array_equal(store[volume.name].hu, COARSE.prepare(volume.path).hu)

    def test_original_volumes_are_rescaled_to_the_fixed_ones(self, tmp_path, tree, scans):
        originals = read_ct_rate(tree, "train", volumes="original")
        assert {volume.reading["rescale"][1] for scan in originals for volume in scan.volumes} == {-1024, -8192}
        prepare_scans(originals, tmp_path / "original", COARSE)
        prepare_scans([scan for scan in scans if scan.split == "train"], tmp_path / "fixed", COARSE)
        assert Store(tmp_path / "original").fingerprint == Store(tmp_path / "fixed").fingerprint

    def test_of_rad_chestct(self, tmp_path):
        write_rad_chestct_tree(tmp_path / "tree", {"test": 3}, shape=SHAPE)
        scans = read_rad_chestct(tmp_path / "tree", "test")
        prepare_scans(scans, tmp_path / "store", COARSE)
        store = Store(tmp_path / "store")
        for scan in scans:
            (volume,) = scan.volumes
            assert np.array_equal(store[volume.name].hu, COARSE.prepare(volume.path, **volume.reading).hu)

    def test_in_processes_of_their_own(self, tmp_path, scans):
        prepare_scans(scans, tmp_path / "here", COARSE)
        summary = prepare_scans(scans, tmp_path / "elsewhere", COARSE, workers=2)
        assert summary.made == len(names(scans))
        assert Store(tmp_path / "elsewhere").fingerprint == Store(tmp_path / "here").fingerprint

    def test_compressed(self, tmp_path, scans):
        plain = prepare_scans(scans[:2], tmp_path / "plain", COARSE)
        packed = prepare_scans(scans[:2], tmp_path / "packed", COARSE, compress=True)
        assert packed.bytes < plain.bytes
        assert Store(tmp_path / "packed").fingerprint == Store(tmp_path / "plain").fingerprint

    def test_rows_for_training_hold_paths_of_the_store(self, tmp_path, scans):
        prepare_scans(scans[:3], tmp_path, COARSE)
        store = Store(tmp_path, COARSE)
        rows = report_rows(store.stored(scans), images=store.path_of)
        assert [row["images"] for row in rows] == [[store.path(name)] for name in store]
        assert COARSE(rows[0]["images"], return_tensors="pt")["pixel_values"].shape == (1, 1, 16, 32, 32)


class TestGoingOn:
    def test_what_is_there_is_not_touched(self, tmp_path, scans):
        prepare_scans(scans[:3], tmp_path, COARSE)
        before = files(tmp_path)
        summary = prepare_scans(scans, tmp_path, COARSE)
        assert summary.present == len(names(scans[:3])) == len(before)
        assert summary.made == len(names(scans)) - len(before)
        assert before.items() <= files(tmp_path).items()

    def test_files_without_a_row_are_taken_over(self, tmp_path, scans):
        """As after a kill: the manifest is written now and then only."""
        prepare_scans(scans, tmp_path, COARSE)
        manifest, before = read_manifest(tmp_path), files(tmp_path)
        (tmp_path / "manifest" / "all.parquet").unlink()
        summary = prepare_scans(scans, tmp_path, COARSE)
        assert (summary.found, summary.made) == (len(before), 0)
        assert files(tmp_path) == before
        again = read_manifest(tmp_path)
        for name, entry in manifest.entries.items():
            same = replace(again.entries[name], seconds=entry.seconds, prepared_at=entry.prepared_at)
            assert same == entry

    def test_broken_files_without_a_row_are_prepared_again(self, tmp_path, scans):
        prepare_scans(scans[:2], tmp_path, COARSE)
        (tmp_path / "manifest" / "all.parquet").unlink()
        name = names(scans)[0]
        volume_path(tmp_path, name).write_bytes(b"PK torn")
        summary = prepare_scans(scans[:2], tmp_path, COARSE)
        assert summary.made == 1
        assert dict(Store(tmp_path).faults())[name] is None

    def test_a_file_prepared_otherwise_is_not_taken_over(self, tmp_path, scans):
        prepare_scans(scans[:1], tmp_path, TINY)
        (tmp_path / "manifest" / "all.parquet").unlink()
        assert prepare_scans(scans[:1], tmp_path, COARSE).found == 0
        assert Store(tmp_path)[names(scans)[0]].hu.shape == COARSE.size

    def test_a_file_that_was_deleted_is_made_again(self, tmp_path, scans):
        prepare_scans(scans[:2], tmp_path, COARSE)
        volume_path(tmp_path, names(scans)[0]).unlink()
        assert prepare_scans(scans[:2], tmp_path, COARSE).made == 1

    def test_a_source_that_changed_is_prepared_again(self, tmp_path):
        source = tmp_path / "scan.nii.gz"
        save_nifti(make_phantom(1, SHAPE), source)
        prepare_scans([scan_of(source)], tmp_path / "store", COARSE)
        save_nifti(make_phantom(2, SHAPE), source)
        assert prepare_scans([scan_of(source)], tmp_path / "store", COARSE).made == 1
        assert np.array_equal(Store(tmp_path / "store")["scan.nii.gz"].hu, COARSE.prepare(source).hu)
        assert prepare_scans([scan_of(source)], tmp_path / "store", COARSE).present == 1

    def test_verify_repairs_what_is_broken(self, tmp_path, scans):
        prepare_scans(scans[:3], tmp_path, COARSE)
        broken, other = names(scans)[:2]
        content = PreparedVolume.load(volume_path(tmp_path, other))
        content.save(volume_path(tmp_path, broken))
        assert prepare_scans(scans[:3], tmp_path, COARSE).made == 0
        summary = prepare_scans(scans[:3], tmp_path, COARSE, verify=True)
        assert (summary.repaired, summary.found) == (1, len(names(scans[:3])) - 1)
        assert set(dict(Store(tmp_path).faults()).values()) == {None}

    def test_halves_of_a_killed_run_are_swept_and_those_of_others_stay(self, tmp_path, scans):
        prepare_scans(scans[:1], tmp_path, COARSE)
        own = volume_path(tmp_path, names(scans)[0])
        half = own.with_name(f".{own.name}.0123456789abcdef.partial")
        foreign = own.with_name(".valid_99_a_1.npz.0123456789abcdef.partial")
        half.touch()
        foreign.touch()
        prepare_scans(scans[:1], tmp_path, COARSE)
        assert not half.exists()
        assert foreign.exists()

    def test_after_sigkill_nothing_is_half_written_and_nothing_is_done_twice(self, tmp_path):
        """Kills the command line with two workers in the middle of its work, and runs it again."""
        tree, store = tmp_path / "tree", tmp_path / "store"
        write_ct_rate_tree(tree, {"train": 60}, shape=SHAPE)
        wanted = names(read_ct_rate(tree))
        command = [sys.executable, "-m", "med3d_r1.cli", "prepare", "phantom", str(tree), "--split", "train"]
        command += ["--out", str(store), "--workers", "2"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as killed:
            end = time.monotonic() + 600  # to start takes minutes on a machine that has much else to do
            while len(files(store)) < 5 and killed.poll() is None and time.monotonic() < end:
                time.sleep(0.001)
            killed.send_signal(signal.SIGKILL)
        at_kill = files(store)
        assert 5 <= len(at_kill) < len(wanted)
        for path in store.glob("volumes/*/*.npz"):
            assert TINY.to_tensor(PreparedVolume.load(path)).shape == (1, 32, 64, 64)

        prepare_scans(read_ct_rate(tree), store, TINY)
        after = files(store)
        assert len(after) == len(wanted)
        twice = {name for name, identity in at_kill.items() if after[name] != identity}
        assert not twice
        assert set(dict(Store(store, TINY).faults()).values()) == {None}
        assert not list(store.glob("volumes/*/.*.partial"))


class TestScansThatAreRefused:
    @pytest.fixture
    def mixed(self, tmp_path) -> list[Scan]:
        """A good scan, one that ends too early, one that is no CT, and one that is missing."""
        for number, name in enumerate(("good", "torn", "mr", "gone")):
            save_nifti(make_phantom(number, SHAPE), tmp_path / f"{name}.nii.gz")
        torn = tmp_path / "torn.nii.gz"
        torn.write_bytes(torn.read_bytes()[:2000])
        np.save(tmp_path / "mr.npy", np.random.default_rng(0).random(SHAPE, dtype=np.float32))
        (tmp_path / "gone.nii.gz").unlink()
        return [
            scan_of(tmp_path / "torn.nii.gz"),
            scan_of(tmp_path / "mr.npy", spacing=(3.0, 1.0, 1.0)),
            scan_of(tmp_path / "gone.nii.gz"),
            scan_of(tmp_path / "good.nii.gz"),
        ]

    def test_the_rest_goes_on_and_each_has_its_reason(self, tmp_path, mixed):
        summary = prepare_scans(mixed, tmp_path / "store", COARSE)
        assert list(Store(tmp_path / "store")) == ["good.nii.gz"]
        assert summary.report == tmp_path / "store" / "refused" / "all.jsonl"
        lines = [json.loads(line) for line in summary.report.read_text().splitlines()]
        assert [line["volume"] for line in lines] == ["torn.nii.gz", "mr.npy", "gone.nii.gz"]
        assert [refusal.volume for refusal in summary.refused] == [line["volume"] for line in lines]
        for line in lines:
            assert line["sentence"].startswith(line["volume"])
            assert line["path"] == str(tmp_path / line["volume"])
        assert "normalised intensities" in lines[1]["found"]
        assert lines[2]["sentence"] == (
            "gone.nii.gz: the path of a scan must exist; found nothing there. Check the path."
        )

    def test_an_error_of_any_other_kind_is_one_scans_too(self, tmp_path, mixed):
        (good,) = mixed[3].volumes
        odd = replace(mixed[3], volumes=(replace(good, reading={"rescale": (0, 0)}),))
        summary = prepare_scans([odd], tmp_path / "store", COARSE)
        assert summary.refused[0].found.startswith("ValueError (rescale is (slope, intercept)")

    def test_what_was_mended_is_stored_the_next_time(self, tmp_path, mixed):
        prepare_scans(mixed, tmp_path / "store", COARSE)
        save_nifti(make_phantom(9, SHAPE), tmp_path / "torn.nii.gz")
        summary = prepare_scans(mixed, tmp_path / "store", COARSE)
        assert (summary.present, summary.made, len(summary.refused)) == (1, 1, 2)
        assert len(summary.report.read_text().splitlines()) == 2

    def test_a_stored_volume_whose_source_went_bad_is_not_kept(self, tmp_path, mixed):
        good = mixed[3:]
        prepare_scans(good, tmp_path / "store", COARSE)
        (tmp_path / "good.nii.gz").write_bytes(b"something else")
        summary = prepare_scans(good, tmp_path / "store", COARSE)
        assert len(summary.refused) == 1
        assert not files(tmp_path / "store")
        assert prepare_scans(good, tmp_path / "store", COARSE).found == 0

    def test_a_process_that_died_over_a_scan(self, tmp_path, mixed, monkeypatch):
        def deadly(jobs, function, workers, imports):
            yield from ((job, Died(-9) if "mr" in job.volume.name else function(job)) for job in jobs)

        monkeypatch.setattr(prepare, "work_off", deadly)
        prepare_scans(mixed[1::2], tmp_path / "store", COARSE)
        refusal = read_manifest(tmp_path / "store").refusals["mr.npy"]
        assert "SIGKILL" in refusal.sentence
        assert refusal.sentence.endswith("Try fewer workers.")

    def test_warnings_stand_in_the_manifest_and_are_not_shouted(self, tmp_path, recwarn):
        save_nifti(make_phantom(0, (8, 32, 32)), tmp_path / "thick.nii.gz")
        prepare_scans([scan_of(tmp_path / "thick.nii.gz")], tmp_path / "store", COARSE)
        assert any(
            "8 axial slices" in text for text in read_manifest(tmp_path / "store").entries["thick.nii.gz"].warnings
        )
        assert not recwarn.list


class TestErrorsOfTheStore:
    def test_no_room_ends_the_run_and_keeps_what_was_done(self, tmp_path, scans, monkeypatch):
        save, saved = PreparedVolume.save, []

        def full(self, path, compress=False):
            if len(saved) == 2:
                raise OSError(28, "No space left on device", str(path))
            saved.append(path)
            save(self, path, compress)

        monkeypatch.setattr(PreparedVolume, "save", full)
        with pytest.raises(OSError, match="No space left"):
            prepare_scans(scans, tmp_path, COARSE)
        assert len(read_manifest(tmp_path).entries) == 2
        assert not read_manifest(tmp_path).refusals

    def test_other_preprocessing(self, tmp_path, scans):
        prepare_scans(scans[:1], tmp_path, COARSE)
        with pytest.raises(StoreError, match=r"size \[16, 32, 32\], and .* size \[32, 64, 64\] is asked for"):
            prepare_scans(scans, tmp_path, TINY)

    @pytest.mark.parametrize("second", ["scan.nii", "scan.nii.gz"])
    def test_two_volumes_of_one_name(self, tmp_path, second):
        with pytest.raises(StoreError, match=f"one file in the store: scan.nii.gz and {second}"):
            prepare_scans([scan_of(tmp_path / "scan.nii.gz"), scan_of(tmp_path / second)], tmp_path, COARSE)


class TestDividingTheWork:
    def test_shards_together_are_the_whole(self, tmp_path, scans):
        wholes = [prepare_scans(scans, tmp_path / "parts", COARSE, shard=(index, 3)).wanted for index in (1, 2, 3)]
        assert sum(wholes) == len(names(scans))
        assert all(0 < wanted < len(names(scans)) for wanted in wholes)
        prepare_scans(scans, tmp_path / "whole", COARSE)
        assert Store(tmp_path / "parts").fingerprint == Store(tmp_path / "whole").fingerprint
        assert prepare_scans(scans, tmp_path / "parts", COARSE).present == len(names(scans))

    @pytest.mark.parametrize("shard", [(0, 2), (3, 2), (1, 0), (-1, 3)])
    def test_shards_that_do_not_exist(self, tmp_path, scans, shard):
        with pytest.raises(ValueError, match="the parts are 1/"):
            prepare_scans(scans, tmp_path, COARSE, shard=shard)

    def test_the_limit_counts_what_is_there(self, tmp_path, scans):
        prepare_scans(scans, tmp_path, COARSE, limit=2)
        summary = prepare_scans(scans, tmp_path, COARSE, limit=3)
        assert (summary.wanted, summary.present, summary.made) == (3, 2, 1)
        assert list(Store(tmp_path)) == names(scans)[:3]
        with pytest.raises(ValueError, match="limit is 1 or more"):
            prepare_scans(scans, tmp_path, COARSE, limit=0)


@pytest.mark.parametrize("module", ["volume_store", "filling"])
def test_the_documented_rules_are_the_modules_docstrings(module):
    """Where this fails, copy the module's docstring into its block."""
    docstring = ast.get_docstring(ast.parse((ROOT / "data" / f"{module}.py").read_text(encoding="utf-8")))
    assert f"\n```text\n{docstring}\n```\n" in (ROOT / "docs" / "prepare.md").read_text(encoding="utf-8")


def test_memory_does_not_grow_with_the_number_of_scans(tmp_path):
    """Four scans and sixteen, by the same few files: the peak is that of the scan at work."""
    for number in range(4):
        save_nifti(make_phantom(number, SHAPE), tmp_path / f"scan_{number}.nii.gz")
    for number in range(4, 16):
        os.link(tmp_path / f"scan_{number % 4}.nii.gz", tmp_path / f"scan_{number}.nii.gz")
    scans = [scan_of(tmp_path / f"scan_{number}.nii.gz") for number in range(16)]
    prepare_scans(scans[:1], tmp_path / "first", TINY)  # what is imported and cached on first use
    peaks = {}
    for count in (4, 16):
        tracemalloc.start()
        prepare_scans(scans[:count], tmp_path / f"store_{count}", TINY)
        peaks[count] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    one_volume = 2 * 32 * 64 * 64
    assert peaks[16] < peaks[4] + one_volume / 2


class TestSourcesThatAreBrought:
    def test_one_at_a_time_and_only_where_needed(self, tmp_path):
        """As by `HubFolder.fetch`: what was prepared may go again."""
        lying, asked = tmp_path / "cache", []
        lying.mkdir()

        def fetch(path):
            asked.append(path.name)
            if path.name == "c.nii.gz":
                raise FileNotFoundError(f"no {path.name} on the Hub")
            for other in lying.iterdir():
                other.unlink()
            save_nifti(make_phantom(ord(path.name[0]), SHAPE), path)

        scans = [scan_of(lying / f"{letter}.nii.gz") for letter in "abcd"]
        summary = prepare_scans(scans[:3], tmp_path / "store", COARSE, fetch=fetch)
        assert (summary.made, [refusal.volume for refusal in summary.refused]) == (2, ["c.nii.gz"])
        prepare_scans(scans, tmp_path / "store", COARSE, fetch=fetch)
        assert asked == ["a.nii.gz", "b.nii.gz", "c.nii.gz", "c.nii.gz", "d.nii.gz"]

    def test_terms_that_were_not_accepted_end_the_run(self, tmp_path, scans):
        def gated(path):
            raise PermissionError("accept the terms")

        with pytest.raises(PermissionError, match="accept the terms"):
            prepare_scans(scans, tmp_path, COARSE, fetch=gated)
