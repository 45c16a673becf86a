"""Long runs: questions in good order, over several processes, with a bar, going on where they stopped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from .asking import Output, Predictor, Question, content_hash
from .journal import Journal

WINDOW = 1024
"""Questions that a predictor gets at once, to put into batches."""

Watch = Callable[[Question, Output], str]
"""Looks at each answer and returns what stands beside the progress bar."""


def answer_all(
    predictor: Predictor,
    questions: Sequence[Question],
    *,
    folder: Path | None = None,
    progress: bool = False,
    watch: Watch | None = None,
) -> list[Output]:
    """The output for each question, in their order.

    Questions on one scan are asked together, so that it is encoded once. Under `accelerate launch` or `torchrun` each
    process takes a part of the scans, and all of them return everything; they find each other's answers in `folder`.

    Args:
        folder: where answers are written down as they come, and found again; None: nowhere.
        progress: show a bar on stderr.
        watch: see `Watch`.

    Raises:
        ValueError: several processes, and no folder; or the predictor left a question out.
    """
    rank, processes, wait = _processes()
    if processes > 1 and folder is None:
        raise ValueError(f"{processes} processes find each other's answers in a folder: name one")
    run = content_hash([predictor.describe()])
    scans = list(dict.fromkeys(question.scan for question in questions))
    place = {scan: index for index, scan in enumerate(scans)}
    with Journal(folder, run, (rank + 1, processes)) as journal:
        wait()  # until all have read what there was: else a fast one's new answers would shorten a slow one's list
        mine = [question for question in questions if place[question.scan] % processes == rank]
        missing = sorted((one for one in mine if one not in journal), key=lambda one: place[one.scan])
        with _bar(len(mine), len(mine) - len(missing), progress and rank == 0) as bar:
            for question, output in _answers(predictor, missing):
                journal.add(question, output)
                bar.update()
                if watch is not None:
                    bar.set_postfix_str(watch(question, output), refresh=False)
        wait()
        if processes > 1:
            journal.read()
        if unanswered := sum(question not in journal for question in questions):
            raise ValueError(f"the predictor left {unanswered:,} of {len(questions):,} questions unanswered")
        return [journal[question] for question in questions]


def _answers(predictor: Predictor, questions: Sequence[Question]) -> Iterator[tuple[Question, Output]]:
    for start in range(0, len(questions), WINDOW):
        window = questions[start : start + WINDOW]
        for place, output in predictor.predict(window):
            yield window[place], output


def _processes() -> tuple[int, int, Callable[[], None]]:
    """(which process this is, how many there are, a function that waits for all of them)."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return 0, 1, lambda: None
    import torch
    from accelerate import PartialState

    state = PartialState(cpu=not torch.cuda.is_available())  # without a word it would start no group of CPU processes
    return state.process_index, state.num_processes, state.wait_for_everyone


def is_main_process() -> bool:
    """Whether this is the process that writes results."""
    return _processes()[0] == 0


def _bar(total: int, done: int, shown: bool) -> Any:
    from tqdm import tqdm

    return tqdm(total=total, initial=done, unit="question", disable=not shown)


__all__ = ["WINDOW", "Watch", "answer_all", "is_main_process"]
