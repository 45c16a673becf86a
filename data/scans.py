"""A scan as the readers of data sets hand it on, and how they say what is wrong with a data set."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..abnormalities import CT_RATE_LABELS

SPLIT_ALIASES = {"valid": "validation"}
"""The data sets write both."""

NAMED_IN_ERRORS = 10
"""So many culprits of each kind are named in an error's text; all of them are in `DatasetError.faults`."""


@dataclass(frozen=True)
class Volume:
    """One file of voxels: a scan may have been reconstructed more than once.

    Attributes:
        name: as the data set's own tables write it ("valid_1_a_1.nii.gz").
        path: where it lies, or will lie once it was downloaded.
        reading: what `Med3DR1ImageProcessor.prepare` must be told beside the path, such as `rescale`. Mostly nothing.
    """

    name: str
    path: Path
    reading: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Scan:
    """One examination of a patient: its volumes, and what is known about it.

    Attributes:
        dataset: "CT-RATE" or "RAD-ChestCT"; synthetic scans have the name of the layout they were written in.
        split: the data set's own: "train", "validation", "test".
        patient: for splits; no two splits of a data set share one.
        name: the examination ("valid_1_a").
        volumes: reconstructions, in the order of their numbers; at least one.
        labels: 0 or 1 for each of the 18 abnormalities in CT-RATE's order, or None.
        findings, impression, clinical_information, technique: sections of the report, "" for what is not given.
    """

    dataset: str
    split: str
    patient: str
    name: str
    volumes: tuple[Volume, ...]
    labels: tuple[int, ...] | None = None
    findings: str = ""
    impression: str = ""
    clinical_information: str = ""
    technique: str = ""

    @property
    def report(self) -> str | None:
        """Findings and impression, or None where there is neither."""
        return "\n".join(filter(None, (self.findings, self.impression))) or None

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the abnormalities that its labels say are there."""
        return tuple(name for name, label in zip(CT_RATE_LABELS, self.labels or (), strict=False) if label)


class DatasetError(ValueError):
    """A data set is not as its layout says. All faults are told at once.

    Attributes:
        place: the folder or file.
        faults: what is wrong -> whom it concerns (volumes, columns, lines), complete.
    """

    def __init__(self, place: str | Path, faults: Mapping[str, Sequence[str]], remedy: str):
        self.place, self.faults, self.remedy = str(place), {what: list(who) for what, who in faults.items()}, remedy
        lines = [f"{self.place} cannot be read as it is:"]
        lines += [f"- {what} ({len(who):,}): {enumeration(who)}" for what, who in self.faults.items()]
        super().__init__("\n".join([*lines, remedy]))

    def __reduce__(self):
        return type(self), (self.place, self.faults, self.remedy)


class DataWarning(UserWarning):
    """A data set was read, but a part of it was left out or is incomplete."""


OnFault = Literal["error", "skip"]


@dataclass
class Faults:
    """What a reader finds wrong on its way, told at its end."""

    place: Path
    found: dict[str, list[str]] = field(default_factory=dict)

    def add(self, what: str, who: str) -> None:
        self.found.setdefault(what, []).append(who)

    def settle(self, on_fault: OnFault, remedy: str) -> None:
        """Raise them all ("error") or warn that what they concern was left out ("skip").

        Raises:
            DatasetError: there are faults, and `on_fault` is "error".
            ValueError: `on_fault` is neither.
        """
        if on_fault not in ("error", "skip"):
            raise ValueError(f"on_fault is 'error' or 'skip'; got {on_fault!r}")
        if self.found and on_fault == "error":
            raise DatasetError(self.place, self.found, remedy)
        for what, who in self.found.items():
            warnings.warn(f"{self.place}: left out, {what} ({len(who):,}): {enumeration(who)}", DataWarning, 3)


def split_by_patient(
    scans: Sequence[Scan], *, share: float | None = None, count: int | None = None, seed: int = 0
) -> tuple[list[Scan], list[Scan]]:
    """Scans of some patients, and those of all others. No patient is in both.

    Patients are ranked by a hash of their name and the seed, so the choice depends neither on the order of the scans
    nor on the machine, and a smaller share is a part of a larger one. The Med3D-R1 paper takes 5 % of CT-RATE's
    patients for reinforcement learning, 1,065 cases: 5 % of all 21,304. Of the training patients alone these are
    `count=1065`.

    Args:
        share: of the patients, 0 to 1, rounded down; or
        count: of patients.
        seed: another seed, another choice.

    Raises:
        ValueError: not exactly one of `share` and `count` is given, or there are not so many patients.
    """
    patients = {scan.patient for scan in scans}
    if (share is None) == (count is None):
        raise ValueError("give either share or count")
    if share is not None and not 0 <= share <= 1:
        raise ValueError(f"share is between 0 and 1; got {share}")
    wanted = int(share * len(patients) + 1e-9) if count is None else count
    if not 0 <= wanted <= len(patients):
        raise ValueError(f"{wanted:,} patients were asked for, and there are {len(patients):,}")
    ranked = sorted(patients, key=lambda patient: hashlib.sha256(f"{seed}:{patient}".encode()).digest())
    chosen = set(ranked[:wanted])
    return [scan for scan in scans if scan.patient in chosen], [scan for scan in scans if scan.patient not in chosen]


def enumeration(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    more = len(names) - NAMED_IN_ERRORS
    return ", ".join(names[:NAMED_IN_ERRORS]) + (f" and {more:,} more" if more > 0 else "")


__all__ = [
    "SPLIT_ALIASES",
    "DataWarning",
    "DatasetError",
    "Faults",
    "OnFault",
    "Scan",
    "Volume",
    "enumeration",
    "split_by_patient",
]
