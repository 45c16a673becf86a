"""The page as a whole, for one model."""

from __future__ import annotations

import gradio as gr

import limits
from endpoints import add_endpoints
from engine import Engine
from events import Events
from layout import lay_out
from sessions import Sessions


def build(engine: Engine, sessions: Sessions | None = None) -> gr.Blocks:
    """The Space: what stands on the page, what it does, and the endpoints for programs.

    Args:
        sessions: default: none yet.
    """
    page = gr.Blocks(title="Med3D-R1", analytics_enabled=False, fill_width=True, delete_cache=limits.CACHE_SECONDS)
    with page:
        Events(engine, lay_out(), Sessions() if sessions is None else sessions).connect(page)
        add_endpoints(engine)
    return page.queue(max_size=limits.MAX_WAITING, default_concurrency_limit=limits.READERS)


__all__ = ["build"]
