"""The paper's scorer: a reward model, by the protocol of RM-Mistral-7B (hub id weqweasdas/RM-Mistral-7B).

A reward model was trained to say which of two answers to a question people prefer. Here the question carries the
radiology report and the answer is the reasoning, so that it can see what the reasoning should agree with. The protocol:
the model's own chat template, the text of the beginning-of-sequence token taken out of it because the tokenizer puts
one there itself, and the raw logit without a sigmoid.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from ..quantization import quantization_config
from .text_encoder import default_device

QUESTION = (
    "A radiologist wrote this report of a chest CT:\n\n{report}\n\nSay what the scan shows, and nothing that disagrees "
    "with the report."
)
"""Ours; the paper does not give its own."""


class RewardModelScorer:
    """The logit of a sequence classifier with one output, of any range.

    Args:
        model: folder or Hub id.
        question: what the reasoning answers, with `{report}` in it.
        device: default: the accelerator of this process, or the processor. Not for quantised weights, which go there
            by themselves.
        dtype: of the weights.
        bits: 8 or 4 to load quantised weights, which needs bitsandbytes; the head stays whole.
        batch_size: pairs at a time.

    Raises:
        ValueError: the model has several outputs, or its tokenizer has no chat template.
    """

    bounded = False

    def __init__(
        self,
        model: str = "weqweasdas/RM-Mistral-7B",
        *,
        question: str = QUESTION,
        device: str | torch.device | None = None,
        dtype: torch.dtype = torch.bfloat16,
        bits: int | None = None,
        batch_size: int = 8,
    ):
        device = torch.device(device or default_device())
        if bits is None:
            loading = {}
        else:
            settings = quantization_config(bits, compute_dtype=dtype)
            settings.llm_int8_skip_modules = [*settings.llm_int8_skip_modules, "score", "classifier"]
            loading = {"quantization_config": settings, "device_map": {"": device}}
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.model = AutoModelForSequenceClassification.from_pretrained(model, dtype=dtype, **loading).eval()
        if bits is None:
            self.model.to(device)
        self.question = question
        self.batch_size = batch_size
        if self.model.config.num_labels != 1:
            raise ValueError(f"a reward model has one output; {model} has {self.model.config.num_labels}")
        if not self.tokenizer.chat_template:
            raise ValueError(f"the tokenizer of {model} has no chat template, by which a reward model reads")

    def __call__(self, reasonings: Sequence[str], reports: Sequence[str]) -> list[float]:
        """One logit for each pair."""
        texts = [self.text_of(*pair) for pair in zip(reasonings, reports, strict=True)]
        ids = self.tokenizer(texts)["input_ids"] if texts else []
        order = sorted(range(len(ids)), key=lambda index: len(ids[index]))  # alike lengths: little padding
        scores = [0.0] * len(ids)
        for start in range(0, len(order), self.batch_size):
            chosen = order[start : start + self.batch_size]
            for index, score in zip(chosen, self._logits([ids[index] for index in chosen]), strict=True):
                scores[index] = score
        return scores

    def text_of(self, reasoning: str, report: str) -> str:
        """A pair as the model reads it. Special tokens that a text contains are taken out: they could end the turn and
        open another, in which a policy praises itself."""
        for token in self.tokenizer.all_special_tokens:
            reasoning, report = reasoning.replace(token, " "), report.replace(token, " ")
        chat = [
            {"role": "user", "content": self.question.format(report=report)},
            {"role": "assistant", "content": reasoning},
        ]
        text = self.tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=False)
        return text.replace(self.tokenizer.bos_token, "") if self.tokenizer.bos_token else text

    @torch.inference_mode()
    def _logits(self, batch: Sequence[Sequence[int]]) -> list[float]:
        """Logits of texts padded on the right.

        A decoder's classifier looks at the last token that is not padding. Many reward models have no padding token, or
        pad with the token that ends their texts; so any token pads that no text of the batch ends with.
        """
        padding = next(token for token in range(len(batch) + 1) if token not in {ids[-1] for ids in batch})
        self.model.config.get_text_config().pad_token_id = padding
        longest = max(map(len, batch))
        inputs = torch.tensor([[*ids, *[padding] * (longest - len(ids))] for ids in batch], device=self.model.device)
        lengths = torch.tensor([len(ids) for ids in batch], device=self.model.device)
        mask = torch.arange(longest, device=self.model.device) < lengths[:, None]
        return self.model(input_ids=inputs, attention_mask=mask.long()).logits[:, 0].float().tolist()


__all__ = ["QUESTION", "RewardModelScorer"]
