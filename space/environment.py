"""What must be settled before gradio and torch are imported: this module comes first.

- `spaces`, Hugging Face's package for shared GPUs, wants to be imported before torch. Elsewhere it is absent, and then
  `on_gpu` leaves a function as it is.
- gradio sends no statistics, records no runs, and keeps what it must write in a folder that goes when the server goes.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

try:
    import spaces
except ImportError:
    spaces = None

GPU_SECONDS = 120
"""For how long one call may hold a shared GPU."""


def on_gpu(task: Callable) -> Callable:
    """Mark a function, or a generator function, as one that needs the model's GPU."""
    return task if spaces is None else spaces.GPU(task, duration=GPU_SECONDS)


def _remove_when_it_ends(folder: str) -> None:
    """Remove a folder when this process ends, by SIGTERM too, which would end it without a word to `atexit`.

    SIGTERM does not become a SystemExit: that ends a thread that is writing an answer in the midst of torch, and so the
    process by SIGABRT. It goes on to end the process as if nobody had listened.
    """
    owner = os.getpid()

    def removed(number: int, frame: FrameType | None) -> None:
        if os.getpid() == owner:  # not one that was forked, as for a shared GPU
            shutil.rmtree(folder, ignore_errors=True)
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)

    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    with suppress(ValueError):  # only the main thread may listen
        signal.signal(signal.SIGTERM, removed)


os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_RUN_HISTORY"] = "False"
if "GRADIO_TEMP_DIR" not in os.environ:
    os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="med3d-r1-space-")
    _remove_when_it_ends(os.environ["GRADIO_TEMP_DIR"])

__all__ = ["GPU_SECONDS", "on_gpu"]
