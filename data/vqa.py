"""CT-RATE's questions and answers: both generations of its JSON files -> conversations.

    [{"image": "valid_1_a_1.nii.gz", "conversations": [
        {"from": "human", "value": "<image>\\n...?<long_answer>", "type": "free_response"},
        {"from": "gpt", "value": "..."}]}, ...]

The kind of a conversation is the `type` of its first turn in newer files; in older ones the tag that ends its first
question (<long_answer>, <short_answer>, <multiple_choice>, <report_generation>), else the beginning of its `id`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from .ct_rate import volume_name
from .scans import Faults, OnFault
from .tables import open_table

KINDS = (
    "free_response", "description", "conversation", "multiple_choice", "report_generation", "short_answer",
    "long_answer",
)  # fmt: skip
"""Kinds of conversations that CT-RATE's files are known to hold."""

_TAG = re.compile(r"<(image|long_answer|short_answer|multiple_choice|report_generation)>")
_OPTION = re.compile(r"(?:^|(?<=[\s,;]))\(?([A-Ja-j])[).]\s+|(?:^|(?<=[\s,;?:.]))\(([A-Ja-j])\)")
_LEAD_IN = re.compile(r"\s*(?:(?:answer\s+)?(?:choices|options))?\s*:?\s*\Z", re.IGNORECASE)
_REMEDY = "Download the file again, or give on_fault='skip' to go on without them."


@dataclass(frozen=True)
class Conversation:
    """Questions about one volume and their answers.

    Attributes:
        volume: the volume's name ("valid_1_a_1.nii.gz").
        kind: one of `KINDS`, or what the file says instead.
        turns: (question, answer), at least one, without tags.
    """

    volume: str
    kind: str
    turns: tuple[tuple[str, str], ...]


def read_vqa(path: str | Path, *, on_fault: OnFault = "error") -> list[Conversation]:
    """All conversations of a file, in its order. Those without an image are left out: they are not about a scan.

    Raises:
        DatasetError: there is no such file, it is no JSON list, or with on_fault="error": entries are broken.
    """
    path = Path(path)
    faults = Faults(path)
    with open_table(path) as file:
        try:
            entries = json.load(file)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            entries = []
            faults.add("the file is no JSON", str(error))
    if not isinstance(entries, list):
        faults.add("the file is no list", type(entries).__name__)
    if faults.found:
        faults.settle("error", "Download it again.")
    found = []
    for index, entry in enumerate(entries):
        conversation = _conversation(entry)
        if conversation is None:
            faults.add("entries are broken", f"number {index}")
        elif conversation.volume:
            found.append(conversation)
    faults.settle(on_fault, _REMEDY)
    return found


def _conversation(entry: Any) -> Conversation | None:
    """None for an entry that is not as it should be; one without a volume has an empty name."""
    try:
        said = entry["conversations"]
        pairs = list(zip(said[::2], said[1::2], strict=True))
        sides = {(question["from"], answer["from"]) for question, answer in pairs}
        turns = tuple((_TAG.sub("", q["value"]).strip(), _TAG.sub("", a["value"]).strip()) for q, a in pairs)
        image = entry.get("image") or ""
        kind = said[0].get("type") or _old_kind(said[0]["value"], str(entry.get("id", "")))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return None
    if sides != {("human", "gpt")} or not all(question and answer for question, answer in turns):
        return None
    return Conversation(volume_name(image.replace(".npz", "")) if image else "", kind, turns)


def _old_kind(question: str, identity: str) -> str:
    tags = [tag for tag in _TAG.findall(question) if tag != "image"]
    return tags[-1] if tags else next((kind for kind in KINDS if identity.startswith(kind)), "free_response")


def split_options(question: str) -> tuple[str, list[str]] | None:
    """The stem and the options of a question that offers some, None where it offers none.

    >>> split_options("Which lobe is it? (a) Upper (b) Middle (c) Lower")
    ('Which lobe is it?', ['Upper', 'Middle', 'Lower'])
    """
    marks = _in_sequence(list(_OPTION.finditer(question)))
    if len(marks) < 2:
        return None
    stem = _LEAD_IN.sub("", question[: marks[0].start()])
    ends = [later.start() for _, later in pairwise(marks)] + [len(question)]
    options = [question[mark.end() : end].strip(" \n\t,;") for mark, end in zip(marks, ends, strict=True)]
    return (stem, options) if stem and all(options) else None


def _in_sequence(marks: Sequence[re.Match[str]]) -> list[re.Match[str]]:
    """Those that go a, b, c, ...: a letter in the middle of a sentence is no option."""
    kept: list[re.Match[str]] = []
    for mark in marks:
        if (mark[1] or mark[2]).lower() == "abcdefghij"[len(kept) : len(kept) + 1]:
            kept.append(mark)
    return kept


__all__ = ["KINDS", "Conversation", "read_vqa", "split_options"]
