"""Commands that depend on each other, run side by side as far as the cores go, and taken up again where they stopped.

Each stage is one command line of this program in a process of its own: nothing is done here that a user could not
type. What a stage says goes to a log, the screen shows one bar over all of them. A stage that ended well leaves a note
with the command that it ran; the next run skips it as long as that is the command still, and those before it were
skipped too. A stage that was cut off is started again, and its own verb goes on from where it was.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from .progress import LogProgress

_POLL_SECONDS = 0.3
_ERROR = "med3d-r1: error:"
"""What the command line begins its last sentence with."""

_BAR = re.compile(r"[^|]*\d{1,3}%\|[^|]*\|[^\]]*\]")
"""A whole bar of tqdm's; what a program says next may follow on the same line."""

_ENVIRONMENT = {
    "TOKENIZERS_PARALLELISM": "false",
    # Nothing is downloaded, and a machine without a network need not find that out by waiting.
    "HF_HUB_OFFLINE": "1",
    # glibc gives large blocks back to the system after each use and fetches them again; keeping them is much faster.
    "MALLOC_MMAP_THRESHOLD_": "1073741824",
    "MALLOC_TRIM_THRESHOLD_": "1073741824",
    "PYTHONUNBUFFERED": "1",
}


@dataclass(frozen=True)
class Stage:
    """One command of a chain.

    Attributes:
        name: of its log and its note; unique in a chain.
        title: what it does, for a person.
        arguments: of `med3d-r1`, the verb first.
        needs: names of stages that must have ended before.
        seconds: how long it takes on one core or, where `cores` is more, on so many; measured, to tell the time left.
        cores: how many it keeps busy.
        processes: that share the work; torchrun starts them.
        threads: of each process. Products are small: where others are busy, more would only wait for each other.
        bars: of progress that it shows, one after the other.
        makes: a path of which the verb itself says whether it is complete: it is there whole or not at all. Such a
            stage is not run a second time when only its note is missing.
    """

    name: str
    title: str
    arguments: tuple[str, ...]
    needs: tuple[str, ...] = ()
    seconds: float = 1.0
    cores: int = 1
    processes: int = 1
    threads: int = 1
    bars: int = 1
    makes: Path | None = None


@dataclass
class _Running:
    stage: Stage
    process: subprocess.Popen
    log: Path
    progress: LogProgress
    started: float = field(default_factory=time.monotonic)


class StageError(ValueError):
    """A stage ended with an error; the message names its log and has the last lines of it."""


PROGRAM = (sys.executable, "-m", "med3d_r1.cli")
_TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node")


