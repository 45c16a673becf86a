"""Uploaded files: they lose their names on the way in, and are gone as soon as they have been read.

A name such as `DOE_JOHN_1961.zip` is an identity. gradio writes uploads under the names that they come with, so the
names are replaced in the request itself, before anything is written or could be logged.
"""

from __future__ import annotations

import re
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

SUFFIXES = (".nii.gz", ".nii", ".zip", ".dcm")
"""Kinds of files that are taken; the longer suffix first. What a file is its first bytes tell."""

_FILE_NAME = re.compile(rb'filename\*?=(?:"((?:[^"\\]|\\.)*)"|([^;\r\n]*))', re.IGNORECASE)
_BOUNDARY = re.compile(rb'boundary="?([^";]+)"?', re.IGNORECASE)
_MAX_HEADER_BYTES = 16 * 1024


def suffix_of(name: str) -> str:
    """The one of `SUFFIXES` that a name ends with, else "".

    >>> suffix_of("DOE JOHN.NII.GZ"), suffix_of("notes.txt")
    ('.nii.gz', '')
    """
    return next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")


class NamelessUploads:
    """ASGI middleware: in requests that upload files, each file name becomes a random one with the same suffix."""

    def __init__(self, app: Callable) -> None:
        self.app = app

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].endswith("/upload"):
            content_type = dict(scope["headers"]).get(b"content-type", b"")
            if boundary := _BOUNDARY.search(content_type):
                receive = _renamed(receive, FileNameEraser(boundary[1]))
        await self.app(scope, receive, send)


def _renamed(receive: Callable[[], Awaitable[dict]], eraser: FileNameEraser) -> Callable[[], Awaitable[dict]]:
    async def renamed() -> dict:
        message = await receive()
        if message["type"] == "http.request":
            last = not message.get("more_body", False)
            message = {**message, "body": eraser.feed(message.get("body", b""), last)}
        return message

    return renamed


class FileNameEraser:
    """Replaces the file names of a multipart body that comes in pieces; the files' contents pass untouched."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"--" + boundary + b"\r\n"
        self._held = b""
        self._in_header = False

    def feed(self, piece: bytes, last: bool) -> bytes:
        """The next bytes to pass on. A few are held back: a header may go on in the next piece."""
        self._held += piece
        passed = []
        while True:
            mark = b"\r\n\r\n" if self._in_header else self._delimiter
            at = self._held.find(mark)
            if at < 0:
                break
            at += len(mark)
            part, self._held = self._held[:at], self._held[at:]
            passed.append(_FILE_NAME.sub(_nameless, part) if self._in_header else part)
            self._in_header = not self._in_header
        keep = 0 if last else _MAX_HEADER_BYTES if self._in_header else len(self._delimiter) - 1
        ready = max(0, len(self._held) - keep)
        passed.append(self._held[:ready])
        self._held = self._held[ready:]
        return b"".join(passed)


def _nameless(found: re.Match[bytes]) -> bytes:
    name = (found[1] if found[1] is not None else found[2]).decode("utf-8", "replace")
    return b'filename="%s%s"' % (secrets.token_hex(8).encode(), suffix_of(name).encode())


@contextmanager
def taken_in(upload: str) -> Iterator[Path]:
    """An uploaded file under the name `scan`, for as long as it is read. Then it is deleted, whatever happened."""
    source = Path(upload)
    folder = Path(tempfile.mkdtemp(dir=source.parent))
    try:
        path = folder / f"scan{suffix_of(source.name)}"
        source.rename(path)
        yield path
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # the folder bears the hash of the file; it stays if another upload lies there
            source.parent.rmdir()


__all__ = ["SUFFIXES", "FileNameEraser", "NamelessUploads", "suffix_of", "taken_in"]
