"""`med3d-r1 evaluate` as a user types it, on synthetic patients."""

import json
import re
from pathlib import Path

import pytest
from transformers.utils import logging

from chat_server import ChatServer, allow_loopback
from dataset_trees import write_csv
from evaluation_systems import table
from med3d_r1 import cli
from med3d_r1.abnormalities import CT_RATE_LABELS
from med3d_r1.data.phantom import write_ct_rate_tree, write_rad_chestct_tree
from med3d_r1.evaluation.judge import SCALES
from med3d_r1.evaluation.mmvqa import MmvqaResult
from med3d_r1.evaluation.report import ReportResult
from tiny import tiny_checkpoint


@pytest.fixture(autouse=True)
def loud_libraries():
    """The command line quiets transformers for the rest of its process."""
    verbosity = logging.get_verbosity()
    yield
    logging.set_verbosity(verbosity)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("evaluation") / "model")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    return write_ct_rate_tree(tmp_path_factory.mktemp("trees") / "ct-rate", {"train": 30, "validation": 8}, seed=3)


@pytest.fixture
def run(capfd):
    """Runs `evaluate` and returns (exit status, stdout, stderr)."""

    def command(*arguments):
        status = cli.main(["evaluate", *map(str, arguments)])
        return status, *capfd.readouterr()

    return command


@pytest.mark.parametrize(
    "benchmark", [(), ("mmvqa",), ("report",), ("floor",), ("compare",), ("table",), ("reasoning",)]
)
def test_help_has_an_example(benchmark, capsys):
    with pytest.raises(SystemExit):
        cli.main(["evaluate", *benchmark, "--help"])
    assert " ".join(["med3d-r1 evaluate", *benchmark]) in capsys.readouterr().out


SHORT = ("--distractors", "negative", "--max-new-tokens", "6")


def test_mmvqa_from_the_stored_scans_is_mmvqa_from_the_files(run, model, tree, tmp_path):
    """Read anew, prepared, and encoded: the same answers; and everything that was promised is printed and written."""
    prepared, features = tmp_path / "prepared", tmp_path / "features"
    assert (
        cli.main(["prepare", "ct-rate", str(tree), "--out", str(prepared), "--model", str(model), "--workers", "0"])
        == 0
    )
    assert cli.main(["encode", str(prepared), "--model", str(model), "--out", str(features)]) == 0
    results = []
    for number, scans in enumerate(([], ["--volumes", prepared], ["--features", features])):
        out = tmp_path / f"out{number}"
        status, printed, _ = run(
            "mmvqa", "--model", model, "--data", tree, *scans, *SHORT, "--dtype", "float32", "--out", out
        )
        assert status == 0
        results.append(MmvqaResult.load(out))
    assert "| with think |" in printed
    assert "| without think |" in printed
    assert "of the swapped scans have the true abnormality too" in printed
    assert {*results[0].numbers} == {True, False}
    told = [[(r["item"], r["condition"], r["text"]) for r in result.records] for result in results]
    assert told[0] == told[1]
    same = sum(one == other for one, other in zip(told[1], told[2], strict=True))
    assert same > 0.8 * len(told[1])  # features are rounded to bfloat16, and the model is untrained
    data = results[2].protocol["data"]
    assert (data["dataset"], data["split"], data["distractors"]) == ("ct-rate", "validation", "negative")
    assert len(data["features"]) == 64


def test_so_many_questions_as_are_asked_for(run, model, tree, tmp_path):
    arguments = ["mmvqa", "--model", model, "--data", tree, *SHORT, "--think", "no", "--items", 20, "--out", tmp_path]
    assert run(*arguments, "--plots", "--name", "tiny")[0] == 0
    result = MmvqaResult.load(tmp_path)
    assert result.protocol["data"]["items"] == 20
    assert result.protocol["predictor"]["name"] == "tiny"
    assert (tmp_path / "no-think" / "confusion.png").exists()
    before = (tmp_path / "predictions.jsonl").read_text()
    assert run(*arguments)[0] == 0
    assert MmvqaResult.load(tmp_path).protocol["hash"] != result.protocol["hash"]  # another name
    assert (tmp_path / "predictions.jsonl").read_text().startswith(before)


