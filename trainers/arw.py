"""Abnormality re-weighting: how much each token of a report counts (paper eq. 4-5).

    a_t = lambda    a token that touches a character of a sentence that says something abnormal
          1         any other token that the assistant says in the completion, its end of turn included
          0         the prompt, later questions of a conversation, padding

Spans are in characters, tokens may straddle their ends: one character is enough. That is the wider of the two readings,
and differs from the narrower one by at most a token at each end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

IGNORED = -100
"""The label of a token that carries no loss."""


def touches(start: int, end: int, spans: Sequence[Sequence[int]]) -> bool:
    """Whether characters [start, end) have one in common with any span.

    >>> touches(3, 5, [[0, 3]]), touches(3, 5, [[4, 9]])
    (False, True)
    """
    return any(start < last and first < end for first, last in spans)


@dataclass
class ARWCollator(DataCollatorForVisionLanguageModeling):
    """TRL's collator, and `token_weights` (B, T): a_t of the token at each position, on the ids that are trained on.

    Examples hold `images`, `prompt`, `completion` and, where a part of the completion counts more, `abnormal_spans`. A
    completion of several messages is a conversation that goes on; what the user says in it is not learnt.

    Args:
        abnormal_weight: lambda.
    """

    abnormal_weight: float = 1.10

    def torch_call(self, examples: list[dict[str, Any]]) -> dict[str, Any]:
        """
        Raises:
            ValueError: a row has no scan, spans lie outside of the text, or nothing of the completion is left behind a
                prompt as long as `max_length`.
        """
        if any(not example["images"] for example in examples):
            raise ValueError("a row has no scan in `images`, and would train the decoder on text alone: leave it out")
        rows = [dict(example) for example in examples]  # TRL puts other things into its examples
        batch = super().torch_call(examples)
        labels = batch["labels"]
        if not bool((labels != IGNORED).any(1).all()):
            raise ValueError(
                f"max_length {self.max_length} cuts a prompt: its volume's tokens may be lost, and nothing is left to "
                "learn. Raise max_length, or set it to null"
            )
        batch["token_weights"] = torch.zeros(labels.shape)
        for row, of_row, weights in zip(rows, labels, batch["token_weights"], strict=True):
            places = (of_row != IGNORED).nonzero()[:, 0]
            if len(row["completion"]) > 1:
                places, questions = self._said(row, of_row, places)
                of_row[questions] = IGNORED
            weights[places] = 1.0
            if row.get("abnormal_spans"):
                text = completion_text(row["completion"])
                weights[places[self._abnormal(of_row[places], text, row["abnormal_spans"])]] = self.abnormal_weight
        return batch

    def _said(
        self, row: dict[str, Any], labels: torch.Tensor, places: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The places of a conversation's tokens that the assistant says, and of all others; by the chat template's own
        marks (`{% generation %}`)."""
        ids = labels[places].tolist()
        render = partial(
            self.processor.tokenizer.apply_chat_template,
            chat_template=self.processor.chat_template,
            return_dict=True,
            return_assistant_tokens_mask=True,
        )
        start = len(render(row["prompt"], add_generation_prompt=True)["input_ids"])
        whole = render([*row["prompt"], *row["completion"]])
        if whole["input_ids"][start : start + len(ids)] != ids:
            raise ValueError(
                "a completion of several messages does not continue its prompt token by token: the chat template "
                "writes it in another way, and the assistant's words cannot be told from the questions between them"
            )
        said = torch.tensor(whole["assistant_masks"][start : start + len(ids)], dtype=torch.bool)
        return places[said], places[~said]

    def _abnormal(self, ids: torch.Tensor, text: str, spans: Sequence[Sequence[int]]) -> torch.Tensor:
        """Which tokens of a completion touch a span. They are those of its text and what the template puts behind."""
        if not all(0 <= first < last <= len(text) for first, last in spans):
            raise ValueError(
                f"abnormal_spans are [start, end) in the characters of the completion, of which there are {len(text)}; "
                f"got {[list(span) for span in spans]}"
            )
        encoded = self.processor.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
        known = encoded["input_ids"][: len(ids)]  # max_length may have cut its end
        if known != ids[: len(known)].tolist():
            raise ValueError(
                "the completion's tokens do not begin with those of its text: the chat template changes the text, or "
                f"what it puts around it melts into its tokens. The spans of {text[:60]!r}... cannot be found again"
            )
        abnormal = torch.zeros(len(ids), dtype=torch.bool)
        abnormal[: len(known)] = torch.tensor([touches(*span, spans) for span in encoded["offset_mapping"][: len(ids)]])
        return abnormal


def completion_text(completion: Sequence[dict[str, Any]]) -> str:
    """What the one message of a completion says: the text that `abnormal_spans` count in.

    Raises:
        ValueError: there are several.
    """
    if len(completion) != 1:
        raise ValueError(f"abnormal_spans count in the text of one message, and the completion has {len(completion)}")
    content = completion[0]["content"]
    return content if isinstance(content, str) else "".join(block["text"] for block in content)


__all__ = ["IGNORED", "ARWCollator", "completion_text", "touches"]
