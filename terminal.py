"""What the verbs of the command line share: results on stdout, progress on stderr, and libraries that keep quiet."""

from __future__ import annotations

import sys


def print_text(*paragraphs: str) -> None:
    """Text on stdout. What files and models say goes through here: control characters would steer a terminal."""
    text = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in "\n\n".join(paragraphs))
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, errors="replace").decode(encoding))


def say(text: str) -> None:
    """Progress, in its place among the results where both go to one file."""
    sys.stdout.flush()
    print(text, file=sys.stderr, flush=True)


def quiet_libraries(verbose: bool) -> None:
    if not verbose:
        import logging

        from transformers.utils import logging as transformers_logging

        transformers_logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)


__all__ = ["print_text", "quiet_libraries", "say"]
