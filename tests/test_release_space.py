"""From a model folder to a Space that answers: both are published, and the Space is started from what the Hub has."""

import os
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from urllib.request import urlopen

import pytest

from hub_server import USER, LoopbackHub
from scans import synthetic_chest, write_nifti
from tiny import tiny_checkpoint

APP = Path(__file__).resolve().parent.parent / "space" / "app.py"
REPO, SPACE = f"{USER}/tiny", f"{USER}/space"
SECONDS = 300

PUBLISH = f"""
from med3d_r1.cli import main
assert main(["release", sys.argv[1], "--repo-id", "{REPO}", "--tag", "v1"]) == 0
assert main(["release-space", "--repo-id", "{SPACE}", "--model", "{REPO}", "--revision", "v1"]) == 0
result = huggingface_hub.snapshot_download("{SPACE}", repo_type="space", local_dir=sys.argv[2])
"""

ASK = """
from gradio_client import Client, handle_file
client = Client(sys.argv[1], verbose=False)
said = client.predict(handle_file(sys.argv[2]), "Which?", "Emphysema\\nAtelectasis", False, 0.0, api_name="/diagnose")
result = [said["model"], sorted(said["probabilities"])]
"""


def wait_for(url: str, server: subprocess.Popen, said: Path) -> None:
    for _ in range(SECONDS):
        try:
            urlopen(url, timeout=5).close()
            return
        except OSError:
            if server.poll() is not None:
                pytest.fail(f"the Space ended with {server.returncode}:\n{said.read_text()}")
            time.sleep(1)
    pytest.fail(f"the Space did not answer in {SECONDS} s")


@pytest.mark.slow
@pytest.mark.skipif(not APP.exists() or find_spec("gradio") is None, reason="needs the folder space/ and gradio")
def test_a_published_space_loads_the_published_model_and_answers(tmp_path):
    model = tiny_checkpoint(tmp_path / "model")
    write_nifti(tmp_path / "scan.nii.gz", synthetic_chest((32, 48, 48)))
    with LoopbackHub(tmp_path / "blobs") as hub, socket.socket() as free:
        folder = hub.client(tmp_path / "home", PUBLISH, model, tmp_path / "space")
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        variables = hub.repository(SPACE, "spaces").variables
        environment = {**os.environ, **hub.environment(tmp_path / "cache"), **variables}
        environment |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "GRADIO_SHARE": "False"}
        environment["TMPDIR"] = str(tmp_path)
        environment.pop("GRADIO_TEMP_DIR", None)  # of a Space in the process of the tests
        command = [sys.executable, "app.py"]
        with (
            open(tmp_path / "said", "w") as said,
            subprocess.Popen(command, cwd=folder, env=environment, stdout=said, stderr=said) as server,
        ):
            try:
                url = f"http://127.0.0.1:{port}/"
                wait_for(url, server, tmp_path / "said")
                name, options = hub.client(tmp_path / "asking", ASK, url, tmp_path / "scan.nii.gz")
                assert list(tmp_path.glob("med3d-r1-space-*"))
            finally:
                server.terminate()
        assert server.returncode == -signal.SIGTERM
        assert not list(tmp_path.glob("med3d-r1-space-*"))
        commit = hub.repository(REPO).tags["v1"]
        assert (name, options) == (REPO, ["Atelectasis", "Emphysema"])
        weights = [path for _, path, _ in hub.requests if path.endswith("model.safetensors") and "/resolve/" in path]
        assert weights
        assert all(f"/resolve/{commit}/" in path for path in weights)
