"""What must be settled before gradio and torch are imported: this module comes first.

- `spaces`, Hugging Face's package for shared GPUs, wants to be imported before torch. Elsewhere it is absent, and then
  `on_gpu` leaves a function as it is.
- gradio sends no statistics, records no runs, and keeps what it must write in a folder that goes when the server goes.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable

try:
    import spaces
except ImportError:
    spaces = None

GPU_SECONDS = 120
"""For how long one call may hold a shared GPU."""


def on_gpu(task: Callable) -> Callable:
    """Mark a function, or a generator function, as one that needs the model's GPU."""
    return task if spaces is None else spaces.GPU(task, duration=GPU_SECONDS)


os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["GRADIO_RUN_HISTORY"] = "False"
if "GRADIO_TEMP_DIR" not in os.environ:
    os.environ["GRADIO_TEMP_DIR"] = tempfile.mkdtemp(prefix="med3d-r1-space-")
    atexit.register(shutil.rmtree, os.environ["GRADIO_TEMP_DIR"], ignore_errors=True)

__all__ = ["GPU_SECONDS", "on_gpu"]
