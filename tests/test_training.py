"""Whole runs on the tiny model: from a recipe to a model folder, going on after a stop, and what is refused."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText, AutoProcessor, TrainerCallback

from med3d_r1.checkpoints import load_model, load_processor
from med3d_r1.cli import main
from med3d_r1.data.ct_rate import read_ct_rate
from med3d_r1.data.encode import encode_scans
from med3d_r1.data.phantom import write_ct_rate_tree
from med3d_r1.data.volume_store import StoreError
from med3d_r1.trainers.grpo import Med3DR1GRPOTrainer
from med3d_r1.training import run as training
from med3d_r1.training.record import RunError
from tiny import tiny_checkpoint

ALWAYS = """
max_steps: 3
logging_steps: 1
save_steps: 1
learning_rate: 1e-2
bf16: false
use_cpu: true
activation_checkpointing: false
report_to: none
"""

GRPO = """
rewards: [format, accuracy, consistency]
per_device_train_batch_size: 4
num_generations: 2
max_completion_length: 6
train: [bridge, language_model]
held_out: 3
held_out_every: 2
"""

SFT = """
mixture: {report: 1, checklist: 1}
rows: 8
per_device_train_batch_size: 2
standardize: true
"""


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Synthetic patients, a tiny model, and what its vision tower makes of the scans."""
    folder = tmp_path_factory.mktemp("world")
    write_ct_rate_tree(folder / "data", {"train": 4, "validation": 3}, style="plain", second_reconstruction=0.0)
    start = tiny_checkpoint(folder / "start", feature_standardization=True)
    scans = [scan for split in ("train", "validation") for scan in read_ct_rate(folder / "data", split)]
    encode_scans(scans, folder / "features", load_model(start), load_processor(start).image_processor, workers=0)
    return folder


@pytest.fixture
def recipe(world, tmp_path):
    """Write a recipe, and give the words of the command line that say where things are."""

    def write(keys, *typed):
        (tmp_path / "recipe.yaml").write_text(ALWAYS + keys)
        places = {"model": world / "start", "data": world / "data", "output_dir": tmp_path / "out"}
        words = [word for name, path in places.items() for word in (f"--{name}", str(path))]
        return tmp_path / "recipe.yaml", [*words, *typed]

    return write


def record(folder):
    return json.loads((folder / "run.json").read_text())


def weights(folder):
    return load_file(folder / "model.safetensors")


def changed_parts(before, after):
    """Parts of the model of which a weight is another one."""
    return {name.split(".")[1] for name in before if not torch.equal(before[name], after[name])}


def test_grpo_from_a_recipe_to_a_model_folder(world, recipe, capsys):
    model = training.run("grpo", *recipe(GRPO, "--feature_store", str(world / "features")))
    assert AutoModelForImageTextToText.from_pretrained(model, trust_remote_code=True).num_parameters() > 0
    assert AutoProcessor.from_pretrained(model, trust_remote_code=True).num_image_tokens == 32
    assert not (model / "training_args.bin").exists()
    assert (model.parent / "curves.png").read_bytes().startswith(b"\x89PNG")

    found = record(model.parent)
    assert found["complete"]
    assert found["steps"] == 3
    assert found["data"]["held_out_rows"] == 3
    assert len(found["data"]["feature_store"]) == 64
    assert found["trains"]["vision_tower"] == 0 < found["trains"]["bridge"]
    assert [part["from_step"] for part in found["parts"]] == [0]
    rewards = {key for entry in found["log"] for key in entry if key.startswith("rewards/") and key.endswith("/mean")}
    assert rewards == {f"rewards/{name}_reward/mean" for name in ("format", "accuracy", "consistency")}
    assert not re.search(r"(train|valid)_\d", (model.parent / "run.json").read_text())  # no patient

    before = (model / "model.safetensors").stat().st_mtime_ns
    capsys.readouterr()
    assert training.run("grpo", *recipe(GRPO, "--feature_store", str(world / "features"))) == model
    assert "this run is complete" in capsys.readouterr().err
    assert (model / "model.safetensors").stat().st_mtime_ns == before

    with pytest.raises(RunError, match="another recipe: max_steps was 3 and is 5"):
        training.run("grpo", *recipe(GRPO, "--feature_store", str(world / "features"), "--max_steps", "5"))


def test_sft_fills_the_statistics_and_trains_the_bridge_alone(world, recipe):
    model = training.run("sft", *recipe(SFT, "--feature_store", str(world / "features")))
    before, after = weights(world / "start"), weights(model)
    assert changed_parts(before, after) == {"bridge"}
    assert after["model.bridge.feature_limit"] == 6
    assert not torch.equal(after["model.bridge.feature_mean"], before["model.bridge.feature_mean"])
    found = record(model.parent)
    assert found["data"]["rows"] == 8
    assert found["trains"] == {"vision_tower": 0, "bridge": found["trains"]["bridge"], "language_model": 0}


class Killed(Exception):
    """What ends a run in a test."""


class KillAt(TrainerCallback):
    """Ends a run after a step whose checkpoint is not written any more."""

    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise Killed


