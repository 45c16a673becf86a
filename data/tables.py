"""Tables of data sets: CSV files whose header is checked before a row is believed."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..abnormalities import ALIASES, CT_RATE_LABELS
from .scans import DatasetError, Faults

_BINARY = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}


def read_rows(
    path: Path,
    key: str,
    check: Callable[[Path, list[str]], None],
    faults: Faults,
    name_of: Callable[[str], str] = str.strip,
) -> Iterator[tuple[str, dict[str, str]]]:
    """(name, column -> text) of each row of a CSV file, in its order. Nothing is kept: some tables are large.

    A row without a name, with a name that stood in a row before, or with more or fewer fields than the header goes to
    `faults`; of equal names the first row is taken.

    Args:
        path: the file; UTF-8, with or without a byte order mark.
        key: the column of the names.
        check: is given the path and the other columns, and raises where they are not as they should be.
        faults: where broken rows are noted.
        name_of: how a name is written from now on.

    Raises:
        DatasetError: there is no such file or no row in it, it is no UTF-8 or no CSV, or its header is not as it should
            be.
    """
    seen = set()
    with _damage_told(path), open_table(path) as file:
        reader = csv.DictReader(file)
        header = [column.strip() for column in reader.fieldnames or ()]
        reader.fieldnames = header
        if key not in header:
            raise DatasetError(path, {"columns are missing": [key]}, f"The header is: {', '.join(header) or 'empty'}.")
        check(path, [column for column in header if column != key])
        for row in reader:
            name = name_of(row[key]) if (row[key] or "").strip() else ""
            if not name or None in row or None in row.values():
                faults.add(f"rows of {path.name} are broken", name or f"line {reader.line_num}")
            elif name in seen:
                faults.add(f"{path.name} has more than one row of the same name", name)
            else:
                seen.add(name)
                yield name, row
    if not seen:
        raise DatasetError(path, {"rows are missing": ["all of them"]}, "Download the table again.")


@contextmanager
def _damage_told(path: Path) -> Iterator[None]:
    try:
        yield
    except (UnicodeDecodeError, csv.Error) as error:  # csv's: a quote that is never closed
        raise DatasetError(
            path, {"the text cannot be read": [str(error)]}, "Download the table again, or save it as CSV in UTF-8."
        ) from error


def need(*columns: str) -> Callable[[Path, list[str]], None]:
    """A check for `read_rows`: these columns must be there, besides any others."""

    def check(path: Path, header: list[str]) -> None:
        if missing := [column for column in columns if column not in header]:
            raise DatasetError(
                path, {"columns are missing": missing}, f"The header is: {', '.join(header) or 'empty'}."
            )

    return check


def open_table(path: Path) -> TextIO:
    """A text file to be read, with or without a byte order mark.

    Raises:
        DatasetError: there is no such file.
    """
    if not path.is_file():
        raise DatasetError(path.parent, {"files are missing": [path.name]}, "Download them, or check the path.")
    return path.open(encoding="utf-8-sig", newline="")


def read_label_table(
    path: Path, key: str, faults: Faults, name_of: Callable[[str], str] = str.strip
) -> dict[str, tuple[int, ...]]:
    """A table of the 18 abnormalities: name -> 0 or 1 for each, in CT-RATE's order.

    The columns must be those of the labels or their aliases, in the official order: a table in another order was not
    made from CT-RATE's, and programs that go by position would read it wrongly. Rows with other values go to `faults`.

    Raises:
        DatasetError: there is no such file, or its header is not as it should be.
    """
    labels = {}
    for name, row in read_rows(path, key, _check_label_columns, faults, name_of):
        values = tuple(_BINARY.get(text.strip()) for column, text in row.items() if column != key)
        if None in values:
            faults.add(f"labels in {path.name} are neither 0 nor 1", name)
        else:
            labels[name] = values
    return labels


def _check_label_columns(path: Path, columns: list[str]) -> None:
    labels = [ALIASES.get(column, column) for column in columns]
    faults = {
        "labels are missing": [label for label in CT_RATE_LABELS if label not in labels],
        "columns are no labels": [label for label in labels if label not in CT_RATE_LABELS],
        "labels have more than one column": sorted({label for label in labels if labels.count(label) > 1}),
    }
    if not any(faults.values()):
        moved = [label for label, official in zip(labels, CT_RATE_LABELS, strict=True) if label != official]
        faults = {"labels are not in the official order": moved}
    if any(faults.values()):
        found = {what: who for what, who in faults.items() if who}
        raise DatasetError(path, found, f"The columns are, in this order: {', '.join(CT_RATE_LABELS)}.")


def is_true(text: str) -> bool | None:
    """Whether a field says 1 or 0; None where it says neither.

    >>> is_true("1.0"), is_true("0"), is_true("")
    (True, False, None)
    """
    value = _BINARY.get(text.strip())
    return None if value is None else bool(value)


__all__ = ["is_true", "need", "open_table", "read_label_table", "read_rows"]
