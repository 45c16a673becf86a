"""The reasonings of a result of MMVQA before a judge: four scales from 0 to 5, beside the same with swapped scans.

A judge may like fluent words whatever scan they are about. So the reasoning that the system wrote on another patient's
scan is judged too, as if it were on this one: same question, same right answer, same report. What counts is the
difference, question by question.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..answers_med3d_r1 import LETTERS, parse_answer
from ..metrics.statistics import Estimate, paired_bootstrap
from .asking import content_hash
from .judge import SCALE_BEST, SCALES, ReasoningJudge, ReasoningScores, mean_scales
from .mmvqa import MmvqaResult
from .mmvqa_numbers import OWN, SWAPPED, Record
from .protocol import library_versions, plain, write_files
from .result_folders import system_of
from .tables import table

VERSION = 1


@dataclass(frozen=True)
class JudgedReasoning:
    """What a judge made of a system's reasonings.

    Attributes:
        system: its name.
        protocol: judge, questions, seed.
        own, swapped: scale -> mean, 0 to 5, intervals over scans.
        own_minus_swapped: scale -> paired difference.
        empty: own outputs without any reasoning.
    """

    system: str
    protocol: dict[str, Any]
    own: dict[str, Estimate]
    swapped: dict[str, Estimate]
    own_minus_swapped: dict[str, Estimate]
    empty: int

    def markdown(self) -> str:
        scans = self.own[SCALES[0]].clusters
        rows = [
            [scale, _points(self.own[scale]), _points(self.swapped[scale]), _points(self.own_minus_swapped[scale], "+")]
            for scale in SCALES
        ]
        reports = self.protocol["with_report"]
        return "\n\n".join(
            (
                f"# Reasoning: {self.system}",
                f"Judged by {self.protocol['judge']} from 0 to {SCALE_BEST}: {self.protocol['items']:,} questions on "
                f"{scans:,} scans, {reports:,} with the radiologist's report; {self.empty:,} without any reasoning. "
                "Means with 95 % intervals over scans. Swapped: what was written on another patient's scan.",
                table(["", "own scan", "swapped scan", "own - swapped"], rows),
                f"Protocol {self.protocol['hash'][:16]} of {self.protocol['result'][:16]}.",
            )
        )

    def save(self, folder: str | Path) -> list[Path]:
        """Write reasoning.json and reasoning.md."""
        whole = {"benchmark": "reasoning", "version": VERSION, **plain(asdict(self))}
        texts = {"reasoning.json": json.dumps(whole, indent=2) + "\n", "reasoning.md": self.markdown() + "\n"}
        return write_files(folder, texts)


def judge_reasoning(
    result: MmvqaResult,
    judge: ReasoningJudge,
    *,
    reports: Mapping[str, str | None] | None = None,
    items: int | None = None,
) -> JudgedReasoning:
    """Let a judge read the reasonings of a result.

    Args:
        result: measured with reasoning.
        judge: keeps what it has answered, if it was given a cache: a stopped run goes on.
        reports: volume -> the radiologist's report, for the judge to read; without it judges go by the right answer.
        items: judge so many of the questions, the same ones in any result on them.

    Raises:
        ValueError: the result was measured without reasoning, or `items` is not positive.
        ChatError: as of the judge; with `ConsentError` nothing was sent.
    """
    if True not in result.protocol["think"]:
        raise ValueError(f"the result of {system_of(result)} was measured without reasoning: there is nothing to judge")
    if items is not None and items < 1:
        raise ValueError(f"the number of questions to judge is 1 or more; got {items}")
    by_key = {(record["item"], record["condition"]): record for record in result.records if record["think"]}
    chosen = sorted(item for item, condition in by_key if condition == OWN)[:items]  # ids are hashes: a random choice
    own, swapped = ([by_key[item, condition] for item in chosen] for condition in (OWN, SWAPPED))
    reports = reports or {}
    scores = judge([_case(record, reports) for record in (*own, *swapped)])
    with_own, with_swapped = scores[: len(own)], scores[len(own) :]
    scans = [record["volume"] for record in own]
    options = {"seed": result.protocol["seed"], "resamples": result.protocol["resamples"]}
    protocol = {
        "judge": judge.name,
        "result": result.protocol["hash"],
        "items": len(own),
        "items_sha256": content_hash(chosen),
        "with_report": sum(bool(reports.get(scan)) for scan in scans),
        **options,
    }
    return JudgedReasoning(
        system=system_of(result),
        protocol={**protocol, "hash": content_hash([protocol]), "versions": library_versions()},
        own=mean_scales(with_own, scans, **options),
        swapped=mean_scales(with_swapped, scans, **options),
        own_minus_swapped={
            scale: paired_bootstrap(_on(scale, with_own), _on(scale, with_swapped), scans, **options)
            for scale in SCALES
        },
        empty=sum(not _reasoning(record) for record in own),
    )


def _case(record: Record, reports: Mapping[str, str | None]) -> dict[str, Any]:
    return {
        "question": record["question"],
        "options": record["options"],
        "answer": record["options"][LETTERS.index(record["answer"])],
        "reasoning": _reasoning(record),
        "report": reports.get(record["volume"]),
    }


def _reasoning(record: Record) -> str:
    return parse_answer(record["text"], record["options"]).reasoning


def _on(scale: str, scores: Sequence[ReasoningScores]) -> list[int]:
    return [one.on(scale) for one in scores]


def _points(estimate: Estimate, sign: str = "") -> str:
    return f"{estimate.value:{sign}.2f} [{estimate.low:{sign}.2f}, {estimate.high:{sign}.2f}]"


__all__ = ["VERSION", "JudgedReasoning", "judge_reasoning"]
