"""What a reasoning or a report affirms among CT-RATE's 18 abnormalities, read by the rules of `data.report_findings`.

Only what is affirmed counts. Most abnormalities are absent from most scans, so where denials earn anything, a policy
learns to deny every option: in a trial such a reward stood at .96 while the accuracy fell (docs/rewards.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from ..abnormalities import CT_RATE_LABELS
from ..data.report_findings import findings_in

Measure = Literal["f1", "precision", "recall"]


@dataclass(frozen=True)
class Findings:
    """What a text says.

    Attributes:
        affirmed: labels that it says are there.
        doubtful: labels that it holds possible.
    """

    affirmed: frozenset[str]
    doubtful: frozenset[str] = frozenset()


@lru_cache(maxsize=1 << 13)
def read_findings(text: str) -> Findings:
    """The findings of a text. Kept, because all rewards read the same texts, and a group of completions one report.

    Of several mentions the strongest counts: "Seen emphysema. A emphysema absent" affirms it.
    """
    statuses = findings_in(text)
    return Findings(
        affirmed=frozenset(label for label, status in statuses.items() if status == "present"),
        doubtful=frozenset(label for label, status in statuses.items() if status == "uncertain"),
    )


def affirmed_findings(text: str) -> frozenset[str]:
    """The labels that a text says are there.

    >>> sorted(affirmed_findings("Seen emphysema, nodule.\\nA emphysema present\\nB lung opacity absent"))
    ['Emphysema', 'Lung nodule']
    """
    return read_findings(text).affirmed


def labelled_findings(labels: Sequence[int]) -> Findings:
    """The findings that a row of a label table affirms.

    Raises:
        ValueError: the row is not 18 times 0 or 1.
    """
    if len(labels) != len(CT_RATE_LABELS) or not {*labels} <= {0, 1}:
        raise ValueError(f"labels are {len(CT_RATE_LABELS)} times 0 or 1; got {list(labels)}")
    return Findings(frozenset(label for label, value in zip(CT_RATE_LABELS, labels, strict=True) if value))


def agreement(said: Findings, true: Findings, measure: Measure = "f1") -> float:
    """How far what is said agrees with what is true, in [0, 1].

    Affirmed labels are compared. One that the truth holds possible is neither right nor wrong when it is said and no
    loss when it is not; one that is only said to be possible is not said. Where neither side affirms anything they
    agree (1), where only one does they do not (0), whatever the measure.

    Raises:
        ValueError: there is no such measure.

    >>> agreement(read_findings("Emphysema and a nodule."), read_findings("There is emphysema."))
    0.6666666666666666
    """
    if measure not in get_args(Measure):
        raise ValueError(f"measure is one of {', '.join(get_args(Measure))}; got {measure!r}")
    counted = said.affirmed - true.doubtful
    if not counted or not true.affirmed:
        return float(not counted and not true.affirmed)
    right = len(counted & true.affirmed)
    if measure == "precision":
        return right / len(counted)
    if measure == "recall":
        return right / len(true.affirmed)
    return 2 * right / (len(counted) + len(true.affirmed))


__all__ = ["Findings", "Measure", "affirmed_findings", "agreement", "labelled_findings", "read_findings"]