@pytest.fixture
def killed_at(monkeypatch):
    """Make the next runs end at a step."""
    from med3d_r1.training import stages

    build = stages.build

    def at(step):
        def built(plan):
            setup = build(plan)
            setup.trainer.add_callback(KillAt(step))
            return setup

        monkeypatch.setattr(stages, "build", built)

    yield at
    monkeypatch.setattr(stages, "build", build)


@pytest.mark.parametrize(
    ("stage", "keys"), [("sft", SFT), pytest.param("grpo", GRPO, marks=pytest.mark.slow)], ids=["sft", "grpo"]
)
def test_a_run_that_stopped_goes_on_to_the_same_weights(world, recipe, killed_at, monkeypatch, stage, keys, tmp_path):
    features = ("--feature_store", str(world / "features"))
    whole = training.run(stage, *recipe(keys, *features, "--output_dir", str(tmp_path / "whole")))
    with monkeypatch.context():
        killed_at(2)
        with pytest.raises(Killed):
            training.run(stage, *recipe(keys, *features))
    monkeypatch.undo()
    assert not (tmp_path / "out" / "model").exists()
    model = training.run(stage, *recipe(keys, *features))
    found = record(tmp_path / "out")
    assert [part["from_step"] for part in found["parts"]] == [0, 1]
    assert found["parts"][0]["seconds"] is None
    mine, theirs = weights(model), weights(whole)
    assert [name for name in theirs if not torch.equal(mine[name], theirs[name])] == []
    losses = [[entry["loss"] for entry in of["log"] if "loss" in entry] for of in (found, record(whole.parent))]
    assert losses[0] == losses[1]


class Lengths:
    """Scores a text by its length: an untrained model names no findings."""

    bounded = False

    def __call__(self, reasonings, reports):
        return [float(len(text)) for text in reasonings]


def test_thresholds_are_found_once_and_stay_when_a_run_goes_on(world, recipe, killed_at, monkeypatch, tmp_path):
    """The first sitting ends before it has any checkpoint. The second one takes the thresholds that it noted, draws
    nothing for them, and comes to the weights of a run that was never stopped."""
    monkeypatch.setattr("med3d_r1.rewards.FindingScorer", Lengths)
    monkeypatch.setattr("med3d_r1.training.calibration.parse_answer", lambda text: SimpleNamespace(reasoning=text))
    monkeypatch.setattr("med3d_r1.rewards.consistency.parse_answer", lambda text: SimpleNamespace(reasoning=text))
    keys = GRPO.replace("held_out: 3\nheld_out_every: 2\n", "") + (
        "consistency: {scorer: findings, levels: [0, 1], thresholds: {quantiles: [0.5], rows: 3}}\n"
    )
    features = ("--feature_store", str(world / "features"), "--max_steps", "2")
    whole = training.run("grpo", *recipe(keys, *features, "--output_dir", str(tmp_path / "whole")))
    with monkeypatch.context():
        killed_at(1)
        with pytest.raises(Killed):
            training.run("grpo", *recipe(keys, *features))
    noted = record(tmp_path / "out")["calibration"]
    assert noted["thresholds"] == record(tmp_path / "whole")["calibration"]["thresholds"]
    assert noted["answers"] == noted["scored"] == 3
    asked = []
    monkeypatch.setattr(Med3DR1GRPOTrainer, "answer_by_chance", lambda *args, **kwargs: asked.append(args))
    killed_at(None)
    model = training.run("grpo", *recipe(keys, *features))
    assert asked == []
    assert record(tmp_path / "out")["calibration"] == noted
    mine, theirs = weights(model), weights(whole)
    assert [name for name in theirs if not torch.equal(mine[name], theirs[name])] == []


CLIP = """
preset: tiny
per_device_train_batch_size: 4
embedding_width: 16
pooling: mean_max
batch_norm: true
bank_entries: 0
impression_share: 0.5
held_out: 3
"""

LANGUAGE = """
lessons: 16
question_lessons: 8
checklist_lessons: 4
held_out: 4
copying_accuracy: -1
reading_accuracy: -1
lesson_steps: 2
required_accuracy: 0
use_cpu: true
report_to: none
logging_steps: 1
"""


def test_a_vision_tower_and_a_language_model_become_one_model(world, tmp_path):
    """Both learn apart, `init` puts them together, and the weights are those that were trained."""
    recipes = {"clip": ALWAYS + CLIP, "language": LANGUAGE}
    for stage, keys in recipes.items():
        (tmp_path / f"{stage}.yaml").write_text(keys)
        where = ["--data", str(world / "data"), "--output_dir", str(tmp_path / stage), "--seed", "3"]
        assert training.run(stage, tmp_path / f"{stage}.yaml", where) == tmp_path / stage / "model"
    last = record(tmp_path / "clip")["log"][-1]
    assert 0 <= last["eval_auroc"] <= 1
    assert record(tmp_path / "clip")["seeds"]["rows_seed"] == 3
    assert 0 <= max(entry.get("eval_reading", -1) for entry in record(tmp_path / "language")["log"]) <= 1

    parts = ["--language-model", str(tmp_path / "language" / "model")]
    parts += ["--vision-weights", str(tmp_path / "clip" / "vision_tower.safetensors")]
    assert main(["init", "--preset", "tiny", *parts, "--out", str(tmp_path / "whole")]) == 0
    whole, language = weights(tmp_path / "whole"), weights(tmp_path / "language" / "model")
    tower = load_file(tmp_path / "clip" / "vision_tower.safetensors")
    assert all(torch.equal(whole[f"model.{name}"], value) for name, value in tower.items())
    name = "layers.1.mlp.up_proj.weight"
    assert torch.equal(whole[f"model.language_model.{name}"], language[f"model.{name}"])


