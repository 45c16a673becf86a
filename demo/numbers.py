"""What a finished chain has shown: the quantities of docs/embedded-world.md, read from its records and results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..evaluation.asking import content_hash
from ..evaluation.comparison import Comparison, compare
from ..evaluation.mmvqa import MmvqaResult
from ..evaluation.mmvqa_numbers import Numbers
from .chain import Chain


@dataclass(frozen=True)
class ChainNumbers:
    """One seed.

    Attributes:
        seed: of the chain.
        reading: share of right decisions of the language model on notes in text, lessons that it was not trained on.
        auroc: of the vision tower, zero-shot, mean over the 18 abnormalities, validation patients.
        s1, s2: with reasoning, on balanced items.
        s1_direct, s2_direct: without reasoning.
        s1_paper, s2_paper: with reasoning, on items with random distractors.
        gain: S2 minus S1 on the same balanced items.
    """

    seed: int
    reading: float
    auroc: float
    s1: Numbers
    s2: Numbers
    s1_direct: Numbers
    s2_direct: Numbers
    s1_paper: Numbers
    s2_paper: Numbers
    gain: Comparison


def numbers_of(chain: Chain) -> ChainNumbers:
    """Read what the chain has left.

    Raises:
        FileNotFoundError: it did not come to its end.
    """
    s1, s2 = (MmvqaResult.load(chain.result(name)) for name in ("s1", "s2"))
    paper = [MmvqaResult.load(chain.result(name, "random"))[True] for name in ("s1", "s2")]
    return ChainNumbers(
        seed=chain.seed,
        reading=last_logged(chain.folder / "language", "eval_reading"),
        auroc=last_logged(chain.folder / "clip", "eval_auroc"),
        s1=s1[True],
        s2=s2[True],
        s1_direct=s1[False],
        s2_direct=s2[False],
        s1_paper=paper[0],
        s2_paper=paper[1],
        gain=compare(s1, s2),
    )


def last_logged(run: Path, key: str) -> float:
    """The last value that a run of training logged under this name.

    Raises:
        ValueError: it never did.
    """
    log = json.loads((run / "run.json").read_text(encoding="utf-8"))["log"]
    values = [entry[key] for entry in log if key in entry]
    if not values:
        raise ValueError(f"{run}: this run never logged {key}")
    return values[-1]


def pooled(results: Sequence[MmvqaResult]) -> MmvqaResult:
    """Results of the same kind on different patients as one, so that an interval can be drawn over all of them.

    Items and scans get the number of their result before their names: seeds share no patient, but they do share names.
    """
    records = [
        {**record, **{key: f"{number}/{record[key]}" for key in ("item", "volume", "scan")}}
        for number, result in enumerate(results)
        for record in result.records
    ]
    first = results[0]
    together = content_hash([result.protocol["data"]["sha256"]] for result in results)
    protocol = {**first.protocol, "data": {**first.protocol["data"], "sha256": together}}
    return replace(first, protocol=protocol, records=records)


__all__ = ["ChainNumbers", "last_logged", "numbers_of", "pooled"]
