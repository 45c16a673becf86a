"""Who looks at which scan. Everything is in memory, and goes when its visitor goes."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from threading import Lock

import limits
from med3d_r1.inference import Diagnosis, EncodedScan
from patients import Scan


@dataclass
class Session:
    """What a visitor has before them.

    Attributes:
        scan: as it was read.
        encoded: what the vision tower made of it, from the first question on.
        diagnosis: the last answer; its evidence map is drawn over the planes.
        used: when it was last needed, in seconds of a monotonic clock.
    """

    scan: Scan
    encoded: EncodedScan | None = None
    diagnosis: Diagnosis | None = None
    used: float = field(default_factory=lambda: time.monotonic())


class Sessions:
    """Sessions by gradio's session hash: at most `limits.MAX_SESSIONS`, none silent for `limits.SESSION_SECONDS`."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._lock = Lock()

    def open(self, key: str, scan: Scan) -> Session:
        """A new session in place of the visitor's former one."""
        session = Session(scan)
        with self._lock:
            self._sessions.pop(key, None)
            self._sessions[key] = session
            self._forget()
        return session

    def get(self, key: str | None) -> Session | None:
        """The visitor's session, if there is one still."""
        with self._lock:
            self._forget()
            session = self._sessions.get(key)
            if session is not None:
                session.used = time.monotonic()
            return session

    def close(self, key: str | None) -> None:
        """Forget the visitor's scan and all that was made of it."""
        with self._lock:
            self._sessions.pop(key, None)

    def __len__(self) -> int:
        return len(self._sessions)

    def _forget(self) -> None:
        silent_since = time.monotonic() - limits.SESSION_SECONDS
        by_silence = sorted(self._sessions, key=lambda key: self._sessions[key].used)
        surplus = max(0, len(by_silence) - limits.MAX_SESSIONS)
        for number, key in enumerate(by_silence):
            if number < surplus or self._sessions[key].used < silent_since:
                del self._sessions[key]


__all__ = ["Session", "Sessions"]
