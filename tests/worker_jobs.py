"""What the processes of tests work on. They import it by its name, so it stands in a file of its own."""

import os
import signal
import time
from pathlib import Path


def square(number: int) -> tuple[int, int, str | None]:
    """(square, process, its OMP_NUM_THREADS)."""
    time.sleep(0.01)
    return number * number, os.getpid(), os.environ.get("OMP_NUM_THREADS")


def killed_at_three(number: int) -> int:
    """Dies as by the system's hand on 3."""
    if number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def leave(status: int) -> None:
    os._exit(status)


def no_room(number: int) -> None:
    raise OSError(28, "No space left on device", f"volume-{number}")


def sleep_for_ever(folder: str) -> None:
    """Leaves a file with the number of its process."""
    Path(folder, str(os.getpid())).touch()
    time.sleep(600)
