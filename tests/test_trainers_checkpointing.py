"""Checkpoints are whole or not there, and a run that was killed goes on as if it had not been."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from transformers import AutoModel, AutoModelForImageTextToText, AutoProcessor, TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from children import in_child, in_processes
from med3d_r1.lora import lora_config
from med3d_r1.trainers import ARWSFTConfig, ARWSFTTrainer
from med3d_r1.trainers.checkpointing import last_whole_checkpoint, step_of
from sft_rows import sft_dataset, write_scans
from tiny import tiny_model, tiny_processor


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    return write_scans(tmp_path_factory.mktemp("scans"))


def trainer_of(scans, folder, **more):
    """Six steps of two batches of one row; an epoch is three and a half of them. Every second step has a checkpoint."""
    keys = ("peft_config", "callbacks", "eval_dataset")
    arguments = {key: more.pop(key) for key in keys if key in more}
    settings = {
        "max_steps": 6, "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2, "learning_rate": 1e-3,
        "save_strategy": "steps", "save_steps": 2, "logging_steps": 1, "use_cpu": True, "disable_tqdm": True,
    } | more  # fmt: skip
    config = ARWSFTConfig(str(folder), **settings)
    return ARWSFTTrainer(tiny_model(), config, sft_dataset(scans, 7), processing_class=tiny_processor(), **arguments)


def numbers(trainer):
    """What a run has logged of each step. TRL's count of all tokens begins anew when a run is taken up."""
    lines = [line for line in trainer.state.log_history if "loss" in line]
    return [{name: value for name, value in line.items() if name != "num_tokens"} for line in lines]


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


