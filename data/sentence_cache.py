"""Labels that were paid for, kept in a parquet file under hashes: no text of a report is in it.

A run appends each answer to a journal beside the file at once and folds the journal into the file when it ends, so that
a killed run loses nothing that was answered. The file itself is only ever replaced whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Any

COLUMNS = ("key", "label", "model", "prompt")


def cache_key(sentence: str, model: str, prompt: str) -> str:
    """sha256 of a sentence, the model that was asked and the version of the prompt, in hexadecimal."""
    return hashlib.sha256("\0".join((prompt, model, sentence)).encode()).hexdigest()


class LabelCache:
    """The labels under `path`, or with None labels in memory alone. Enter it as a context to add to it.

    One process at a time may add to a file: a second one is refused.

    Raises:
        ValueError: the file is no parquet file with this cache's columns.
        RuntimeError: another process is adding to the file, or pyarrow is not installed.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None):
        self.path = None if path is None else Path(path)
        self._rows: dict[str, tuple[str, ...]] = {}
        self._journal: Any = None
        self._lock: Any = None
        self._read()

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, key: str) -> str | None:
        row = self._rows.get(key)
        return row and row[1]

    def add(self, rows: list[tuple[str, str, str, str]]) -> None:
        """Keep rows of COLUMNS. When this returns, they outlive the process."""
        self._rows |= {row[0]: tuple(row) for row in rows}
        if self._journal is not None:
            self._journal.writelines(json.dumps(row) + "\n" for row in rows)
            self._journal.flush()
            os.fsync(self._journal.fileno())

    def __enter__(self) -> LabelCache:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            self._read()
            self._fold()
            self._journal = self._journal_path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.path is not None:
            self._journal.close()
            self._journal = None
            self._fold()
            self._lock.close()

    @property
    def _journal_path(self) -> Path:
        return self.path.with_name(self.path.name + ".journal")

    def _read(self) -> None:
        if self.path is None:
            return
        if self.path.exists():
            self._rows |= {row[0]: row for row in _read_parquet(self.path)}
        if self._journal_path.exists():
            for line in self._journal_path.read_text(encoding="utf-8", errors="replace").splitlines():
                with contextlib.suppress(ValueError):  # the last line of a killed run may be torn
                    row = json.loads(line)
                    self._rows[row[0]] = tuple(row)

    def _fold(self) -> None:
        """Write what the journal has into the parquet file."""
        if not self._journal_path.exists():
            return
        if self._rows and self._journal_path.stat().st_size:
            parquet, arrow = _pyarrow()
            columns = dict(zip(COLUMNS, zip(*self._rows.values(), strict=True), strict=True))
            part = self.path.with_name(self.path.name + ".part")
            parquet.write_table(arrow.table({name: list(column) for name, column in columns.items()}), part)
            part.replace(self.path)
        self._journal_path.unlink()

    def _take_lock(self) -> None:
        self._lock = self.path.with_name(self.path.name + ".lock").open("w")
        with contextlib.suppress(ImportError):  # not on Windows
            fcntl = import_module("fcntl")
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                self._lock.close()
                raise RuntimeError(
                    f"{self.path}: another run is adding labels to this file. Wait for it, or name another file"
                ) from None


def _read_parquet(path: Path) -> list[tuple[str, ...]]:
    parquet, arrow = _pyarrow()
    try:
        table = parquet.read_table(path, columns=list(COLUMNS))
    except (arrow.ArrowException, OSError) as error:
        raise ValueError(
            f"{path} is not a file of sentence labels, which has the columns {', '.join(COLUMNS)}: "
            "name another file, or remove this one"
        ) from error
    return list(zip(*(table[name].to_pylist() for name in COLUMNS), strict=True))


def _pyarrow() -> tuple[Any, Any]:
    try:
        return import_module("pyarrow.parquet"), import_module("pyarrow")
    except ImportError as error:
        raise RuntimeError("a file of sentence labels needs pyarrow: pip install pyarrow") from error
