"""The folder that the Space may write to goes with the process, however that ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from children import in_child

SPACE = Path(__file__).resolve().parent.parent / "space"
OPENED = "import environment, os, sys, time; print(os.environ['GRADIO_TEMP_DIR'], flush=True)"


def opened(tmp_path, then):
    """A process in which the Space's environment was settled, and its folder with an upload in it."""
    own = {name: value for name, value in os.environ.items() if name != "GRADIO_TEMP_DIR"}
    process = subprocess.Popen(
        [sys.executable, "-c", f"{OPENED}; {then}"],
        cwd=SPACE, env=own | {"TMPDIR": str(tmp_path)}, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    folder = Path(process.stdout.readline().strip())
    (folder / "upload").write_bytes(b"a scan")
    return process, folder


@pytest.mark.parametrize(
    ("then", "sent", "status"),
    [
        ("time.sleep(600)", signal.SIGTERM, -signal.SIGTERM),
        ("time.sleep(600)", signal.SIGINT, -signal.SIGINT),
        ("sys.stdin.read()", None, 0),
    ],
)
def test_the_folder_goes_when_the_process_ends(tmp_path, then, sent, status):
    process, folder = opened(tmp_path, then)
    assert folder.parent == tmp_path
    with process:
        if sent is not None:
            process.send_signal(sent)
    assert process.returncode == status
    assert not folder.exists()


def test_the_folder_stays_when_a_forked_process_is_ended(tmp_path):
    """As a shared GPU's worker is."""
    import environment

    (tmp_path / "folder").mkdir()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        environment._remove_when_it_ends(str(tmp_path / "folder"))
        assert in_child(lambda: os.kill(os.getpid(), signal.SIGTERM)) == -signal.SIGTERM
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert (tmp_path / "folder").exists()
