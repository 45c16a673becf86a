"""The MMVQA benchmark: which of four abnormalities does the scan have?

An accuracy on such questions says little by itself, so it never stands alone here:

    own        the share of right answers with the scan that is asked about
    swapped    the same questions with the scan of another patient (see `swapped_scans`). What a system still gets
               right it knows from the options, from what is common, or by luck; or because the other patient has the
               true abnormality too, which pulls `swapped` up and makes own minus swapped a careful number
    prior      a guesser that was fitted to questions of the training split and sees the options alone

Differences are taken question by question, their intervals drawn over scans. An output that names no option is mapped
to the option whose text it is most like (paper 4.3); how often is counted. A question without any answer is wrong.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from ..abnormalities import CT_RATE_LABELS
from ..answers_med3d_r1 import LETTERS, parse_answer
from ..data.options_prior import Item, OptionsOnlyGuesser
from ..data.report_findings import findings_in
from ..data.rows import Row
from .asking import Output, Predictor, Question, content_hash, item_id, patient_of, prompt_of, stem_of, swapped_scans
from .mmvqa_numbers import OWN, SWAPPED, Numbers, Record, count_records
from .protocol import library_versions, plain, write_files
from .runs import answer_all, is_main_process
from .similarity import Similarity, WordSimilarity, nearest_option

VERSION = 2
"""Raised whenever the same answers would give other numbers."""

Think = bool | Literal["both"]


@dataclass(frozen=True)
class MmvqaResult:
    """A measurement, with everything that is needed to read it and to repeat it.

    Attributes:
        protocol: data, controls, predictor, seeds, versions; `hash` of all but the versions.
        records: one for each question, shown scan and way to ask: what was written and how it was read.
    """

    FILE: ClassVar[str] = "mmvqa.json"

    protocol: dict[str, Any]
    records: list[Record]

    @cached_property
    def numbers(self) -> dict[bool, Numbers]:
        """think -> numbers. They come from the records alone."""
        seed, resamples = self.protocol["seed"], self.protocol["resamples"]
        return {think: count_records(self.records, think, seed, resamples) for think in self.protocol["think"]}

    def __getitem__(self, think: bool) -> Numbers:
        return self.numbers[think]

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for JSON; records are left out."""
        numbers = {_WAYS[think]: asdict(numbers) for think, numbers in self.numbers.items()}
        return {"benchmark": "mmvqa", "version": VERSION, "protocol": self.protocol, "numbers": plain(numbers)}

    def save(self, folder: str | Path) -> list[Path]:
        """Write mmvqa.json, mmvqa.md and records.jsonl."""
        texts = {
            self.FILE: json.dumps(self.to_dict(), indent=2) + "\n",
            "mmvqa.md": self.markdown() + "\n",
            "records.jsonl": "".join(json.dumps(record) + "\n" for record in self.records),
        }
        return write_files(folder, texts)

    @classmethod
    def load(cls, folder: str | Path) -> MmvqaResult:
        """
        Raises:
            FileNotFoundError: there is no such result.
            ValueError: another version wrote it, so that its numbers mean something else.
        """
        folder = Path(folder)
        path = folder / cls.FILE
        if not path.exists():
            raise FileNotFoundError(f"{folder}: no result of MMVQA there, it has no {cls.FILE}")
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["version"] != VERSION:
            raise ValueError(
                f"{path}: of version {stored['version']} of the benchmark; this is {VERSION}: measure again"
            )
        lines = (folder / "records.jsonl").read_text(encoding="utf-8").splitlines()
        return cls(stored["protocol"], [json.loads(line) for line in lines])

    def markdown(self) -> str:
        from .tables import mmvqa_markdown

        return mmvqa_markdown(self)


_WAYS = {True: "think", False: "no_think"}


def evaluate_mmvqa(
    predictor: Predictor,
    rows: Sequence[Row],
    train_items: Sequence[Item],
    *,
    think: Think = True,
    facts: Mapping[str, Any] | None = None,
    patients: Mapping[str, str] | None = None,
    labels: Mapping[str, Sequence[int]] | None = None,
    similarity: Similarity | None = None,
    seed: int = 0,
    resamples: int = 10_000,
    folder: str | Path | None = None,
    progress: bool = False,
) -> MmvqaResult:
    """Ask a system all questions, with the scans that they are about and with those of others.

    Args:
        rows: of `mmvqa_rows`. Whether they ask for reasoning does not matter.
        train_items: questions of the training split, drawn in the same way: `draw_items` of its labels, or rows.
        think: ask for reasoning, or not, or "both", one after the other.
        facts: what a reader must know about the rows: data set, split, distractors, ...; they go into the protocol.
        patients: volume -> patient; default: what the names tell (`patient_of`).
        labels: volume -> the 18 labels, to count how many swapped scans have the true abnormality too.
        similarity: for outputs that name no option; default: words, without any model.
        seed: of the swapping and of the bootstrap.
        resamples: of the bootstrap.
        folder: where answers are kept as they come, so that a stopped run goes on, and the result is written.
        progress: show a bar with the running accuracies.

    Raises:
        ValueError: there are no rows, two are the same, they cannot be swapped, or as in `answer_all`.
    """
    items = _items(rows)
    questions = mmvqa_questions(rows, think=think, patients=patients, seed=seed)
    similarity = similarity or WordSimilarity(option for row in rows for option in row["options"])
    protocol = _protocol(predictor, rows, train_items, _ways(think), facts or {}, similarity, seed, resamples)
    folder = Path(folder) if folder is not None else None
    outputs = answer_all(
        predictor,
        questions,
        folder=folder,
        progress=progress,
        watch=_Tally(items, similarity),
    )
    guesses = dict(zip(items, OptionsOnlyGuesser(train_items).answers(list(items.values())), strict=True))
    records = [
        _record(items[question.item], question, output, guesses[question.item], similarity, labels)
        for question, output in zip(questions, outputs, strict=True)
    ]
    result = MmvqaResult(protocol, records)
    if folder is not None and is_main_process():
        result.save(folder)
    return result


