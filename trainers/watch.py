"""What is watched while GRPO trains, because rewards get hacked: a policy can earn more while it answers worse.

TRL logs each reward and their sum, `kl`, `entropy`, `completions/mean_length`, and the share of the groups that teach
nothing because all their completions earned the same (`frac_reward_zero_std`). Added here, at each step:

    completions/invalid           share without the layout that was asked for
    completions/no_letter         share whose answer names no option
    findings/affirmed             findings that a completion affirms, on average
    findings/affirmation_rate     share of the affirmed among the findings that are mentioned at all

and every few steps, on held-out questions answered greedily (`HeldOutAccuracy`):

    held_out/accuracy             with their own scans
    held_out/accuracy_swapped     with the scan of another question: what is known without looking
    held_out/invalid              share of the answers with their own scans that lack the layout

A reward that rises while the held-out accuracy stands still, or the accuracy with swapped scans follows it, is being
hacked; so is an affirmation rate that runs to one end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from transformers import TrainerCallback

from ..answers_med3d_r1 import parse_answer
from ..data.report_findings import findings_in

Row = Mapping[str, Any]
Answerer = Callable[[Sequence[Any], Sequence[Sequence[str]]], list[str]]
"""(prompts, images of each) -> texts, decoded greedily."""


def completion_shares(
    texts: Sequence[str], prompts: Sequence[Any], options: Sequence[Sequence[str] | None]
) -> dict[str, float]:
    """What the completions of one step are like, all options' names and layouts considered.

    Args:
        texts: the completions.
        prompts: messages; whether they ask for reasoning decides which layout is valid.
        options: of each question; None where there are none.

    >>> shares = completion_shares(["<answer>C</answer>"], ["Emphysema?"], [["Emphysema", "Nodule"]])
    >>> shares["completions/invalid"], shares["completions/no_letter"]
    (0.0, 1.0)
    """
    parsed = [
        parse_answer(text, of, asks_for_reasoning(prompt))
        for text, prompt, of in zip(texts, prompts, options, strict=True)
    ]
    counts = [_affirmed_and_mentioned(one.reasoning) for one in parsed]
    affirmed, mentioned = (sum(column) for column in zip(*counts, strict=True))
    shares = {
        "completions/invalid": sum(not one.valid for one in parsed) / len(parsed),
        "completions/no_letter": sum(one.letter is None for one in parsed) / len(parsed),
        "findings/affirmed": affirmed / len(parsed),
    }
    return shares | ({"findings/affirmation_rate": affirmed / mentioned} if mentioned else {})


@lru_cache(maxsize=4096)
def _affirmed_and_mentioned(text: str) -> tuple[int, int]:
    """Findings that a text affirms, and those it speaks of. Cached: late in training completions repeat."""
    statuses = findings_in(text).values()
    return sum(status == "present" for status in statuses), len(statuses)


def asks_for_reasoning(prompt: Any) -> bool:
    """Whether the messages, or the text, of a prompt speak of <think>."""
    return "<think>" in str(prompt)


class HeldOutAccuracy(TrainerCallback):
    """Every few steps, before the first and at the last, answers held-out questions with their own and with swapped
    scans, and hands the shares to the trainer's log. Greedy: the trainer's random numbers are not touched.

    Args:
        rows: with `images`, `prompt`, `options` and `answer`.
        answer: answers prompts greedily.
        log: takes a name and a value for the next log line.
        every: so many steps.
        items: at most so many of the rows, evenly spread.

    Raises:
        ValueError: a column is missing, or all questions are on the same scan.
    """

    def __init__(
        self, rows: Sequence[Row], answer: Answerer, log: Callable[[str, float], None], every: int, items: int
    ):
        stride = max(1, len(rows) / items)
        self.rows = [rows[int(place * stride)] for place in range(min(items, len(rows)))]
        for column in ("images", "prompt", "options", "answer"):
            if missing := sum(row.get(column) is None for row in self.rows):
                raise ValueError(
                    f"{missing} of {len(self.rows)} held-out rows have no {column!r}: their answers cannot be checked. "
                    "Give an eval_dataset made by mmvqa_rows, or held_out_every=0"
                )
        self.swapped = swapped_images([row["images"] for row in self.rows])
        self._answer, self._log, self.every = answer, log, every

    def on_train_begin(self, args, state, control, **kwargs):
        if state.global_step == 0:
            self._measure()

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._measure()

    def _measure(self) -> None:
        for suffix, images in (("", [row["images"] for row in self.rows]), ("_swapped", self.swapped)):
            texts = self._answer([row["prompt"] for row in self.rows], images)
            parsed = [
                parse_answer(text, row["options"], asks_for_reasoning(row["prompt"]))
                for text, row in zip(texts, self.rows, strict=True)
            ]
            right = [one.letter == row["answer"] for one, row in zip(parsed, self.rows, strict=True)]
            self._log(f"held_out/accuracy{suffix}", sum(right) / len(right))
            if not suffix:
                self._log("held_out/invalid", sum(not one.valid for one in parsed) / len(parsed))


def swapped_images(images: Sequence[Sequence[str]]) -> list[list[str]]:
    """For each question the images of another: those of the next scan, in the order of first appearance.

    Raises:
        ValueError: there is one scan only.

    >>> swapped_images([["a"], ["a"], ["b"], ["c"]])
    [['b'], ['b'], ['c'], ['a']]
    """
    scans = list(dict.fromkeys(map(tuple, images)))
    if len(scans) < 2:
        raise ValueError(f"scans cannot be swapped: all {len(images)} held-out questions are on the same one")
    following = dict(zip(scans, [*scans[1:], scans[0]], strict=True))
    return [list(following[tuple(one)]) for one in images]


__all__ = ["HeldOutAccuracy", "asks_for_reasoning", "completion_shares", "swapped_images"]