class KilledAt(TrainerCallback):
    """SIGKILL at the end of a step, before or after its checkpoint was written."""

    def __init__(self, step, event):
        self.step = step
        setattr(self, event, self._event)

    def _event(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            kill()


def killed_while_saving(trainer, step, name):
    """SIGKILL in the middle of writing a checkpoint, before one of its parts is written."""
    original = getattr(trainer, name)

    def save(*args, **kwargs):
        if trainer.state.global_step == step:
            kill()
        return original(*args, **kwargs)

    setattr(trainer, name, save)
    return trainer


MOMENTS = {
    "before the first checkpoint": (None, lambda make: make([KilledAt(1, "on_step_end")])),
    "after a checkpoint": (2, lambda make: make([KilledAt(2, "on_save")])),
    "between two, in another epoch": (4, lambda make: make([KilledAt(5, "on_step_end")])),
    "before the weights are written": (2, lambda make: killed_while_saving(make([]), 4, "save_model")),
    "before the optimizer is written": (
        2, lambda make: killed_while_saving(make([]), 4, "_save_optimizer_and_scheduler"),
    ),
    "before the random numbers are written": (2, lambda make: killed_while_saving(make([]), 4, "_save_rng_state")),
}  # fmt: skip
"""When -> (step of the checkpoint to go on from, makes a trainer that will be killed of what makes one)."""


@pytest.fixture(scope="module")
def undisturbed(scans, tmp_path_factory):
    """Gives the log and the weights of a run that nobody killed, and makes it only once."""
    runs = {}

    def of(kind):
        if kind not in runs:
            trainer = trainer_of(scans, tmp_path_factory.mktemp("whole"), **adapters(kind))
            trainer.train()
            runs[kind] = numbers(trainer), trainer.model.state_dict()
        return runs[kind]

    return of


def adapters(kind):
    """Adapters drop out at random: the state of the random numbers counts."""
    return {"peft_config": lora_config(r=4, lora_dropout=0.3)} if kind == "adapters" else {}


@pytest.mark.parametrize(
    ("kind", "moment"), [*(("bridge", moment) for moment in MOMENTS), ("adapters", "between two, in another epoch")]
)
def test_a_killed_run_goes_on_as_if_it_had_not_been(undisturbed, scans, kind, moment, tmp_path):
    expected, weights = undisturbed(kind)
    resumes_from, killed = MOMENTS[moment]

    def run():
        killed(lambda callbacks: trainer_of(scans, tmp_path, callbacks=callbacks, **adapters(kind))).train()

    assert in_child(run) == -signal.SIGKILL
    checkpoint = last_whole_checkpoint(tmp_path)
    assert checkpoint == (None if resumes_from is None else str(tmp_path / f"checkpoint-{resumes_from}"))
    assert checkpoint == get_last_checkpoint(tmp_path)  # transformers' own would go on from the same
    resumed = trainer_of(scans, tmp_path, **adapters(kind))
    resumed.train(resume_from_checkpoint=checkpoint)
    assert numbers(resumed) == expected
    for name, value in resumed.model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [
        "checkpoint-2", "checkpoint-4", "checkpoint-6",
    ]  # fmt: skip


def test_a_checkpoint_is_a_model_folder(scans, tmp_path):
    """Trained in a child process: this one must not know the package's classes when it loads."""

    def run():
        trainer = trainer_of(scans, tmp_path, max_steps=2)
        trainer.train()
        torch.save(trainer.model.state_dict(), tmp_path / "weights.pt")

    assert in_child(run) == 0
    folder = str(tmp_path / "checkpoint-2")
    weights = torch.load(tmp_path / "weights.pt")
    for auto in (AutoModel, AutoModelForImageTextToText):
        loaded = auto.from_pretrained(folder, trust_remote_code=True)
        assert type(loaded).__module__.startswith("transformers_modules.")
        assert all(torch.equal(loaded.state_dict()[name], value) for name, value in weights.items())
    assert AutoProcessor.from_pretrained(folder, trust_remote_code=True).num_image_tokens == 32


def test_checkpoints_of_two_processes_are_whole(scans, tmp_path):
    """Each process has written its part before the folder gets its name."""

    def run():
        torch.set_num_threads(1)
        trainer = trainer_of(scans, tmp_path, max_steps=2, gradient_accumulation_steps=1)
        if trainer.args.process_index == 1:
            write = trainer._save_rng_state

            def slow(folder):
                import time

                time.sleep(1)
                assert not (tmp_path / "checkpoint-2").exists()
                write(folder)

            trainer._save_rng_state = slow
        trainer.train()

    assert in_processes(2, run) == [0, 0]
    found = {path.name for path in (tmp_path / "checkpoint-2").iterdir()}
    assert {"rng_state_0.pth", "rng_state_1.pth", "trainer_state.json", "model.safetensors", "optimizer.pt"} <= found
    assert not (tmp_path / ".checkpoint.part").exists()


def test_the_best_and_the_last_are_kept(scans, tmp_path):
    """Of the checkpoints after steps 1 to 4, by a loss that rises: the first is the best, and the fourth the last."""
    trainer = trainer_of(
        scans, tmp_path, max_steps=4, save_steps=1, eval_strategy="steps", eval_steps=1, save_total_limit=2,
        load_best_model_at_end=True, metric_for_best_model="loss", greater_is_better=False,
        eval_dataset=sft_dataset(scans, 2), learning_rate=0.0,
    )  # fmt: skip
    evaluate = trainer.evaluate

    def rising(*args, **kwargs):
        return {**evaluate(*args, **kwargs), "eval_loss": float(trainer.state.global_step)}

    trainer.evaluate = rising
    trainer.train()
    assert sorted(path.name for path in tmp_path.glob("checkpoint-*")) == ["checkpoint-1", "checkpoint-4"]
    best = str(tmp_path / "checkpoint-1")
    assert trainer.state.best_model_checkpoint == best
    assert json.loads((tmp_path / "checkpoint-4" / "trainer_state.json").read_text())["best_model_checkpoint"] == best


def test_a_run_that_starts_again_replaces_its_checkpoints(scans, tmp_path):
    trainer_of(scans, tmp_path, max_steps=2).train()
    (tmp_path / "checkpoint-2" / "note.txt").write_text("of the former run")
    trainer_of(scans, tmp_path, max_steps=2).train()
    assert not (tmp_path / "checkpoint-2" / "note.txt").exists()
    assert last_whole_checkpoint(tmp_path) == str(tmp_path / "checkpoint-2")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def write_state(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / "trainer_state.json").write_text(content)


def test_unfinished_folders_are_passed_over(tmp_path):
    """As a trainer without the mixin leaves them: no state, half of one, or another step's."""
    assert last_whole_checkpoint(tmp_path / "nowhere") is None
    whole = json.dumps({"global_step": 20})
    write_state(tmp_path / "checkpoint-20", whole)
    write_state(tmp_path / "checkpoint-100", whole[:-4])
    write_state(tmp_path / "checkpoint-200", whole)
    (tmp_path / "checkpoint-300").mkdir()
    write_state(tmp_path / "checkpoint-best", whole)
    write_state(tmp_path / ".checkpoint.part" / "checkpoint-400", json.dumps({"global_step": 400}))
    assert last_whole_checkpoint(tmp_path) == str(tmp_path / "checkpoint-20")
    write_state(tmp_path / "checkpoint-110", json.dumps({"global_step": 110}))
    assert step_of(last_whole_checkpoint(tmp_path)) == 110
    assert step_of(None) == 0
