"""What the parts of S1 are worth: RAM, ARW, and a decoder that stays as it is.

For every seed, S1 is trained again without RAM, without ARW, and with LoRA on the decoder, from the same vision tower,
decoder and encoded scans. Each answers questions with reasoning and writes reports, and is compared with S1 question by
question and exam by exam. What comes out is reported, also where it shows nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..evaluation.comparison import compare
from ..evaluation.mmvqa import MmvqaResult
from ..evaluation.mmvqa_numbers import OWN, SWAPPED, Record
from ..evaluation.report import ReportResult
from ..evaluation.report_findings import compare_findings, findings_of
from ..evaluation.tables import percent, points, share, table
from .chain import FULL, REPORTS, Chain, Size
from .numbers import pooled
from .stages import Stage, run_stages
from .study import SEEDS

S1 = "s1"


@dataclass(frozen=True)
class Ablation:
    """S1 with one thing changed.

    Attributes:
        name: of its stage.
        title: in words.
        recipe: in place of S1's.
        bridge: options of `init`, where the model that it starts from is another than S1's.
    """

    name: str
    title: str
    recipe: str
    bridge: tuple[str, ...] = ()

    def stages(self, chain: Chain) -> list[Stage]:
        """Train it."""
        if not self.bridge:
            return [chain.sft(self.name, "start", recipe=self.recipe)]
        start = self.name.replace(S1, "start", 1)
        return [chain.start(start, *self.bridge), chain.sft(self.name, start, recipe=self.recipe)]


ABLATIONS = (
    Ablation("s1-no-ram", "without RAM", "ablations/tiny-sft-no-ram.yaml", ("--no-residual-alignment",)),
    Ablation("s1-no-arw", "without ARW", "ablations/tiny-sft-no-arw.yaml"),
    Ablation("s1-lora", "with LoRA on the decoder", "ablations/tiny-sft-lora.yaml"),
)
"""Rows of the paper's tables 2 and 3."""


def chain_with_ablations(chain: Chain) -> list[Stage]:
    """A chain as far as S1, its ablations, and the evaluation of all of them. S1 is evaluated as in the whole chain."""
    return [
        *chain.until_s1(),
        *(stage for ablation in ABLATIONS for stage in ablation.stages(chain)),
        chain.evaluation(S1),
        *(chain.evaluation(ablation.name, think="yes") for ablation in ABLATIONS),
        *(chain.reports(name) for name in (S1, *(ablation.name for ablation in ABLATIONS))),
    ]


def run_ablations(folder: Path, seeds: Sequence[int] = SEEDS, size: Size = FULL, cores: int = 2) -> str:
    """Run, or take up again, S1 and its ablations for all seeds. In the folder of a study its S1 are taken.

    Returns:
        the tables, Markdown.
    """
    chains = [Chain(folder / f"seed-{seed}", seed, size, cores) for seed in seeds]
    for chain in chains:
        run_stages(chain_with_ablations(chain), chain.folder, cores)
    return ablations_markdown(chains)


def ablations_markdown(chains: Sequence[Chain]) -> str:
    """All seeds together, then each by itself."""
    parts = [
        "S1 with one thing changed. Own scan: balanced questions, answered with reasoning, accuracy in %. Recall, F1 "
        "and CRG: the abnormalities that reports affirm, against the labels. Own - swapped: what the scan itself adds. "
        "Differences are paired and in points; 95 % intervals, over scans and over exams.",
    ]
    if len(chains) > 1:
        parts += [f"**All {len(chains)} seeds together**", _table(chains)]
    for chain in chains:
        parts += [f"**Seed {chain.seed}**", _table([chain])]
    return "\n\n".join(parts)


@dataclass(frozen=True)
class Measured:
    """One model of each seed, as it was measured.

    Attributes:
        questions: MMVQA.
        own, swapped: records of its reports, with the own scan and with another patient's.
        draws: seed and resamples of their intervals.
    """

    questions: MmvqaResult
    own: list[Record]
    swapped: list[Record]
    draws: dict[str, int]

    @classmethod
    def of(cls, chains: Sequence[Chain], name: str) -> Measured:
        questions = [MmvqaResult.load(chain.result(name)) for chain in chains]
        reports = [ReportResult.load(chain.result(name, REPORTS)) for chain in chains]
        own, swapped = (
            [record for result in reports for record in result.of(condition)] for condition in (OWN, SWAPPED)
        )
        draws = {key: reports[0].protocol[key] for key in ("seed", "resamples")}
        return cls(pooled(questions), own, swapped, draws)


def _table(chains: Sequence[Chain]) -> str:
    full = Measured.of(chains, S1)
    rows = [_row("S1", full)]
    for ablation in ABLATIONS:
        other = Measured.of(chains, ablation.name)
        rows += [_row(ablation.title, other), _difference_row(ablation.title, full, other)]
    header = ["", "own scan", "own - swapped", "recall", "recall, own - swapped", "F1", "CRG"]
    counted = full.questions[True].own
    note = f"{counted.items:,} questions on {counted.volumes:,} scans; {len(full.own):,} reports."
    return f"{table(header, rows)}\n\n{note}"


def _row(title: str, measured: Measured) -> list[str]:
    numbers, findings = measured.questions[True], findings_of(measured.own, **measured.draws)
    return [
        title,
        percent(numbers.own),
        points(numbers.own_minus_swapped),
        share(findings.recall),
        points(compare_findings(measured.swapped, measured.own, **measured.draws).recall),
        share(findings.f1),
        share(findings.crg),
    ]


def _difference_row(title: str, full: Measured, other: Measured) -> list[str]:
    questions = compare(full.questions, other.questions)
    findings = compare_findings(full.own, other.own, **full.draws)
    return [
        f"{title}, minus S1",
        points(questions.own),
        points(questions.own_minus_swapped),
        points(findings.recall),
        "",
        points(findings.f1),
        points(findings.crg),
    ]


__all__ = ["ABLATIONS", "Ablation", "ablations_markdown", "chain_with_ablations", "run_ablations"]
