"""What the verb `space` does: it runs space/app.py in the way in which Hugging Face does."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

from .terminal import quiet_libraries, say

APP = Path(__file__).with_name("space") / "app.py"


def run_space(args: argparse.Namespace) -> None:
    """Open the Space, until it is interrupted.

    Raises:
        ImportError: gradio is not installed.
        FileNotFoundError, ValueError: there is no such model; see `load_checkpoint`.
    """
    if find_spec("gradio") is None:
        raise ImportError("the Space needs gradio, which is not installed: pip install 'med3d-r1[space]'")
    quiet_libraries(args.verbose)
    os.environ.update(
        MED3D_R1_MODEL=args.model,
        MED3D_R1_REVISION=args.revision or "",
        GRADIO_SERVER_NAME=args.host,
        GRADIO_SERVER_PORT=str(args.port),
        GRADIO_SHARE=str(args.share),
    )
    say(f"loading {args.model}")
    sys.path.insert(0, str(APP.parent))
    runpy.run_path(str(APP), run_name="__main__")
