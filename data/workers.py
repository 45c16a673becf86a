"""Jobs worked off by a few processes, of which each has one job at a time.

Processes and not threads: reading a scan holds the interpreter's lock for much of the time. They are no copies of this
process with its locks and threads: one of their own, which has imported what all of them need, is copied (where the
system cannot do that, each imports for itself). Each computes in one thread, and `threads_of_each` says whether there
are cores for a second one beside it. No more jobs are taken from the caller
than are at work, so a long list costs no memory. A process that dies (out of memory, a crash in a decoder) costs the
job that it had, and another takes its place; and when this process dies, so do they.

A program that calls this needs `if __name__ == "__main__":` around what it does, as all that spawns processes.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
import signal
import threading
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection, wait
from typing import Any, TypeVar

Item = TypeVar("Item")
Job = TypeVar("Job")
Result = TypeVar("Result")

_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"),
    # glibc hands arrays of this size back to the system and fetches them again, hundreds of times for a small scan,
    # until it learns better. These are the limits at which it ends by itself.
    "MALLOC_MMAP_THRESHOLD_": str(32 << 20),
    "MALLOC_TRIM_THRESHOLD_": str(64 << 20),
}
"""What a process finds when it starts."""

_CANNOT_START = 1
"""How Python ends after an exception. A function's own are passed on, so this one came before any function."""


@dataclass(frozen=True)
class Died:
    """What comes in place of a result when the process that was at work on it ended.

    Attributes:
        exit_code: as `multiprocessing.Process.exitcode`; the number of a signal is negative.
    """

    exit_code: int

    def __str__(self) -> str:
        if self.exit_code >= 0:
            return f"ended with exit status {self.exit_code}"
        name = signal.Signals(-self.exit_code).name
        reason = ", as by a system that runs out of memory" if name == "SIGKILL" else ""
        return f"was ended by {name}{reason}"


def usable_cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_of_each(workers: int) -> int:
    """How many threads each of so many processes may use: its share of the cores, from 1 to 2. The second one inflates
    a scan while the first one resamples it; there is nothing to do for a third.
    """
    return min(2, max(1, usable_cores() // max(1, workers)))


def work_off(
    jobs: Iterable[Job], function: Callable[[Job], Result], workers: int, imports: Sequence[str] = ()
) -> Iterator[tuple[Job, Result | Died]]:
    """(job, its result) for each job, in the order in which they are finished.

    Args:
        jobs: can be pickled; taken one by one.
        function: can be pickled. What it raises ends the whole, and is raised here.
        workers: how many processes; with 0 everything happens in this one, in the order of the jobs.
        imports: modules that take long to import and that every process will need.

    Raises:
        RuntimeError: a process cannot even start.
    """
    if workers < 0:
        raise ValueError(f"workers is 0 or more; got {workers}")
    if workers == 0:
        yield from ((job, function(job)) for job in jobs)
        return
    context, waiting = _context(imports), iter(jobs)
    busy: dict[Connection, _Worker] = {}

    def employ(worker: _Worker | None) -> None:
        """Give a worker, or a new one, the next job; where there is none it may go."""
        for job in islice(waiting, 1):
            worker = worker or _Worker(context, function)
            worker.begin(job)
            busy[worker.pipe] = worker
            return
        if worker:
            worker.end()

    try:
        for _ in range(workers):
            employ(None)
        while busy:
            for pipe in wait(busy):
                worker = busy[pipe]
                job, result = worker.job, worker.answer()
                del busy[pipe]
                if isinstance(result, Died):
                    worker.end()
                employ(None if isinstance(result, Died) else worker)
                yield job, result
    finally:
        for worker in busy.values():
            worker.end()


def ahead(items: Generator[Item, None, None], count: int) -> Iterator[Item]:
    """The same items, made in a thread while their taker is busy with those before; at most `count` wait.

    What `items` raises is raised here. Who stops taking closes this, as `contextlib.closing` does; `items` is then
    closed too, once it has made what it is at.
    """
    made: queue.SimpleQueue[tuple[bool, Any]] = queue.SimpleQueue()  # (True, item), at the end (False, error or None)
    room, left = threading.Semaphore(count - 1), threading.Event()

    def make() -> None:
        try:
            with closing(items):
                for item in items:
                    made.put((True, item))
                    room.acquire()
                    if left.is_set():
                        return
            made.put((False, None))
        except BaseException as error:
            made.put((False, error))

    maker = threading.Thread(target=make, name="ahead", daemon=True)
    maker.start()
    try:
        while True:
            more, item = made.get()
            if not more:
                break
            room.release()
            yield item
        if item is not None:
            raise item
    finally:
        left.set()
        room.release()
        maker.join()


def _context(imports: Sequence[str]) -> Any:
    """How processes are started here."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", *imports])
    return context


class _Worker:
    """A process, and this side's end of the pipe to it."""

    def __init__(self, context: Any, function: Callable[[Any], Any]):
        self.pipe, theirs = context.Pipe()
        self.job: Any = None
        self._process = context.Process(target=_serve, args=(theirs, function), daemon=True)
        with _environment():
            self._process.start()
        theirs.close()  # else the pipe would outlive the process, and its end would not be noticed

    def begin(self, job: Any) -> None:
        self.job = job
        with suppress(BrokenPipeError):  # it died, which `answer` will tell
            self.pipe.send(job)

    def answer(self) -> Any:
        """Its result, or how it died; waits for it."""
        try:
            raised, result = self.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            if self._process.exitcode == _CANNOT_START:
                raise RuntimeError(
                    "a process to work in cannot start; the reason stands above. A program that starts processes does "
                    "so behind `if __name__ == '__main__':`"
                ) from None
            return Died(self._process.exitcode)
        if raised:
            raise result
        return result

    def end(self) -> None:
        """Without waiting for what it is at."""
        self._process.terminate()
        self._process.join()
        self.pipe.close()


def _serve(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """What a worker does, until nobody is at the other end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all of them, and the parent knows what to do
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send(_outcome(function, pipe.recv()))


def _outcome(function: Callable[[Any], Any], job: Any) -> tuple[bool, Any]:
    try:
        return False, function(job)
    except Exception as error:
        error.add_note(f"in a process of its own:\n{traceback.format_exc()}")
        return True, error


def _end_with_parent() -> None:
    wait([multiprocessing.parent_process().sentinel])
    os._exit(1)


@contextmanager
def _environment() -> Iterator[None]:
    """Libraries read these when they are imported, so they must be set before a process starts."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


__all__ = ["Died", "ahead", "threads_of_each", "usable_cores", "work_off"]