def run_stages(stages: Sequence[Stage], folder: Path, cores: int, program: Sequence[str] = PROGRAM) -> dict[str, float]:
    """Run what has not been run yet.

    Args:
        stages: of one chain, every stage behind those that it needs.
        folder: for `logs/` and the notes in `stages/`.
        cores: stages that run side by side keep at most so many busy, but one always runs.
        program: what the arguments of the stages are given to.

    Returns:
        seconds that each stage took, also those of former runs.

    Raises:
        StageError: a stage failed. Those beside it are ended; the next run takes all of them up again.
        ValueError: names are not unique, or a stage needs one that is not before it.
    """
    from tqdm import tqdm

    _check(stages)
    for part in ("logs", "stages"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    finished = _finished(stages, folder)
    seconds = dict(finished)
    waiting = [stage for stage in stages if stage.name not in finished]
    running: list[_Running] = []
    total = sum(stage.seconds * stage.cores for stage in stages)
    bar = tqdm(
        total=round(total),
        initial=round(sum(stage.seconds * stage.cores for stage in stages if stage.name in finished)),
        bar_format="{percentage:3.0f}%|{bar:24}| {elapsed}, left {remaining}{postfix}",
    )
    try:
        while waiting or running:
            for stage in _startable(waiting, running, finished, cores):
                waiting.remove(stage)
                running.append(_start(stage, folder, program))
            time.sleep(_POLL_SECONDS)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                if job.process.returncode:
                    raise _error_of(job)
                seconds[job.stage.name] = finished[job.stage.name] = _note(job, folder)
            ended = sum(stage.seconds * stage.cores for stage in stages if stage.name in finished)
            shares = [(job.stage, job.progress.share()) for job in running]
            bar.n = round(ended + sum(share * stage.seconds * stage.cores for stage, share in shares))
            bar.set_postfix_str("  ".join(f"{stage.title} {share:.0%}" for stage, share in shares), refresh=True)
    finally:
        for job in running:
            job.process.terminate()
        for job in running:
            with suppress(subprocess.TimeoutExpired):
                job.process.wait(timeout=10)
            job.process.kill()
        bar.close()
    return seconds


def _check(stages: Sequence[Stage]) -> None:
    known: set[str] = set()
    for stage in stages:
        if stage.name in known:
            raise ValueError(f"two stages are called {stage.name}")
        if missing := set(stage.needs) - known:
            raise ValueError(f"stage {stage.name} needs {', '.join(sorted(missing))}, which is not before it")
        known.add(stage.name)


def _startable(waiting: list[Stage], running: list[_Running], finished: Mapping[str, float], cores: int) -> list[Stage]:
    """Stages whose turn it is: the first in order, as far as cores are free."""
    free = cores - sum(job.stage.cores for job in running)
    chosen: list[Stage] = []
    for stage in waiting:
        alone = not running and not chosen
        if all(need in finished for need in stage.needs) and (stage.cores <= free or alone):
            chosen.append(stage)
            free -= stage.cores
    return chosen


def _start(stage: Stage, folder: Path, program: Sequence[str]) -> _Running:
    log = folder / "logs" / f"{stage.name}.log"
    several = stage.processes > 1
    if several:
        executable, *rest = program
        program = [executable, *_TORCHRUN, str(stage.processes), *rest]
    typed = f"torchrun --standalone --nproc_per_node {stage.processes} -m med3d_r1.cli" if several else "med3d-r1"
    with open(log, "ab") as file:
        file.write(f"$ {typed} {' '.join(stage.arguments)}\n".encode())
        file.flush()
        progress = LogProgress(log, stage.bars)
        process = subprocess.Popen(
            [*program, *stage.arguments],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **_ENVIRONMENT, "OMP_NUM_THREADS": str(stage.threads)},
        )
    return _Running(stage, process, log, progress)


def _note_path(stage: Stage, folder: Path) -> Path:
    return folder / "stages" / f"{stage.name}.json"


def _note(job: _Running, folder: Path) -> float:
    """Write down that a stage ended well."""
    seconds = time.monotonic() - job.started
    path = _note_path(job.stage, folder)
    draft = path.with_suffix(".part")
    draft.write_text(json.dumps({"arguments": job.stage.arguments, "seconds": round(seconds, 1)}, indent=1))
    draft.replace(path)
    return seconds


def _finished(stages: Sequence[Stage], folder: Path) -> dict[str, float]:
    """Stages that ran with the same command, after others that did, and their seconds."""
    finished: dict[str, float] = {}
    for stage in stages:
        if not all(need in finished for need in stage.needs):
            continue
        path = _note_path(stage, folder)
        if path.exists():
            note = json.loads(path.read_text())
            if note["arguments"] == list(stage.arguments):
                finished[stage.name] = note["seconds"]
        elif stage.makes is not None and stage.makes.exists():
            finished[stage.name] = 0.0
    return finished


def _error_of(job: _Running) -> StageError:
    lines = [_BAR.sub("", line).strip() for line in re.split(r"[\r\n]+", job.log.read_text(errors="replace"))]
    said = [line for line in lines if line.startswith(_ERROR)]  # torchrun has more to say behind it
    last = " | ".join(said[-1:] or [line for line in lines if line][-3:])
    return StageError(
        f"{job.stage.title} failed with exit status {job.process.returncode}: {last} (all of it: {job.log}). Run the "
        "same command again to go on from there"
    )


__all__ = ["Stage", "StageError", "run_stages"]
