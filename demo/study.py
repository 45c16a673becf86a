"""The chain for several seeds: one table that says what was reached and what not.

For every seed, S2 is trained once more from the same S1 without the consistency reward, to see what that reward does.
Seeds run one after the other, the stages of each side by side as far as the cores go. What is there is not made again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..evaluation.comparison import Comparison, compare
from ..evaluation.mmvqa import MmvqaResult
from ..evaluation.tables import percent, points, share, table
from .chain import FULL, Chain, Size
from .numbers import ChainNumbers, numbers_of, pooled
from .stages import Stage, run_stages

WITHOUT_CONSISTENCY = "s2-without-consistency"
SEEDS = (401, 402, 403)
"""Nothing was tuned on patients of these seeds."""


@dataclass(frozen=True)
class Bar:
    """One row of the table: what must be shown by every seed.

    Attributes:
        quantity: in words.
        bar: in words.
        value: how it is written.
        reached: whether a seed reaches it.
    """

    quantity: str
    bar: str
    value: Callable[[ChainNumbers], str]
    reached: Callable[[ChainNumbers], bool]


def _near_chance(numbers: ChainNumbers) -> bool:
    accuracies = (numbers.s2.prior, numbers.s1.swapped, numbers.s2.swapped)
    return all(abs(score.accuracy - 0.25) <= 0.05 for score in accuracies)


BARS = (
    Bar("language model reading text", ".95", lambda n: f"{n.reading:.3f}", lambda n: n.reading >= 0.95),
    Bar("CLIP, mean AUROC", ".87", lambda n: f"{n.auroc:.3f}", lambda n: n.auroc >= 0.87),
    Bar(
        "options-only prior; swapped scans, S1 and S2",
        ".25 +- .05",
        lambda n: f"{percent(n.s2.prior)}; {percent(n.s1.swapped)}, {percent(n.s2.swapped)}",
        _near_chance,
    ),
    Bar(
        "S1 with think, own scan; minus swapped",
        ".38; .12",
        lambda n: f"{percent(n.s1.own)}; {points(n.s1.own_minus_swapped)}",
        lambda n: n.s1.own.accuracy >= 0.38 and n.s1.own_minus_swapped.value >= 0.12,
    ),
    Bar(
        "S2 with think, own scan; minus swapped",
        ".60; .30",
        lambda n: f"{percent(n.s2.own)}; {points(n.s2.own_minus_swapped)}",
        lambda n: n.s2.own.accuracy >= 0.60 and n.s2.own_minus_swapped.value >= 0.30,
    ),
    Bar("S2 - S1, paired", "interval above 0", lambda n: points(n.gain.own), lambda n: n.gain.own.low > 0),
    Bar("format of S2", ".97", lambda n: f"{_format(n):.3f}", lambda n: _format(n) >= 0.97),
)
"""The bars of the table, each to be reached by every seed."""


def _format(numbers: ChainNumbers) -> float:
    return 1 - numbers.s2.invalid / numbers.s2.own.items


def chain_with_control(chain: Chain) -> list[Stage]:
    """A chain, and S2 once more without the consistency reward."""
    without = chain.grpo(WITHOUT_CONSISTENCY, "s1", recipe="ablations/tiny-grpo-without-consistency.yaml")
    return [*chain.stages(), without, chain.evaluation(WITHOUT_CONSISTENCY)]


def run_study(folder: Path, seeds: Sequence[int] = SEEDS, size: Size = FULL, cores: int = 2) -> str:
    """Run, or take up again, the chains of all seeds.

    Returns:
        the table, Markdown.
    """
    chains = [Chain(folder / f"seed-{seed}", seed, size, cores) for seed in seeds]
    for chain in chains:
        run_stages(chain_with_control(chain), chain.folder, cores)
    return study_markdown(chains)


def study_markdown(chains: Sequence[Chain]) -> str:
    """The table of bars, seed by seed, then the comparison with and without the consistency reward over all of them."""
    every = [numbers_of(chain) for chain in chains]
    header = ["", "bar", *(f"seed {numbers.seed}" for numbers in every), "reached"]
    rows = [
        [
            bar.quantity,
            bar.bar,
            *(bar.value(numbers) for numbers in every),
            f"{sum(map(bar.reached, every))} of {len(every)}",
        ]
        for bar in BARS
    ]
    mean_gain = sum(numbers.gain.own.value for numbers in every) / len(every)
    beside = [
        ["S1, think, random distractors (the paper's)", *(percent(numbers.s1_paper.own) for numbers in every)],
        ["S2, think, random distractors", *(percent(numbers.s2_paper.own) for numbers in every)],
        ["their options-only prior", *(percent(numbers.s2_paper.prior) for numbers in every)],
        ["S1 without think", *(percent(numbers.s1_direct.own) for numbers in every)],
        ["S2 without think", *(percent(numbers.s2_direct.own) for numbers in every)],
        ["think against report, F1: S1", *(share(numbers.s1.agreement.f1) for numbers in every)],
        ["think against report, F1: S2", *(share(numbers.s2.agreement.f1) for numbers in every)],
    ]
    return "\n\n".join(
        [
            table(header, rows),
            f"Mean of S2 - S1 over the seeds: {100 * mean_gain:+.1f} points (goal +20). Accuracies in %, with 95 % "
            f"intervals over scans; for each seed {_questions(every)}.",
            table(["", *(f"seed {numbers.seed}" for numbers in every)], beside),
            _consistency(chains),
        ]
    )


def _questions(every: Sequence[ChainNumbers]) -> str:
    scans = sorted(numbers.s2.own.volumes for numbers in every)
    return f"{every[0].s2.own.items:,} balanced questions on {scans[0]:,} to {scans[-1]:,} scans"


def _consistency(chains: Sequence[Chain]) -> str:
    without, with_it = (
        pooled([MmvqaResult.load(chain.result(name)) for chain in chains]) for name in (WITHOUT_CONSISTENCY, "s2")
    )
    difference: Comparison = compare(without, with_it)
    rows = [
        [
            name,
            percent(result[True].own),
            share(result[True].agreement.f1),
            share(result[True].agreement.precision),
            f"{result[True].agreement.affirmed:.2f}",
        ]
        for name, result in (("S2 without the consistency reward", without), ("S2 with it", with_it))
    ]
    rows.append(["with minus without, paired", points(difference.own), points(difference.f1), "", ""])
    header = ["all seeds together", "own scan", "think against report, F1", "precision", "findings affirmed"]
    return table(header, rows)


__all__ = ["BARS", "SEEDS", "WITHOUT_CONSISTENCY", "chain_with_control", "run_study", "study_markdown"]
