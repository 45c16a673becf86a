"""How far a command is, by the bars that it writes into its log."""

from __future__ import annotations

import re
from pathlib import Path

_BAR = re.compile(r"([^|\r\n]*?)(\d{1,3})%\|[^|\r\n]*\| *[\d.]+[kM]?/([\d.]+)([kM]?)")
"""As tqdm writes it, which every long command here uses: description, percentage, total."""

_FACTOR = {"": 1.0, "k": 1e3, "M": 1e6}


class LogProgress:
    """The share of a command's work that is done, read from what its log has had since this object was made.

    A command may have several bars, one after the other; each counts the same. Much shorter ones between them are those
    of an evaluation during training, and are not looked at.

    Args:
        log: the file; what is in it already is another run's.
        bars: how many bars the command is known to write.
    """

    def __init__(self, log: Path, bars: int = 1):
        self._log, self._bars = log, bars
        self._read = log.stat().st_size
        self._seen: dict[tuple[str, float], int] = {}
        self._longest = 0.0
        self._share = 0.0

    def share(self) -> float:
        """From 0 to 1; 0 where the log has no bar yet."""
        with open(self._log, "rb") as file:
            file.seek(self._read)
            said = file.read()
        self._read += len(said)
        for description, percentage, count, unit in _BAR.findall(said.decode(errors="replace")):
            total = float(count) * _FACTOR[unit]
            self._longest = max(self._longest, total)
            if total >= self._longest / 2:
                place = self._seen.setdefault((description.strip(), total), len(self._seen))
                self._share = (place + min(int(percentage), 100) / 100) / max(self._bars, place + 1)
        return self._share


__all__ = ["LogProgress"]
