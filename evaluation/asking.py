"""What a benchmark asks and what any system answers: the two things that predictors and benchmarks share."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from ..data.rows import Row
from ..prompts_med3d_r1 import LETTER_INSTRUCTION, THINK_INSTRUCTION, Messages


@dataclass(frozen=True)
class Question:
    """One item as it is shown to a system.

    Attributes:
        item: id of the item, the same whichever scan is shown and whether or not reasoning is asked for.
        scan: name of the volume that is shown.
        image: where it lies: whatever the image processor reads from a path.
        prompt: the messages, with a bare placeholder for the scan.
        options: their texts, A first; none where a report is asked for.
        think: whether reasoning is asked for.
    """

    item: str
    scan: str
    image: str
    prompt: Messages
    options: tuple[str, ...]
    think: bool

    @property
    def text(self) -> str:
        """The words of the prompt."""
        blocks = (block for message in self.prompt for block in message["content"])
        return "\n".join(block["text"] for block in blocks if block["type"] == "text")


@dataclass(frozen=True)
class Output:
    """What a system answered.

    Attributes:
        texts: what it wrote; several where it was sampled several times.
        tokens: how many tokens each of them took; () where the system does not say.
        scores: log-probability of each option, up to a constant; None where the system has none.
    """

    texts: tuple[str, ...]
    tokens: tuple[int, ...] = ()
    scores: tuple[float, ...] | None = None


class Predictor(Protocol):
    """A system that answers questions on scans."""

    def describe(self) -> dict[str, Any]:
        """Everything that decides its outputs, in plain types: it stands in the result, and answers that were given
        under another description are not used again."""

    def predict(self, questions: Sequence[Question]) -> Iterator[tuple[int, Output]]:
        """(place in the list, output) for each question, in any order, as soon as there is one."""


def item_id(row: Row) -> str:
    """The same for the same question on the same scan, in any run, with or without reasoning.

    Raises:
        ValueError: the prompt does not end as those of `question_messages` do.
    """
    said = [row["volume"], *row["options"], row["answer"], _bare(row)]
    return hashlib.sha256("\x1f".join(said).encode()).hexdigest()[:16]


def prompt_of(row: Row, think: bool) -> Messages:
    """The row's prompt, with or without the request to reason, whichever it was made with.

    Raises: as `item_id`.
    """
    instruction = f"{THINK_INSTRUCTION} {LETTER_INSTRUCTION}" if think else LETTER_INSTRUCTION
    *before, last = row["prompt"]
    *blocks, text = last["content"]
    return [*before, {**last, "content": [*blocks, {**text, "text": f"{_bare(row)}\n{instruction}"}]}]


def stem_of(row: Row) -> str:
    """The question alone, without options and instructions. Raises: as `item_id`."""
    return _bare(row).partition("\nA) ")[0]


def _bare(row: Row) -> str:
    """The question and its options, without instructions."""
    content = row["prompt"][-1]["content"]
    text = content[-1].get("text") or "" if not isinstance(content, str) else ""
    if not text.endswith(LETTER_INSTRUCTION):
        raise ValueError(
            f"a row's prompt ends with {LETTER_INSTRUCTION!r}, as those of mmvqa_rows do, so that it can be asked with "
            f"and without reasoning; the one on {row['volume']} ends with {text[-60:]!r}"
        )
    return text.removesuffix(LETTER_INSTRUCTION).rstrip().removesuffix(THINK_INSTRUCTION).rstrip()


def content_hash(values: Iterable[Any]) -> str:
    """sha256 of JSON values, whatever their order."""
    lines = sorted(json.dumps(value, sort_keys=True) for value in values)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


_CT_RATE_NAME = re.compile(r"((?:train|valid)_\d+)_[a-z]+_\d+(?:\.nii\.gz)?")


def patient_of(volume: str) -> str:
    """The patient that a name in CT-RATE's layout tells; of any other name, the name itself.

    >>> patient_of("valid_12_a_1.nii.gz"), patient_of("tst00004")
    ('valid_12', 'tst00004')
    """
    match = _CT_RATE_NAME.fullmatch(volume)
    return match[1] if match else volume


def swapped_scans(patients: Mapping[str, str], seed: int = 0) -> dict[str, str]:
    """For each volume one of another patient; each is taken once.

    Patients are shuffled, their volumes laid in a row, and the row is turned by as many places as the patient with the
    most volumes has: so nobody keeps a scan of their own.

    Args:
        patients: volume -> patient.
        seed: another seed, other partners.

    Raises:
        ValueError: one patient has more than half of the volumes: then there are not enough others.
    """
    by_patient: dict[str, list[str]] = {}
    for volume in sorted(patients):
        by_patient.setdefault(patients[volume], []).append(volume)
    most = max(map(len, by_patient.values()), default=0)
    if 2 * most > len(patients):
        raise ValueError(
            f"scans cannot be swapped between patients: one of them has {most:,} of the {len(patients):,} volumes, and "
            "it may be half of them at most"
        )
    order = np.random.default_rng(seed).permutation(sorted(by_patient))
    row = [volume for patient in order for volume in by_patient[patient]]
    return dict(zip(row, row[most:] + row[:most], strict=True))


__all__ = [
    "Output",
    "Predictor",
    "Question",
    "content_hash",
    "item_id",
    "patient_of",
    "prompt_of",
    "stem_of",
    "swapped_scans",
]