def test_rad_chestct(run, model, tmp_path):
    tree = write_rad_chestct_tree(tmp_path / "rad", {"train": 20, "test": 8}, seed=5)
    arguments = ["--dataset", "rad-chestct", "--model", model, "--data", tree, *SHORT, "--think", "yes"]
    status, printed, _ = run("mmvqa", *arguments, "--out", tmp_path / "out")
    assert status == 0
    assert "rad-chestct" in printed
    assert MmvqaResult.load(tmp_path / "out")[True].agreement is None


def test_systems_that_run_elsewhere(run, tree, tmp_path):
    questions, answers = tmp_path / "questions.jsonl", tmp_path / "answers.jsonl"
    asked = ["--data", tree, "--distractors", "negative", "--think", "no"]
    assert run("mmvqa", *asked, "--write-questions", questions)[0] == 0
    lines = [json.loads(line) for line in questions.read_text().splitlines()]
    assert (tree / lines[0]["image"]).is_file()
    answers.write_text("".join(json.dumps({**line, "text": "(A)"}) + "\n" for line in lines))
    status, printed, _ = run("mmvqa", *asked, "--predictions", answers, "--out", tmp_path / "out")
    assert status == 0
    assert "# MMVQA: answers" in printed
    numbers = MmvqaResult.load(tmp_path / "out")[False]
    assert numbers.letters == {"A": len(lines) // 2, "B": 0, "C": 0, "D": 0}


def test_what_is_made_of_results(run, tree, tmp_path, monkeypatch):
    """Two files of answers, measured, compared, put into the paper's table, and judged."""
    asked = ["--data", tree, "--distractors", "negative", "--think", "yes"]
    assert run("mmvqa", *asked, "--write-questions", tmp_path / "questions.jsonl")[0] == 0
    lines = [json.loads(line) for line in (tmp_path / "questions.jsonl").read_text().splitlines()]
    for name in "AB":
        text = f"<think>Seen nothing.</think><answer>{name}</answer>"
        answers = "".join(json.dumps({**line, "text": text}) + "\n" for line in lines)
        (tmp_path / f"{name}.jsonl").write_text(answers)
        assert run("mmvqa", *asked, "--predictions", tmp_path / f"{name}.jsonl", "--out", tmp_path / name)[0] == 0

    status, printed, _ = run("compare", tmp_path / "A", tmp_path / "B", "--out", tmp_path / "compared")
    assert status == 0
    assert "# Against A" in printed
    assert "| B, with think |" in printed
    assert (tmp_path / "compared/comparison.json").exists()
    status, _, errors = run("compare", tmp_path / "A")
    assert (status, "two results or more" in errors) == (cli.WRONG_INPUT, True)

    status, printed, _ = run("table", tmp_path / "A", tmp_path / "B", "--out", tmp_path / "tables")
    assert status == 0
    assert printed.count("... options alone") == 2
    assert (tmp_path / "tables/tables.md").read_text().strip() == printed.strip()

    allow_loopback(monkeypatch)
    with ChatServer(lambda _: json.dumps(dict.fromkeys(SCALES, 2))) as server:
        asked = ["reasoning", tmp_path / "A", "--data", tree, "--judge", "m", "--judge-url", server.url]
        status, _, errors = run(*asked)
        assert (status, "--send-reports" in errors, server.requests) == (cli.WRONG_INPUT, True, [])
        status, printed, _ = run(*asked, "--send-reports", "--items", 3)
        assert status == 0
        assert "| clarity | 2.00" in printed
        assert "3 questions on" in printed
        assert all(json.loads(r["messages"][-1]["content"])["report"] for r in server.requests)
        assert (tmp_path / "A/reasoning.json").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--out", "x"], "nothing to measure"),
        (["--out", "x", "--items", "0"], "--items is 1 or more"),
        (["--predictions", "nowhere.jsonl", "--out", "x"], "nowhere.jsonl"),
        (["--pictures-model", "nowhere", "--features", "x", "--out", "x"], "tokens of our vision tower"),
    ],
)
def test_wrong_arguments_are_told_in_one_line(run, tree, arguments, words):
    status, _, errors = run("mmvqa", "--data", tree, *arguments)
    assert status == cli.WRONG_INPUT
    assert words in errors.splitlines()[-1]