def test_restart_begins_anew(world, recipe, tmp_path):
    features = ("--feature_store", str(world / "features"))
    training.run("sft", *recipe(SFT, *features, "--max_steps", "1"))
    training.run("sft", *recipe(SFT, *features, "--max_steps", "2"), restart=True)
    assert sorted(path.name for path in (tmp_path / "out").glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-2"]
    assert record(tmp_path / "out")["settings"]["max_steps"] == 2


def test_adapters_are_kept_and_merged(world, recipe):
    typed = ("--feature_store", str(world / "features"), "--lora_r", "2", "--train", "bridge", "language_model")
    model = training.run("sft", *recipe(SFT, *typed))
    before, after = weights(world / "start"), weights(model)
    assert changed_parts(before, after) == {"bridge", "language_model"}
    assert before.keys() == after.keys()
    assert torch.equal(
        before["model.language_model.embed_tokens.weight"], after["model.language_model.embed_tokens.weight"]
    )
    assert (model.parent / "adapter" / "adapter_model.safetensors").is_file()
    assert after["model.bridge.feature_limit"] == 6  # what was filled before training is in the model, too
    adapter = load_file(model.parent / "adapter" / "adapter_model.safetensors")
    bridge = {name.rpartition("bridge.")[2]: value for name, value in adapter.items() if ".bridge." in name}
    assert all(torch.equal(after[f"model.bridge.{name}"], value) for name, value in bridge.items())
    assert bridge


def test_a_store_of_other_weights_is_refused(world, recipe, tmp_path):
    other = tiny_checkpoint(tmp_path / "other", feature_standardization=True, seed=5)
    with pytest.raises(StoreError, match="weights"):
        training.run("grpo", *recipe(GRPO, "--feature_store", str(world / "features"), "--model", str(other)))


def test_data_that_changed_is_refused_when_a_run_goes_on(world, recipe, killed_at, monkeypatch):
    typed = ("--feature_store", str(world / "features"))
    with monkeypatch.context():
        killed_at(2)
        with pytest.raises(Killed):
            training.run("sft", *recipe(SFT, *typed))
    monkeypatch.undo()
    monkeypatch.setattr("med3d_r1.training.data.rows_sha256", lambda rows: "other")
    with pytest.raises(RunError, match=r"began with other data \(rows_sha256 changed\)"):
        training.run("sft", *recipe(SFT, *typed))


def test_the_command_line_trains(world, recipe, tmp_path, capsys):
    path, typed = recipe(SFT, "--feature_store", str(world / "features"), "--max_steps", "1")
    assert main(["train", "sft", "--config", str(path), *typed]) == 0
    assert (tmp_path / "out" / "model" / "config.json").is_file()
    assert re.search(r"bridge +\d", capsys.readouterr().out)  # the table of what trains
    assert main(["train", "sft", "--config", str(path), *typed, "--lerning_rate", "1"]) == 2
    assert "did you mean --learning_rate?" in capsys.readouterr().err


def torchrun(*words):
    """`med3d-r1` in two processes on CPUs."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*command, "-m", "med3d_r1.cli", *map(str, words)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done


@pytest.mark.slow
@pytest.mark.parametrize(("stage", "keys"), [("sft", SFT), ("grpo", GRPO)], ids=["sft", "grpo"])
def test_two_processes_train_and_one_writes(world, recipe, stage, keys):
    path, typed = recipe(keys, "--feature_store", str(world / "features"))
    words = ["train", stage, "--config", path, *typed]
    done = torchrun(*words)
    assert done.returncode == 0, done.stderr[-3000:]
    out = Path(typed[typed.index("--output_dir") + 1])
    found = record(out)
    assert found["hardware"]["processes"] == 2
    assert len(found["parts"]) == 1
    load_model(out / "model")
    again = torchrun(*words)
    assert again.returncode == 0, again.stderr[-3000:]
    assert again.stderr.count("this run is complete") == 1


@pytest.mark.slow
def test_what_the_main_process_refuses_ends_all_of_them(world, recipe):
    path, typed = recipe(SFT, "--max_steps", "1")
    (Path(typed[typed.index("--output_dir") + 1])).mkdir()
    (Path(typed[typed.index("--output_dir") + 1]) / "mine.txt").touch()
    done = torchrun("train", "sft", "--config", path, *typed)
    assert done.returncode != 0
    assert "holds something that no run made" in done.stderr