def mmvqa_questions(
    rows: Sequence[Row], *, think: Think = True, patients: Mapping[str, str] | None = None, seed: int = 0
) -> list[Question]:
    """What is asked: each row with its own scan, then with the swapped one; first with reasoning, then without.

    Arguments and errors as of `evaluate_mmvqa`.
    """
    image_of = {row["volume"]: row["images"][0] for row in rows}
    partners = swapped_scans({volume: (patients or {}).get(volume, patient_of(volume)) for volume in image_of}, seed)
    return [
        Question(item, scan, image_of[scan], prompt_of(row, way), tuple(row["options"]), way)
        for way in _ways(think)
        for item, row in _items(rows).items()
        for scan in (row["volume"], partners[row["volume"]])
    ]


def _ways(think: Think) -> list[bool]:
    return [True, False] if think == "both" else [bool(think)]


def _condition(question: Question, row: Row) -> str:
    return OWN if question.scan == row["volume"] else SWAPPED


def _items(rows: Sequence[Row]) -> dict[str, Row]:
    if not rows:
        raise ValueError("there are no questions to ask")
    items = {item_id(row): row for row in rows}
    if len(items) < len(rows):
        raise ValueError(f"{len(rows) - len(items):,} of {len(rows):,} questions are asked twice: keep one of each")
    return items


def _protocol(predictor, rows, train_items, ways, facts, similarity, seed, resamples) -> dict[str, Any]:
    data = {
        "items": len(rows),
        "scans": len({row["volume"] for row in rows}),
        "sha256": content_hash(
            [row["volume"], row["options"], row["answer"], prompt_of(row, True)[-1]] for row in rows
        ),
    }
    protocol = {
        "data": {**facts, **data},
        "think": ways,
        "seed": seed,
        "resamples": resamples,
        "options_only_prior": {
            "fitted_to": len(train_items),
            "sha256": content_hash([item["volume"], item["options"], item["answer"]] for item in train_items),
        },
        "fallback": similarity.name,
        "predictor": predictor.describe(),
    }
    return {**protocol, "hash": content_hash([protocol]), "versions": library_versions()}


class _Tally:
    """Running accuracies beside the bar."""

    def __init__(self, items: Mapping[str, Row], similarity: Similarity):
        self._items, self._similarity = items, similarity
        self._right, self._asked = Counter(), Counter()

    def __call__(self, question: Question, output: Output) -> str:
        row = self._items[question.item]
        condition = _condition(question, row)
        letter, _ = read_output(output, row["options"], question.think, self._similarity)
        self._asked[condition] += 1
        self._right[condition] += letter == row["answer"]
        return ", ".join(f"{name} {self._right[name] / count:.1%}" for name, count in sorted(self._asked.items()))


def read_output(
    output: Output, options: Sequence[str], think: bool, similarity: Similarity
) -> tuple[str | None, Literal["written", "fallback", "none"]]:
    """The letter that an output stands for, and how it was found. Of several samples the one that most of them name; of
    letters that are named equally often the one that was named first."""
    named = [parse_answer(text, options, think).letter for text in output.texts]
    votes = Counter(letter for letter in named if letter)
    if votes:
        return max(votes, key=votes.__getitem__), "written"
    letter = nearest_option(output.texts[0], options, similarity)
    return letter, "fallback" if letter else "none"


def _record(row, question, output, guess, similarity, labels) -> Record:
    condition, options, text = _condition(question, row), row["options"], output.texts[0]
    parsed = parse_answer(text, options, question.think)
    letter, how = read_output(output, options, question.think, similarity)
    votes = [parse_answer(sample, options, question.think).letter for sample in output.texts]
    affirmed = reported = None
    if question.think and condition == OWN and row.get("report"):
        affirmed, reported = _present(parsed.reasoning), _present(row["report"])
    return {
        "item": question.item,
        "volume": row["volume"],
        "condition": condition,
        "scan": question.scan,
        "think": question.think,
        "question": stem_of(row),
        "options": list(options),
        "answer": row["answer"],
        "letter": letter,
        "how": how,
        "valid": parsed.valid,
        "prior": guess,
        "likeliest": None if output.scores is None else LETTERS[int(np.argmax(output.scores))],
        "confidence": _confidence(output, votes, letter),
        "scan_has_answer": _has(labels, question.scan, row["abnormality"]),
        "affirmed": affirmed,
        "reported": reported,
        "tokens": round(sum(output.tokens) / len(output.tokens), 2) if output.tokens else None,
        "text": text,
    }


@cache
def _present(text: str) -> list[str]:
    return [label for label, status in findings_in(text).items() if status == "present"]


def _confidence(output: Output, votes: Sequence[str | None], letter: str | None) -> float | None:
    """Of the chosen option: the share of the samples that name it; of a single answer its probability."""
    if letter is None or (len(votes) == 1 and output.scores is None):
        return None
    if len(votes) > 1:
        return votes.count(letter) / len(votes)
    shares = np.exp(np.array(output.scores) - max(output.scores))
    return round(float(shares[LETTERS.index(letter)] / shares.sum()), 6)


def _has(labels: Mapping[str, Sequence[int]] | None, scan: str, abnormality: str) -> bool | None:
    if labels is None or scan not in labels:
        return None
    return bool(labels[scan][CT_RATE_LABELS.index(abnormality)])


__all__ = ["VERSION", "MmvqaResult", "Think", "evaluate_mmvqa", "mmvqa_questions", "read_output"]
