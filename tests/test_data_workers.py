"""Jobs in processes of their own: all are done, one that dies takes nothing with it, and none is left behind."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from med3d_r1.data.workers import Died, ahead, threads_of_each, usable_cores, work_off
from worker_jobs import killed_at_three, leave, no_room, square

TESTS = Path(__file__).parent


def test_every_job_is_done_once_in_as_many_processes_as_were_asked_for():
    results = dict(work_off(range(40), square, workers=2))
    assert {job: result[0] for job, result in results.items()} == {number: number**2 for number in range(40)}
    processes = {process for _, process, _ in results.values()}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert multiprocessing.active_children() == []


def test_each_computes_in_one_thread_and_here_nothing_changes(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    # A process that makes the others may be there from a test before, with what it was given then.
    monkeypatch.setattr(multiprocessing, "get_all_start_methods", lambda: ["spawn"])
    assert [result[2] for _, result in work_off([1], square, workers=1)] == ["1"]
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_without_workers_the_jobs_are_done_here_in_their_order():
    assert [(job, pid) for job, (_, pid, _) in work_off([3, 1, 2], square, workers=0)] == [
        (job, os.getpid()) for job in (3, 1, 2)
    ]


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_no_more_jobs_are_taken_than_are_at_work(workers):
    """However long the list: the memory is that of the jobs at work."""
    taken = []

    def jobs():
        for number in range(30):
            taken.append(number)
            yield number

    done = 0
    with closing(work_off(jobs(), square, workers)) as results:
        for _ in results:
            done += 1
            assert len(taken) <= done + max(workers, 1)
    assert done == 30


def test_a_process_that_dies_costs_its_job_alone():
    results = dict(work_off(range(8), killed_at_three, workers=2))
    assert results.pop(3) == Died(-signal.SIGKILL)
    assert results == {number: number for number in range(8) if number != 3}


@pytest.mark.parametrize(
    ("died", "words"),
    [(Died(-9), "was ended by SIGKILL, as by a system that runs out of memory"),
     (Died(-11), "was ended by SIGSEGV"),
     (Died(7), "ended with exit status 7")],
)  # fmt: skip
def test_how_it_died_in_words(died, words):
    assert str(died) == words


@pytest.mark.parametrize("workers", [0, 2])
def test_what_the_function_raises_ends_all_and_is_raised_here(workers):
    with (
        pytest.raises(OSError, match=r"No space left on device: 'volume-\d'"),
        closing(work_off(range(9), no_room, workers)) as results,
    ):
        list(results)
    assert multiprocessing.active_children() == []


def test_an_error_tells_where_it_arose():
    with pytest.raises(OSError, match="No space") as raised:
        list(work_off([1], no_room, workers=1))
    assert "in no_room" in raised.value.__notes__[0]


def test_processes_that_cannot_start_are_not_taken_for_bad_jobs():
    with pytest.raises(RuntimeError, match="cannot start"):
        list(work_off([1], leave, workers=1))


def test_leaving_early_leaves_no_process_behind(tmp_path):
    with closing(work_off(range(100), square, workers=2)) as results:
        next(results)
    assert multiprocessing.active_children() == []


def test_a_negative_number_of_workers_is_refused():
    with pytest.raises(ValueError, match="got -1"):
        list(work_off([1], square, workers=-1))
    assert usable_cores() >= 1


@pytest.mark.parametrize(
    ("cores", "workers", "threads"), [(1, 1, 1), (2, 1, 2), (2, 2, 1), (2, 8, 1), (16, 1, 2), (16, 8, 2), (16, 9, 1)]
)
def test_a_worker_has_a_second_thread_only_where_there_is_a_core_for_it(cores, workers, threads, monkeypatch):
    monkeypatch.setattr("med3d_r1.data.workers.usable_cores", lambda: cores)
    assert threads_of_each(workers) == threads


def test_when_the_parent_is_killed_the_others_end(tmp_path):
    """With SIGKILL, of which nobody is told."""
    program = tmp_path / "program.py"
    program.write_text(
        "from med3d_r1.data.workers import work_off\n"
        "from worker_jobs import sleep_for_ever\n"
        "if __name__ == '__main__':\n"
        f"    list(work_off([{str(tmp_path / 'pids')!r}] * 2, sleep_for_ever, workers=2))\n"
    )
    (tmp_path / "pids").mkdir()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])}
    with subprocess.Popen([sys.executable, program], env=environment) as parent:
        processes = _wait(
            lambda: [int(path.name) for path in (tmp_path / "pids").iterdir()], lambda pids: len(pids) == 2
        )
        parent.kill()
    assert _wait(lambda: [pid for pid in processes if _lives(pid)], lambda living: not living) == []


def _wait(look, enough, seconds=60):
    """What is seen once it is enough; looks again and again."""
    end = time.monotonic() + seconds
    while not enough(seen := look()) and time.monotonic() < end:
        time.sleep(0.02)
    return seen


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{process}/stat")
    return not status.exists() or status.read_text().rpartition(") ")[2][0] != "Z"


class TestAhead:
    @pytest.mark.parametrize("count", [1, 2, 7])
    def test_all_items_come_in_their_order(self, count):
        assert list(ahead((number for number in range(20)), count)) == list(range(20))
        assert list(ahead((number for number in ()), count)) == []

    @pytest.mark.parametrize("count", [1, 3])
    def test_so_many_wait_and_no_more(self, count):
        made = []

        def numbers():
            for number in range(20):
                made.append(number)
                yield number

        with closing(ahead(numbers(), count)) as items:
            next(items)
            end = time.monotonic() + 10
            while len(made) < 1 + count and time.monotonic() < end:
                time.sleep(0.001)
            time.sleep(0.05)  # in which one too many would be made
            assert len(made) == 1 + count

    def test_they_are_made_while_their_taker_is_busy(self):
        second = threading.Event()

        def numbers():
            yield 1
            second.set()
            yield 2

        for _ in ahead(numbers(), 1):
            assert second.wait(timeout=10)

    def test_what_goes_wrong_there_is_raised_here_after_what_was_made(self):
        def numbers():
            yield 1
            raise OSError(28, "No space left on device")

        items = ahead(numbers(), 4)
        assert next(items) == 1
        with pytest.raises(OSError, match="No space left"):
            next(items)

    def test_who_leaves_early_leaves_no_thread_and_closes_what_was_open(self):
        closed = []

        def numbers():
            try:
                yield from range(1000)
            finally:
                closed.append(threading.current_thread().name)

        with closing(ahead(numbers(), 2)) as items:
            assert next(items) == 0
        assert closed == ["ahead"]
        assert "ahead" not in {thread.name for thread in threading.enumerate()}
