"""The file of labels that were paid for: what survives, what is refused, and that no text is in it."""

import contextlib
import os
import subprocess
import sys

import pytest

from med3d_r1.data.sentence_cache import LabelCache, cache_key

ROW = ("key", "normal", "model", "1")


def test_keys_differ_by_sentence_model_and_prompt():
    keys = {cache_key(s, m, p) for s in ("a", "b") for m in ("x", "y") for p in ("1", "2")}
    assert len(keys) == 8
    assert {len(key) for key in keys} == {64}


def test_labels_come_back_from_the_file(tmp_path):
    path = tmp_path / "new" / "labels.parquet"
    with LabelCache(path) as cache:
        cache.add([ROW])
    with LabelCache(path) as cache:
        cache.add([("other", "abnormal", "model", "1")])
    again = LabelCache(path)
    assert (again.get("key"), again.get("other"), again.get("third")) == ("normal", "abnormal", None)
    assert len(again) == 2
    assert sorted(file.name for file in path.parent.iterdir()) == ["labels.parquet", "labels.parquet.lock"]


def test_without_a_file_labels_stay_in_memory():
    with LabelCache() as cache:
        cache.add([ROW])
    assert cache.get("key") == "normal"


def test_a_killed_run_keeps_what_was_added_and_the_torn_line_is_passed_over(tmp_path):
    path = tmp_path / "labels.parquet"
    program = (
        "import os, sys; from med3d_r1.data.sentence_cache import LabelCache\n"
        f"cache = LabelCache(sys.argv[1]).__enter__(); cache.add([{ROW}]); os.kill(os.getpid(), 9)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([sys.executable, "-c", program, path], env=environment)
    assert killed.returncode == -9
    assert not path.exists()
    with (tmp_path / "labels.parquet.journal").open("a") as journal:
        journal.write('["half", "norm')
    assert LabelCache(path).get("key") == "normal"
    with LabelCache(path):  # folds the journal into the file
        assert path.exists()
    assert (LabelCache(path).get("key"), len(LabelCache(path))) == ("normal", 1)


def test_an_error_keeps_what_was_added(tmp_path):
    path = tmp_path / "labels.parquet"
    with contextlib.suppress(KeyError), LabelCache(path) as cache:
        cache.add([ROW])
        raise KeyError
    assert LabelCache(path).get("key") == "normal"


def test_a_second_run_on_the_same_file_is_refused(tmp_path):
    path = tmp_path / "labels.parquet"
    with LabelCache(path), pytest.raises(RuntimeError, match=r"labels\.parquet: another run"), LabelCache(path):
        pass
    with LabelCache(path):
        pass


def test_another_file_is_refused(tmp_path):
    path = tmp_path / "labels.parquet"
    path.write_text("sentence,label\n")
    with pytest.raises(ValueError, match=r"labels\.parquet is not a file of sentence labels"):
        LabelCache(path)
