"""What a system answered, line by line in a file that is only ever added to: a run that was stopped goes on.

    predictions.jsonl            {"run": ..., "item": ..., "scan": ..., "think": ..., "texts": [...], "tokens": [...],
                                  "scores": [...]}
    predictions-1-of-2.jsonl     the same, of each of several processes

A line belongs to a run: the hash of what the predictor says about itself. Lines of other runs are kept and not used.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import IO, Any

from .asking import Output, Question

Key = tuple[str, str, bool]


class Journal:
    """Enter it as a context. Without a folder it only remembers.

    Args:
        folder: where the files are, made if need be; or None.
        run: whose lines count.
        part: (i, n): this is the i-th of n processes.
    """

    def __init__(self, folder: Path | None, run: str, part: tuple[int, int] = (1, 1)):
        self.folder, self.run = folder, run
        self._known: dict[Key, Output] = {}
        name = "predictions.jsonl" if part[1] == 1 else f"predictions-{part[0]}-of-{part[1]}.jsonl"
        self._path = folder / name if folder else None
        self._file: IO[str] | None = None

    def __enter__(self) -> Journal:
        self.read()
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            torn = self._path.exists() and not self._path.read_bytes().endswith(b"\n") and self._path.stat().st_size
            self._file = self._path.open("a", encoding="utf-8")
            if torn:  # what was being written when the power failed
                self._file.write("\n")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def read(self) -> None:
        """Take in what all processes have written."""
        for path in sorted(self.folder.glob("predictions*.jsonl")) if self.folder else ():
            for line in path.read_text(encoding="utf-8").splitlines():
                self._take(line)

    def _take(self, line: str) -> None:
        try:
            said = json.loads(line)
        except json.JSONDecodeError:
            return  # a torn line: the question is asked again
        if said["run"] == self.run:
            scores = said["scores"]
            self._known[said["item"], said["scan"], said["think"]] = Output(
                tuple(said["texts"]), tuple(said["tokens"]), None if scores is None else tuple(scores)
            )

    def add(self, question: Question, output: Output) -> None:
        self._known[_key(question)] = output
        if self._file is not None:
            said: dict[str, Any] = {"run": self.run, "item": question.item, "scan": question.scan}
            said |= {"think": question.think, **vars(output)}
            self._file.write(json.dumps(said) + "\n")
            self._file.flush()

    def __contains__(self, question: Question) -> bool:
        return _key(question) in self._known

    def __getitem__(self, question: Question) -> Output:
        return self._known[_key(question)]


def _key(question: Question) -> Key:
    return question.item, question.scan, question.think


__all__ = ["Journal"]
