"""The verbs on a chest that nobody on the project made: they run, whatever an untrained model says. The folder is named
by MED3D_R1_REAL_DATA; without it nothing here runs."""

import json
import os
from pathlib import Path

import pytest

from med3d_r1.cli import main
from tiny import tiny_checkpoint

CHEST = Path(os.environ.get("MED3D_R1_REAL_DATA", ".")) / "chest_nifti" / "copdgene_ct64.nii.gz"
pytestmark = pytest.mark.skipif("MED3D_R1_REAL_DATA" not in os.environ, reason="MED3D_R1_REAL_DATA is not set")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return str(tiny_checkpoint(tmp_path_factory.mktemp("model") / "tiny"))


def test_a_real_chest_is_diagnosed(model, tmp_path, capsys):
    options = ["--option", "Emphysema", "--option", "Atelectasis"]
    picture = tmp_path / "evidence.png"
    command = ["diagnose", str(CHEST), "--model", model, *options, "--max-new-tokens", "8", "--json"]
    assert main([*command, "--evidence-png", str(picture)]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["options"] == ["Emphysema", "Atelectasis"]
    assert sum(found["probabilities"].values()) == pytest.approx(1, abs=1e-3)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_report_of_a_real_chest_is_written(model, capsys):
    assert main(["report", str(CHEST), "--model", model, "--max-new-tokens", "8"]) == 0
    assert "not a medical device" in capsys.readouterr().out
