"""The benchmarks run, at a size at which their times say nothing."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def load_benchmark(monkeypatch):
    """A script of the folder as a module, as if it had been started from the command line."""
    monkeypatch.syspath_prepend(BENCHMARKS)

    def load(name: str):
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)  # dataclasses look themselves up there
        spec.loader.exec_module(module)
        return module

    return load


def results(printed: str) -> dict:
    """The JSON line that ends a benchmark's output."""
    return json.loads(printed.splitlines()[-1])


def test_encode(load_benchmark, capsys, monkeypatch):
    encode = load_benchmark("encode")
    memory = {"imports_mb": 1.0, "peak_mb": 2.0}
    monkeypatch.setattr(encode, "memory_of_own_process", lambda preset, dtype: memory)  # seconds to import torch again
    encode.main(["--preset", "tiny", "--rounds", "1"])
    found = results(capsys.readouterr().out)
    assert found["benchmark"] == "encode"
    assert len(found["rows"]) == 8
    assert found["bfloat16_cosine_min"] > 0.999
    assert found["memory"]["bfloat16"] == memory


def test_encode_measures_memory(load_benchmark, capsys):
    load_benchmark("encode").main(["--preset", "tiny", "--memory", "bfloat16"])
    found = results(capsys.readouterr().out)
    assert 0 < found["imports_mb"] <= found["peak_mb"]


def test_encode_counts_the_work_of_a_volume(load_benchmark):
    """One layer of width 2, inner width 3 and one head on two patches of a voxel each, so three tokens:
    linear maps 2 * 3 * (2*6 + 2*2 + 2*3 + 3*2) = 168, attention 2 * (2 * 3 * 3 * 2) = 72, patches 2 * 2 * 1 * 2 = 8."""
    encode = load_benchmark("encode")
    config = encode.Med3DR1VisionConfig(
        hidden_size=2, intermediate_size=3, num_attention_heads=1, num_hidden_layers=1,
        image_size=(1, 1, 2), patch_size=(1, 1, 1),
    )  # fmt: skip
    assert encode.linear_flops(config) == 168
    assert encode.flops(config) == 168 + 72 + 8


def test_decode(load_benchmark, capsys):
    load_benchmark("decode").main(["--preset", "tiny", "--rounds", "1"])
    found = results(capsys.readouterr().out)
    assert found["benchmark"] == "decode"
    assert found["float32"]["ratio"] > 0
    assert found["bfloat16"]["gain"] > 0


@pytest.mark.filterwarnings("ignore:.*voxels are up to")
@pytest.mark.parametrize("path", ["med3d-r1", "nibabel float64 + trilinear", "SimpleITK linear"])
def test_read(load_benchmark, monkeypatch, tmp_path, path):
    read = load_benchmark("read")
    monkeypatch.setattr(read, "SHAPE", (16, 24, 24))
    read.write(str(tmp_path / "chest.nii.gz"))
    found = read.measure(path, str(tmp_path / "chest.nii.gz"), repeat=1)
    assert found["read_s"] > 0
    assert found["ratio"] == found["read_s"] / found["inflate_s"]


def test_startup(load_benchmark, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["startup.py", "--repeat", "1"])
    load_benchmark("startup").main()
    assert results(capsys.readouterr().out)["med3d-r1 --help"]["min_s"] > 0


def test_times_in_turns(load_benchmark):
    report = load_benchmark("_report")
    calls = []
    times = report.times_in_turns({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert calls == ["a", "b"] * 3
    assert [len(seconds) for seconds in times.values()] == [2, 2]


def test_median_ratio_is_of_the_rounds_own_ratios(load_benchmark):
    """1/2, 8/2 and 3/4: the slow second round of `a` moves nothing, where the medians alone would give 3/2."""
    assert load_benchmark("_report").median_ratio([1.0, 8.0, 3.0], [2.0, 2.0, 4.0]) == 0.75


def test_print_table(load_benchmark, capsys):
    load_benchmark("_report").print_table(["what", "s"], [["a", 1.25], ["longer", 3]])
    assert capsys.readouterr().out.splitlines() == [
        "| what   |    s |",
        "| ------ | ---: |",
        "| a      | 1.25 |",
        "| longer |    3 |",
    ]