def test_more_questions_than_there_are_scans_for(run, model, tree, tmp_path):
    status, _, errors = run("mmvqa", "--model", model, "--data", tree, *SHORT, "--items", 9999, "--out", tmp_path)
    assert status == cli.WRONG_INPUT
    assert "9,999 questions were asked for" in errors


def label_table(path, labels):
    rows = [
        {"VolumeName": f"{name}.nii.gz", **dict(zip(CT_RATE_LABELS, row, strict=True))} for name, row in labels.items()
    ]
    return write_csv(path, rows)


def test_the_floor_of_a_label_table(run, tmp_path):
    labels = label_table(tmp_path / "valid.csv", table(150))
    train = label_table(tmp_path / "train.csv", table(300, seed=2))
    status, printed, _ = run("floor", "--labels", labels, "--train-labels", train, "--out", tmp_path / "floor")
    assert status == 0
    assert "| balanced, label |" in printed
    assert json.loads((tmp_path / "floor/floor.json").read_text())["protocol"]["train_scans"] == 300
    assert (tmp_path / "floor/floor.svg").exists()


def test_reports(run, model, tree, tmp_path):
    pytest.importorskip("sacrebleu")
    arguments = ["report", "--model", model, "--data", tree, "--max-new-tokens", 6, "--items", 6, "--out", tmp_path]
    status, printed, _ = run(*arguments)
    assert status == 0
    assert "| own - swapped, exam by exam |" in printed
    assert "model-index:" in (tmp_path / "model-index.yaml").read_text()
    assert ReportResult.load(tmp_path).numbers.exams == 6


def test_reports_are_sent_to_nobody_without_a_word(run, model, tree, tmp_path, monkeypatch):
    pytest.importorskip("sacrebleu")
    arguments = ["--max-new-tokens", 2, "--items", 2, "--judge", "m", "--judge-url", "http://127.0.0.1:9/v1"]
    status, _, errors = run("report", "--model", model, "--data", tree, *arguments, "--out", tmp_path)
    assert status == cli.WRONG_INPUT
    assert "--send-reports" in errors
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    status, _, errors = run("report", "--model", model, "--data", tree, *arguments, "--send-reports", "--out", tmp_path)
    assert status == cli.WRONG_INPUT
    assert "run again to go on" in errors


def test_every_row_of_the_papers_table_has_a_command():
    """Those of the page are commands, and name the systems of table 1."""
    page = (Path(__file__).parent.parent / "docs/other-systems.md").read_text(encoding="utf-8")
    commands = re.findall(r"`(?:med3d-r1 )?(evaluate mmvqa [^`]*)`", page)
    assert len(commands) == 11  # nine rows, and the two steps of a system with a runtime of its own
    data = "--data CT-RATE --distractors random --think both"
    for command in commands:
        args = cli.build_parser().parse_args(command.replace("$DATA", data).split())
        assert args.benchmark == "mmvqa"
        assert args.data
    rows = [line for line in page.splitlines() if line.startswith("|")]
    for system in (
        *("Med3D-R1, S1", "Med3D-R1, S2", "Qwen2.5-VL-3B", "Qwen2.5-VL-3B-RL", "Lingshu-7B", "Qwen3-VL-4B-Thinking"),
        *("Med-R1", "MedVLM-R1", "MedGemma", "RadFM", "M3D", "E3D-GPT", "CT-CHAT", "Med3DVLM"),
    ):
        (row,) = (row for row in rows if row.startswith(f"| {system} |"))
        assert "`evaluate mmvqa" in row or "FILE" in row
