"""Which option a text is most like: what the paper (4.3) falls back to where an output names none.

The words of the text and of each option become vectors, and the option with the largest cosine is taken. Without any
model the vectors are TF-IDF: words that stand in many options ("calcification") weigh less than those that stand in
one. A text that shares no word with any option, or as much with two, stays without an answer: a choice among equals
would be made up.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

import numpy as np

from ..answers_med3d_r1 import LETTERS

_TIE = 1e-9


class Similarity(Protocol):
    """Says how alike texts are."""

    name: str

    def cosines(self, text: str, options: Sequence[str]) -> np.ndarray:
        """(options,), each from -1 to 1."""


def nearest_option(text: str, options: Sequence[str], similarity: Similarity) -> str | None:
    """The letter of the option that is most like the text, or None where none stands out."""
    cosines = similarity.cosines(text, options)
    first, second = np.sort(cosines)[::-1][:2]
    return LETTERS[int(cosines.argmax())] if first > 0 and first - second > _TIE else None


class WordSimilarity:
    """TF-IDF over words.

    Args:
        texts: the options that there are, each once: they say how rare a word is.

    >>> likeness = WordSimilarity(["Pleural effusion", "Pericardial effusion", "Emphysema"])
    >>> nearest_option("fluid: an effusion, pleural", ["Pericardial effusion", "Pleural effusion"], likeness)
    'B'
    """

    name = "tf-idf"

    def __init__(self, texts: Iterable[str]):
        texts = set(texts)
        frequency = Counter(word for text in texts for word in set(_words(text)))
        self._rarity = {word: math.log((1 + len(texts)) / (1 + count)) + 1 for word, count in frequency.items()}
        self._unseen = math.log(1 + len(texts)) + 1

    def cosines(self, text: str, options: Sequence[str]) -> np.ndarray:
        said, norm = self._vector(text)
        cosines = []
        for option in options:
            offered, length = self._vector(option)
            shared = sum(weight * said.get(word, 0.0) for word, weight in offered.items())
            cosines.append(shared / (norm * length) if norm and length else 0.0)
        return np.array(cosines)

    def _vector(self, text: str) -> tuple[dict[str, float], float]:
        weights = {w: count * self._rarity.get(w, self._unseen) for w, count in Counter(_words(text)).items()}
        return weights, math.sqrt(sum(weight**2 for weight in weights.values()))


def _words(text: str) -> list[str]:
    """Lower case, without a plural's ending."""
    return [re.sub(r"(?<=[a-rt-z])s$", "", word) for word in re.findall(r"[a-z0-9]+", text.lower())]


class EncoderSimilarity:
    """The mean of a text encoder's last hidden states.

    Args:
        folder: folder or Hub id of an encoder with its tokenizer (BERT and its kin, sentence encoders).
    """

    def __init__(self, folder: str, device: str = "cpu"):
        from transformers import AutoModel, AutoTokenizer

        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
            self._model = AutoModel.from_pretrained(folder).to(device).eval()
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder}: no text encoder with a tokenizer that can be loaded. {error}") from error
        self.name = f"encoder {folder}"

    def cosines(self, text: str, options: Sequence[str]) -> np.ndarray:
        vectors = self._vectors([text, *options])
        return (vectors[1:] @ vectors[0]).cpu().numpy()

    def _vectors(self, texts: list[str]) -> Any:
        """(texts, width), of length 1."""
        import torch

        limit = min(self._tokenizer.model_max_length, 512)
        batch = self._tokenizer(
            texts, padding=True, padding_side="right", truncation=True, max_length=limit, return_tensors="pt"
        )
        batch = batch.to(self._model.device)
        with torch.inference_mode():
            states = self._model(**batch).last_hidden_state.float()
        mask = batch["attention_mask"][..., None]
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1), dim=-1)


__all__ = ["EncoderSimilarity", "Similarity", "WordSimilarity", "nearest_option"]
