"""Logs of every stage become a picture; what a stage does not log leaves no empty panel."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from med3d_r1.trainers.curves import PANELS, draw_curves, lines_of, read_log, running_median

PANEL = {panel.title: panel for panel in PANELS}
LOSS, REWARDS = PANEL["Loss"], PANEL["Rewards, mean over the completions"]


def log(**series):
    """A log history from equally long series."""
    steps = len(next(iter(series.values())))
    return [{"step": step + 1} | {name: values[step] for name, values in series.items()} for step in range(steps)]


def test_a_panel_has_a_line_for_each_key_that_was_logged():
    history = [*log(loss=[3.0, 2.0, 1.0]), {"step": 2, "eval_loss": 2.5}, {"step": 3, "train_runtime": 1.0}]
    assert lines_of(LOSS, history) == {"training": [(1, 3.0), (2, 2.0), (3, 1.0)]}
    history.append({"step": 3, "eval_loss": 2.0})
    assert lines_of(LOSS, history)["evaluation"] == [(2, 2.5), (3, 2.0)]


def test_rewards_are_named_as_people_call_them():
    history = log(**{"reward": [1, 2], "rewards/accuracy_reward/mean": [0, 1], "rewards/accuracy_reward/std": [0, 1]})
    assert lines_of(REWARDS, history) == {"total": [(1, 1), (2, 2)], "accuracy": [(1, 0), (2, 1)]}


def test_values_that_are_no_numbers_are_left_out():
    history = log(loss=[1.0, None, math.nan, 2.0])
    assert lines_of(LOSS, history) == {"training": [(1, 1.0), (4, 2.0)]}
    assert lines_of(LOSS, log(loss=[1.0, None])) == {}


def test_keys_of_panels_are_distinct():
    keys = [key for panel in PANELS for key in panel.names]
    assert len(keys) == len(set(keys))


STAGES = {
    "clip": {"loss": [3.0, 2.0], "contrastive": [2.0, 1.0], "eval_auroc": [0.5, 0.8]},
    "language": {"loss": [3.0, 2.0], "grad_norm": [1.0, 0.1]},
    "sft": {"loss": [3.0, 2.0], "mean_token_accuracy": [0.1, 0.5], "learning_rate": [1e-4, 0.0]},
    "grpo": {"loss": [0.0, 0.1], "reward": [1.0, 2.0], "kl": [0.0, 0.1], "held_out/accuracy": [0.2, 0.6]},
}


@pytest.mark.parametrize("stage", STAGES)
def test_each_stage_has_a_picture(stage, tmp_path):
    found = Image.open(draw_curves(log(**STAGES[stage]), tmp_path / "pictures" / "curves.png", title=stage))
    assert found.format == "PNG"
    assert found.width > 300 * len(STAGES[stage]) / 2
    assert len(found.convert("L").getcolors()) > 20


def test_a_long_run_is_drawn(tmp_path):
    values = [math.sin(step / 9) + 2 for step in range(200)]
    assert draw_curves(log(loss=values, grad_norm=values), tmp_path / "curves.png").is_file()


def test_a_log_is_read_from_a_run_a_checkpoint_or_a_file(tmp_path):
    for step in (9, 10):
        folder = tmp_path / "run" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        (folder / "trainer_state.json").write_text(json.dumps({"log_history": log(loss=[0.0] * step)}))
    assert len(read_log(tmp_path / "run")) == 10
    assert len(read_log(tmp_path / "run" / "checkpoint-9")) == 9
    assert len(read_log(tmp_path / "run" / "checkpoint-9" / "trainer_state.json")) == 9
    (tmp_path / "run" / "trainer_state.json").write_text(json.dumps({"log_history": log(loss=[0.0] * 3)}))
    assert len(read_log(tmp_path / "run")) == 3
    assert draw_curves(tmp_path / "run", tmp_path / "curves.png").is_file()


def test_without_a_log_there_is_no_picture(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no trainer_state\.json"):
        draw_curves(tmp_path, tmp_path / "curves.png")
    with pytest.raises(ValueError, match="nothing to draw"):
        draw_curves([{"step": 1, "loss": 1.0}], tmp_path / "curves.png")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60))
def test_a_running_median_stays_within_its_values(values):
    smooth = running_median(values)
    assert len(smooth) == len(values)
    assert all(min(values) <= value <= max(values) for value in smooth)


def test_a_running_median_ignores_a_single_spike():
    assert running_median([1.0] * 20 + [100.0] + [1.0] * 20) == [1.0] * 41
