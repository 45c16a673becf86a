"""The Space on the loopback interface, with a tiny random model, in this process."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

import environment  # first: it says where gradio may write  # noqa: F401
from engine import Engine
from launching import launch
from page import build
from sessions import Sessions


@dataclass(frozen=True)
class SpaceServer:
    """A running Space: where it is, who answers in it, and who looks at what."""

    url: str
    engine: Engine
    sessions: Sessions
    page: gr.Blocks

    @staticmethod
    def files() -> list[Path]:
        """What lies in the folder that gradio may write to."""
        return [path for path in Path(os.environ["GRADIO_TEMP_DIR"]).rglob("*") if path.is_file()]


@contextmanager
def space_server(model: str | Path) -> Iterator[SpaceServer]:
    """Serves until the block is left. The port is one that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    engine, sessions = Engine(str(model)), Sessions()
    page = build(engine, sessions)
    options = {"server_name": "127.0.0.1", "server_port": port, "prevent_thread_lock": True, "quiet": True}
    _, url, _ = launch(page, **options)
    try:
        yield SpaceServer(url, engine, sessions, page)
    finally:
        page.close(verbose=False)
