"""A run's folder knows whose it is, how far it came, and gives nothing away that it should not."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from med3d_r1.training.record import MODEL, RECORD, Record, RunError, code, libraries


@dataclass(frozen=True)
class Plan:
    """What a record reads of a plan."""

    config: SimpleNamespace
    stage: str = "sft"
    recipe: str = "recipes/any.yaml"
    overrides: tuple[str, ...] = ("--learning_rate", "2e-5")
    settings: dict = field(default_factory=lambda: {"model": "start", "learning_rate": 2e-5, "report_to": "none"})
    run: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(rows_seed=1, patient_seed=2))

    def but(self, **settings):
        return replace(self, settings={**self.settings, **settings})


@pytest.fixture
def plan(tmp_path):
    return Plan(SimpleNamespace(output_dir=str(tmp_path / "out"), seed=42, data_seed=None))


def complete(record):
    (record.folder / MODEL).mkdir()
    record.finish([{"loss": 1.0}])


def test_a_new_run_is_written_down(plan):
    record = Record.begin(plan, processes=2)
    written = json.loads((record.folder / RECORD).read_text())
    assert written["settings"] == plan.settings
    assert written["seeds"] == {"seed": 42, "data_seed": None, "rows_seed": 1, "patient_seed": 2}
    assert written["hardware"]["processes"] == 2
    assert written["libraries"]["torch"]
    assert written["complete"] is False
    assert not record.complete


def test_a_run_is_taken_up_again_and_ends(plan):
    first = Record.begin(plan, 1)
    first.note(data={"rows": 3}, start={"sha256": "a"})
    first.note_step(0)
    second = Record.begin(plan, 1)
    second.note(data={"rows": 3}, start={"sha256": "a"})
    second.note_step(7)
    complete(second)
    third = Record.begin(plan, 1)
    assert third.complete
    assert [part["from_step"] for part in third.parts] == [0, 7]
    assert third.parts[0]["seconds"] is None  # it was killed
    assert third.parts[1]["seconds"] >= 0
    assert third.facts["data"] == {"rows": 3}


def test_a_complete_run_whose_model_was_removed_runs_again(plan):
    record = Record.begin(plan, 1)
    complete(record)
    (record.folder / MODEL).rmdir()
    assert not Record.begin(plan, 1).complete


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"learning_rate": 5e-5}, "learning_rate was 2e-05 and is 5e-05"),
        ({"split": "validation"}, 'split was not set and is "validation"'),
        ({"model": None}, 'model was "start" and is null'),
    ],
)
def test_another_recipe_is_refused_with_the_difference(plan, change, message):
    Record.begin(plan, 1)
    with pytest.raises(RunError, match=rf"another recipe: {message}. Name another --output_dir, or give --restart"):
        Record.begin(plan.but(**change), 1)


def test_a_key_without_effect_may_change(plan):
    Record.begin(plan, 1)
    Record.begin(plan.but(report_to="tensorboard"), 1)


def test_another_stage_is_refused(plan):
    Record.begin(plan, 1)
    with pytest.raises(RunError, match="holds a run of sft"):
        Record.begin(replace(plan, stage="grpo"), 1)


@pytest.mark.parametrize("name", ["data", "start"])
def test_other_data_or_another_start_is_refused(plan, name):
    Record.begin(plan, 1).note(**{name: {"sha256": "a", "rows": 1}})
    with pytest.raises(RunError, match=rf"began with other {name} \(sha256 changed\)"):
        Record.begin(plan, 1).note(**{name: {"sha256": "b", "rows": 1}})


def test_a_folder_that_no_run_made_is_refused(plan):
    folder = Path(plan.config.output_dir)
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    for restart in (False, True):
        with pytest.raises(RunError, match="holds something that no run made"):
            Record.begin(plan, 1, restart)
    assert (folder / "thesis.txt").read_text() == "mine"


def test_restart_removes_the_run_and_nothing_else(plan):
    record = Record.begin(plan, 1)
    complete(record)
    (record.folder / "checkpoint-5").mkdir()
    (record.folder / "notes.txt").write_text("mine")
    for place in ("today", "yesterday"):
        (record.folder / "runs" / place).mkdir(parents=True)
        (record.folder / "runs" / place / "events.out.tfevents.1").touch()  # TensorBoard's
    with pytest.raises(RunError, match="no run made"):  # the notes are still there
        Record.begin(plan.but(model="other"), 1, restart=True)
    assert [path.name for path in record.folder.iterdir()] == ["notes.txt"]
    (record.folder / "notes.txt").unlink()
    assert not Record.begin(plan.but(model="other"), 1, restart=True).complete


@pytest.mark.parametrize(
    ("text", "message"), [("{", "no record of a run"), ("[]", "no record"), ('{"format": 99}', "of format 99")]
)
def test_a_record_that_is_none_is_refused(plan, text, message):
    folder = Path(plan.config.output_dir)
    folder.mkdir()
    (folder / RECORD).write_text(text)
    with pytest.raises(RunError, match=message):
        Record.begin(plan, 1)


def test_a_token_is_not_written_down(plan):
    typed = ("--hub_token", "hf_secret", "--seed", "1", "--hub-token=hf_secret")
    record = Record.begin(replace(plan.but(hub_token="hf_secret"), overrides=typed), 1)
    assert "hf_secret" not in (record.folder / RECORD).read_text()
    assert record.facts["overrides"] == ["--seed", "1"]


def test_the_code_is_told_by_its_contents():
    assert len(code()["sha256"]) == 64
    assert code() == code()
    assert {"python", "torch", "transformers", "trl"} <= libraries().keys()
