"""Markdown that only cards need: tables of words, which read better from the left than numbers do."""

from __future__ import annotations

from collections.abc import Sequence


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with all columns flush left.

    >>> print(text_table(["file", "what"], [["a.md", "a note"]]))
    | file | what |
    | --- | --- |
    | a.md | a note |
    """
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows))


__all__ = ["text_table"]
