"""The verb that opens the Space: it runs app.py as Hugging Face does, with what was said in the environment."""

import os
import runpy
import sys
from pathlib import Path

import pytest

from med3d_r1 import cli, verbs_space


@pytest.fixture
def ran(monkeypatch):
    """What would have been run, in which environment and with which first folder on the path."""
    runs = []
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(
        runpy, "run_path", lambda path, run_name: runs.append((path, run_name, dict(os.environ), sys.path[0]))
    )
    return runs


def test_the_app_runs_in_its_folder_with_what_was_said(ran):
    arguments = ("--model", "m", "--revision", "v1", "--host", "0.0.0.0", "--port", "9000", "--share")
    assert cli.main(["space", *arguments]) == 0
    ((path, name, environment, folder),) = ran
    assert (Path(path).name, name, folder) == ("app.py", "__main__", str(verbs_space.APP.parent))
    told = {
        "MED3D_R1_MODEL": "m", "MED3D_R1_REVISION": "v1", "GRADIO_SERVER_NAME": "0.0.0.0",
        "GRADIO_SERVER_PORT": "9000", "GRADIO_SHARE": "True",
    }  # fmt: skip
    assert {key: environment[key] for key in told} == told


def test_by_default_nobody_else_can_reach_it(ran):
    assert cli.main(["space", "--model", "m"]) == 0
    environment = ran[0][2]
    assert (environment["GRADIO_SERVER_NAME"], environment["GRADIO_SHARE"]) == ("127.0.0.1", "False")
    assert environment["MED3D_R1_REVISION"] == ""


def test_without_gradio_it_says_what_to_install(ran, monkeypatch, capsys):
    monkeypatch.setattr(verbs_space, "find_spec", lambda name: None)
    assert cli.main(["space", "--model", "m"]) == cli.WRONG_INPUT
    assert "pip install 'med3d-r1[space]'" in capsys.readouterr().err
    assert ran == []


def test_a_model_that_is_not_there_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert cli.main(["space", "--model", "no/such"]) == cli.WRONG_INPUT
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error == "med3d-r1: error: no/such: no such folder, and no repository on the Hub within reach"
