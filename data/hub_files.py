"""Files of a data set on the Hugging Face Hub, one at a time, in a folder that never grows beyond a number of bytes.

All of CT-RATE takes terabytes. A `HubFolder` holds what is in use: a file is downloaded when it is asked for, and
those whose last use is longest ago make room. Tables (.csv, .json, .txt) stay. Its times of last use are the files'
access times, which it sets itself, so it needs no record of its own and a second process sees them too.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HTTPError,  # of whichever HTTP library the client is built on
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import WeakFileLock

KEPT_SUFFIXES = (".csv", ".json", ".txt")
_UNFINISHED = ".incomplete"
_RECORD_BYTES = 1024
"""Room for the note that the Hub's client keeps of each file."""


class HubFolder:
    """A data set of the Hub as a local folder with a budget.

    Args:
        repo_id: "owner/name" of the data set.
        folder: where files lie, under the same paths as on the Hub. Nothing else should: it is counted, and may go.
        budget_bytes: what all files in the folder take together at most, downloads in progress included.
        revision: a commit, branch or tag. Files once downloaded are not compared with the Hub again.
    """

    def __init__(self, repo_id: str, folder: str | Path, budget_bytes: int, revision: str = "main"):
        if budget_bytes <= 0:
            raise ValueError(f"budget_bytes is a positive number of bytes; got {budget_bytes}")
        self.repo_id, self.folder = repo_id, Path(folder).expanduser().resolve()
        self.budget_bytes, self.revision = int(budget_bytes), revision

    @property
    def page(self) -> str:
        """Where the data set is described and its terms are accepted."""
        return f"{constants.ENDPOINT}/datasets/{self.repo_id}"

    def fetch(self, file: str | Path) -> Path:
        """The local path of a file, downloaded if need be. It counts as used now.

        One download at a time, over all threads and processes with this folder, so that none takes the room of
        another. The file is there until others that were fetched after it need the room: with several workers the
        budget should hold several files for each.

        Args:
            file: its path on the Hub, or its path in the folder.

        Raises:
            PermissionError: the data set's terms were not accepted, or nobody is logged in.
            ConnectionError: the file is not here and the Hub cannot be reached.
            FileNotFoundError: the Hub has no such file.
            ValueError: the file is larger than the budget leaves room for.
        """
        name = self._name_on_hub(file)
        path = self.folder / name
        while not _used_now(path):  # it may go again before it was used
            self.folder.mkdir(parents=True, exist_ok=True)
            with WeakFileLock(self.folder / ".cache" / "budget.lock"):
                if not path.is_file():
                    self._download(name)
        return path

    def used_bytes(self) -> int:
        """What the files in the folder take."""
        return sum(size for _, size, _ in self._files())

    def _name_on_hub(self, file: str | Path) -> str:
        path = Path(os.path.normpath(self.folder / file))
        if not path.is_relative_to(self.folder):
            raise ValueError(f"{file} does not lie in {self.folder}")
        return path.relative_to(self.folder).as_posix()

    def _download(self, name: str) -> None:
        where = {"repo_id": self.repo_id, "repo_type": "dataset", "revision": self.revision, "local_dir": self.folder}
        with self._plain_errors(name):
            size = hf_hub_download(filename=name, dry_run=True, **where).file_size
        if size is None:
            raise ConnectionError(f"{self.page}: the Hub does not tell the size of {name}; try again later.")
        self._make_room(name, size + _RECORD_BYTES)
        with self._plain_errors(name):
            hf_hub_download(filename=name, **where)

    def _make_room(self, name: str, size: int) -> None:
        """Delete files until one of `size` bytes fits in."""
        files = sorted(self._files())
        used = sum(length for _, length, _ in files)
        going = [(path, length) for _, length, path in files if path.suffix not in (*KEPT_SUFFIXES, ".lock")]
        if (least := used - sum(length for _, length in going) + size) > self.budget_bytes:
            raise ValueError(
                f"{name} takes {size:,} bytes, with the tables in {self.folder} {least:,}, and the budget is "
                f"{self.budget_bytes:,}. Give a larger budget_bytes."
            )
        for path, length in going:
            if used + size <= self.budget_bytes:
                return
            path.unlink(missing_ok=True)
            used -= length

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """(time of last use in ns, bytes, path) of every file. What is left of a broken download goes first."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                facts = path.stat()
                yield 0 if path.suffix == _UNFINISHED else facts.st_atime_ns, facts.st_size, path

    @contextmanager
    def _plain_errors(self, name: str) -> Iterator[None]:
        """Turns what the Hub's client raises into sentences that say what to do."""
        try:
            yield
        except GatedRepoError as error:
            raise PermissionError(
                f"{self.repo_id} is a gated data set, and its terms were not accepted with the account in use. Accept "
                f"them at {self.page}, then log in on this machine with `hf auth login`."
            ) from error
        except RepositoryNotFoundError as error:
            raise PermissionError(
                f"the Hub shows no data set {self.repo_id} to the account in use. Log in with `hf auth login`, and see "
                f"at {self.page} whether it exists and its terms were accepted."
            ) from error
        except (LocalEntryNotFoundError, OfflineModeIsEnabled) as error:
            raise ConnectionError(
                f"{name} is not in {self.folder}, and the Hub cannot be reached (offline, or HF_HUB_OFFLINE is set). "
                f"Connect this machine, or copy the file there from {self.page}."
            ) from error
        except EntryNotFoundError as error:
            raise FileNotFoundError(f"{self.page} has no file {name} in revision {self.revision}") from error
        except HTTPError as error:
            raise ConnectionError(f"{name} could not be downloaded from {self.page} ({error}). Try again.") from error


def _used_now(path: Path) -> bool:
    """Note that a file is used, if there is one. The time of its last change stays: the Hub's client compares it."""
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except FileNotFoundError:
        return False
    return True


__all__ = ["HubFolder"]
