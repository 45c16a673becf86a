"""Starting the server, on Hugging Face and at home alike."""

from __future__ import annotations

from importlib.util import find_spec

import gradio as gr
from starlette.middleware import Middleware

import limits
import look
from uploads import NamelessUploads


def launch(page: gr.Blocks, **options) -> tuple:
    """Serve a page that `build` made, and return what `gr.Blocks.launch` returns.

    Where the package mcp is installed, the endpoints are tools of the Model Context Protocol too.

    Args:
        options: of `gr.Blocks.launch`. Host, port and sharing follow gradio's environment variables by default.
    """
    return page.launch(
        theme=look.theme(),
        css_paths=look.STYLE,
        js=look.DARK,
        max_file_size=limits.MAX_FILE_BYTES,
        app_kwargs={"middleware": [Middleware(NamelessUploads)]},
        mcp_server=find_spec("mcp") is not None,
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        footer_links=["api"],
        **options,
    )


__all__ = ["launch"]
