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


def test_gpu_on_a_cpu(load_benchmark, capsys):
    size = ["--steps", "1", "--batch", "2", "--group", "2", "--completion", "8"]
    load_benchmark("gpu").main(["--preset", "tiny", "--device", "cpu", *size])
    found = results(capsys.readouterr().out)
    assert [row["name"] for row in found["rows"]] == ["SFT step", "GRPO generation", "GRPO update"]
    assert all(row["s"] > 0 and row["tflops"] > 0 and row["mfu"] is None for row in found["rows"])
    assert found["options"]["train"] == "all"


def test_gpu_counts_the_work_of_a_step(load_benchmark):
    """The tower of the test above: 248, its patches 8. Its two tokens become one of width 2: pooling 2 * (2*2)*2 = 16,
    projection 2 * 2*2 = 8, gate 2 * (4*2 + 2*1) = 20. A decoder of one layer, one head, inner width 3, 5 words:
    weights 4 * 2*2 + 3 * 2*3 = 34, so 68 a token; attention of three tokens 2 * (2 * 6 * 2) = 48; head 2 * 2*5 = 20.

    Forward, three tokens of which two are predicted: 3 * 68 + 48 + 2 * 20 = 292.
    Bridge alone: 248 + (3 * 44 - 16) + 2 * (3 * 68 + 2 * 20) + 3 * 48 = 996.
    Everything:   (3 * 248 - 8) + 3 * 44 + 3 * (3 * 68 + 2 * 20) + 3 * 48 = 1744.
    Two answers of one token to a prompt of two: 248 + 44 + 2 * (3 * 68 + 48 + 20) = 836."""
    gpu = load_benchmark("gpu")
    vision = {"hidden_size": 2, "intermediate_size": 3, "num_attention_heads": 1, "num_hidden_layers": 1}
    text = {**vision, "model_type": "qwen2", "num_key_value_heads": 1, "vocab_size": 5}
    config = gpu.Med3DR1Config(
        vision_config={**vision, "image_size": (1, 1, 2), "patch_size": (1, 1, 1)},
        text_config=text,
        pool_size=(1, 1, 2),
    )
    work = gpu.Work.of(config)
    assert (work.vision, work.patches, work.bridge, work.pooling) == (248, 8, 44, 16)
    assert work.forward(3, 2) == 292
    assert work.training(["bridge"], scans=1, sequences=1, tokens=3, predicted=2) == 996
    assert work.training(gpu.PARTS["all"], scans=1, sequences=1, tokens=3, predicted=2) == 1744
    assert work.generation(scans=1, sequences=2, prompt=2, new=1) == 836


def test_gpu_says_where_there_is_none(load_benchmark, capsys, monkeypatch):
    gpu = load_benchmark("gpu")
    monkeypatch.setattr(gpu.torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "torch sees no GPU here" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore:.*voxels are up to")
@pytest.mark.parametrize("path", ["med3d-r1", "nibabel float64 + trilinear", "SimpleITK linear"])
def test_read(load_benchmark, monkeypatch, tmp_path, path):
    read = load_benchmark("read")
    monkeypatch.setattr(read, "SHAPE", (16, 24, 24))
    read.write(str(tmp_path / "chest.nii.gz"))
    found = read.measure(path, str(tmp_path / "chest.nii.gz"), repeat=1)
    assert found["read_s"] > 0
    assert found["ratio"] == found["read_s"] / found["inflate_s"]


def test_grpo_step(load_benchmark, capsys):
    """A group of 4: TRL reads the scan for each copy, twice, and encodes it for each copy three times."""
    load_benchmark("grpo_step").main(["--preset", "tiny", "--group", "4", "--rounds", "1", "--dtype", "float32"])
    rows = results(capsys.readouterr().out)["rows"]
    counts = [[row[name] for name in ("reads", "encoded", "encoded_with_gradient")] for row in rows]
    assert counts == [[8, 12, 0], [1, 1, 0], [0, 0, 0], [8, 8, 4], [1, 2, 1]]
    assert all(row["ratio"] > 0 for row in rows)


@pytest.mark.filterwarnings("ignore:.*voxels are up to|.*axial slices")
def test_prepare(load_benchmark, capsys, monkeypatch):
    prepare = load_benchmark("prepare")
    monkeypatch.setitem(prepare.PRESETS, "tiny", prepare.Preset((16, 24, 24), 4, "tiny"))
    # In this process: others take seconds to start.
    prepare.main(["--preset", "tiny", "--workers", "0", "--rounds", "1"])
    printed = capsys.readouterr().out
    found = results(printed)
    assert found["benchmark"] == "prepare"
    assert found["scans"] == 4
    assert found["workers"]["0"]["ratio"] == 1
    assert "rate beside 0" in printed


def test_sft_step(load_benchmark, capsys):
    load_benchmark("sft_step").main(["--preset", "tiny", "--rounds", "1"])
    found = results(capsys.readouterr().out)
    assert found["benchmark"] == "sft_step"
    assert found["gain"] > 0


def test_arw_step(load_benchmark, capsys, monkeypatch):
    arw = load_benchmark("arw_step")
    memory = {"imports_mb": 1.0, "peak_mb": 2.0}
    monkeypatch.setattr(arw, "memory_of_own_process", lambda preset, name: memory)  # seconds to import torch again
    arw.main(["--preset", "tiny", "--rounds", "1"])
    found = results(capsys.readouterr().out)["results"]
    assert set(found) == set(arw.NAMES)
    assert found[arw.STOCK]["time_ratio"] == 1
    assert found[arw.OURS]["memory_ratio"] == 1
    arw.main(["--preset", "tiny", "--memory", arw.OURS])
    found = results(capsys.readouterr().out)
    assert 0 < found["imports_mb"] <= found["peak_mb"]


def test_vocabulary_loss(load_benchmark, capsys, monkeypatch):
    """Whatever the way, the loss is the same."""
    vocabulary = load_benchmark("vocabulary_loss")
    monkeypatch.setattr(
        vocabulary, "in_own_process", lambda preset, way: vocabulary.measure(way, vocabulary.SIZES[preset])
    )
    vocabulary.main(["--preset", "tiny"])
    losses = [found["loss"] for found in results(capsys.readouterr().out)["results"].values()]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


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
