"""Rows of several kinds, such as reports and questions, in set shares.

    mix({"report": reports, "vqa": questions}, {"report": 0.15, "vqa": 0.85})

The order is a function of the lengths, the shares, the size and the seed. Rows of each kind are shuffled and then
interleaved: of any kind, the first n rows of the mixture hold its share of n to within as many rows as there are kinds.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from .scans import DataWarning

if TYPE_CHECKING:
    from datasets import Dataset


def mix(
    datasets: Mapping[str, Dataset], shares: Mapping[str, float], size: int | None = None, seed: int = 0
) -> Dataset:
    """Interleave data sets; arguments, warning and errors as of `draw`.

    Raises:
        ValueError: the data sets have different columns, or columns of different types.
    """
    from datasets import concatenate_datasets

    picks = draw({name: len(dataset) for name, dataset in datasets.items()}, shares, size, seed)
    used = [name for name in datasets if shares[name] > 0]
    for name in used[1:]:
        if datasets[name].features != datasets[used[0]].features:
            raise ValueError(
                f"data sets of a mixture have the same columns and types: {used[0]} has {datasets[used[0]].features}, "
                f"{name} has {datasets[name].features}. as_dataset of data.rows gives them"
            )
    starts, start = {}, 0
    for name in used:
        starts[name] = start
        start += len(datasets[name])
    return concatenate_datasets([datasets[name] for name in used]).select([starts[name] + row for name, row in picks])


def draw(
    lengths: Mapping[str, int], shares: Mapping[str, float], size: int | None = None, seed: int = 0
) -> list[tuple[str, int]]:
    """Which rows a mixture takes, in order.

    Args:
        lengths: kind -> how many rows there are.
        shares: kind -> its share, relative to the others; 0 leaves a kind out.
        size: rows of the mixture. A kind whose share asks for more rows than there are gives all of them before it
            gives one again. None: as many as there are without taking one twice.
        seed: of the shuffling.

    Returns:
        (kind, row) for each place.

    Warns:
        DataWarning: rows of a kind are left out, and how many.

    Raises:
        ValueError: kinds and shares do not have the same names, a share is negative or none is positive, a kind has no
            rows, or the size is not positive.

    >>> draw({"report": 2, "vqa": 4}, {"report": 1, "vqa": 2})
    [('vqa', 1), ('report', 0), ('vqa', 3), ('vqa', 2), ('report', 1), ('vqa', 0)]
    """
    _check(lengths, shares, size)
    used = {name: share for name, share in shares.items() if share > 0}
    if size is None:
        size = _largest(lengths, used)
    counts = apportion(used, size)
    for name, length in lengths.items():
        if 0 < counts.get(name, 0) < length:
            warnings.warn(
                f"{name}: {length - counts[name]:,} of {length:,} rows are left out of a mixture of {size:,} rows",
                DataWarning,
                stacklevel=2,
            )
    rows = {name: _shuffled(lengths[name], counts[name], f"{seed} {name}") for name in used}
    return [(name, next(rows[name])) for name in _interleaved(counts)]


def apportion(shares: Mapping[str, float], size: int) -> dict[str, int]:
    """Whole numbers that add up to `size`, each less than one away from its share: largest remainders first.

    >>> apportion({"a": 0.5, "b": 0.25, "c": 0.25}, 7)
    {'a': 3, 'b': 2, 'c': 2}
    """
    total = sum(shares.values())
    exact = {name: share / total * size for name, share in shares.items()}
    counts = {name: int(value) for name, value in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: size - sum(counts.values())]:
        counts[name] += 1
    return counts


def _largest(lengths: Mapping[str, int], shares: Mapping[str, float]) -> int:
    """The largest mixture that takes no row twice. Rounding moves a kind by less than one row."""
    total = sum(shares.values())
    size = int(min((lengths[name] + 1) * total / share for name, share in shares.items()))
    while any(count > lengths[name] for name, count in apportion(shares, size).items()):
        size -= 1
    return size


def _shuffled(length: int, count: int, seed: str) -> Iterator[int]:
    """So many numbers below `length`: pass after pass over all of them, each in another order."""
    rng, given = random.Random(seed), 0
    while given < count:
        order = list(range(length))
        rng.shuffle(order)
        yield from order
        given += length


def _interleaved(counts: Mapping[str, int]) -> list[str]:
    """Each name as often as it counts, in the middles of as many equal stretches."""
    places = [((turn + 0.5) / count, name) for name, count in counts.items() for turn in range(count)]
    return [name for _, name in sorted(places, key=lambda place: place[0])]


def _check(lengths: Mapping[str, int], shares: Mapping[str, float], size: int | None) -> None:
    if lengths.keys() != shares.keys():
        odd = sorted(lengths.keys() ^ shares.keys())
        raise ValueError(
            f"a mixture has a share for each of its kinds, 0 for one to leave out: there are {', '.join(lengths)}, and "
            f"shares of {', '.join(shares)}; {odd[0]} is in one alone"
        )
    if any(share < 0 for share in shares.values()) or not any(shares.values()):
        raise ValueError(f"shares are not negative, and at least one is positive; got {dict(shares)}")
    if empty := [name for name, share in shares.items() if share > 0 and not lengths[name]]:
        raise ValueError(f"{empty[0]} has a share of {shares[empty[0]]} in the mixture, and not a single row")
    if size is not None and size < 1:
        raise ValueError(f"a mixture has at least one row; got size {size}")


__all__ = ["apportion", "draw", "mix"]
