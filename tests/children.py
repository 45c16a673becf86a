"""Work in forked processes: they begin with everything that is imported here, and may be killed."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable


def in_child(work: Callable[[], object]) -> int:
    """Do some work in a process of its own, and tell how that ended: its exit code, negative for a signal."""
    return _ended(_forked(work))


def in_processes(count: int, work: Callable[[], object]) -> list[int]:
    """Do the same work in so many processes, as torchrun would start them on one machine; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}

    def as_rank(rank: int) -> Callable[[], object]:
        def run():
            from accelerate.state import AcceleratorState, PartialState

            AcceleratorState._reset_state()  # this process knows itself to be alone
            PartialState._reset_state()
            os.environ.update({name: str(value) for name, value in settings.items()})
            os.environ.update({"RANK": str(rank), "LOCAL_RANK": str(rank), "ACCELERATE_USE_CPU": "true"})
            work()

        return run

    return [_ended(child) for child in [_forked(as_rank(rank)) for rank in range(count)]]


def _forked(work: Callable[[], object]) -> int:
    sys.stdout.flush()
    if child := os.fork():
        return child
    try:
        work()
    except BaseException:  # whatever happens, this process must not go on with the tests
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
