"""Normal or abnormal, asked of a language model as in the paper (arXiv 2602.01200, which used DeepSeek-V3).

Any server with OpenAI's chat interface will do; Hugging Face's client (`huggingface_hub.InferenceClient`) speaks to it.
The sentences leave this machine and their labels cost money: nothing is sent unless the caller confirms it. What was
answered is kept (`sentence_cache`), so that a run goes on where it stopped. Report text is never logged, and no error
repeats what a server said, which could be the text again.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from .chat import ChatClient, ConsentError, NonsenseError, Usage, read_object
from .chat import ChatError as LabellerError
from .sentence_cache import LabelCache, cache_key

PROMPT_VERSION = "1"
"""Part of the cache's keys: another prompt, another version."""

PROMPT = """\
You label sentences of chest CT reports. For each sentence decide between two words:
"abnormal": it reports a finding in this patient, however small, old, stable or uncertain. Nodules, scars,
calcifications, degenerative changes, anatomical variants, devices, catheters and marks of surgery count. So does a
sentence that names a finding together with something normal.
"normal": everything in it is normal, absent, denied or resolved, or it only says how the scan was made.
You get a JSON object {"1": "sentence", "2": "sentence", ...}. Answer with nothing but a JSON object that has the same
keys, each with one of the two words: {"1": "normal", "2": "abnormal", ...}."""

_LABELS = {"normal", "abnormal"}


@dataclass(frozen=True)
class Estimate:
    """What a call will send.

    Attributes:
        sentences: distinct sentences to send; `cached` others are answered already.
        requests: how many requests that makes when each succeeds at once.
        input_tokens, output_tokens: guesses, at four characters a token.
        cost: of these tokens, in the currency of the prices; None where no price was given.
        model, address: who will get the text.
    """

    sentences: int
    cached: int
    requests: int
    input_tokens: int
    output_tokens: int
    cost: float | None
    model: str
    address: str

    def __str__(self) -> str:
        cost = "an unknown cost (no prices given)" if self.cost is None else f"a cost of about {self.cost:.2f}"
        return (
            f"{self.sentences} report sentences to {self.model} at {self.address} in {self.requests} requests, "
            f"about {self.input_tokens} + {self.output_tokens} tokens, {cost}; {self.cached} are answered already"
        )


class LLMLabeller:
    """Labels sentences with a language model. Call it with a list of sentences.

    Args:
        model: name of the model, as the server knows it.
        base_url: address of a server with OpenAI's interface, up to `/v1`; None for Hugging Face's inference providers.
        api_key: key for that server. For `base_url=None` the Hugging Face token that is logged in; a `base_url` never
            gets that token unless it is given here.
        confirm: True, or a function that is shown the `Estimate` and says whether to go on. Otherwise nothing is sent.
        cache: parquet file for the answers; None keeps them in this object only.
        batch_size: sentences in a request. Where the answers to a batch are of no use, its halves are asked.
        concurrency: requests at a time.
        timeout: seconds that a server may be silent.
        retries: how often a request is sent again after a passing failure (time-out, 429, 5xx, nonsense).
        backoff: seconds before the first of these, doubled each time up to `longest_wait`. A server's Retry-After
            goes before, up to `longest_wait` too.
        input_price, output_price: per million tokens, for the cost shown.
        progress: show a bar with tokens and cost.
    """

    def __init__(
        self,
        model: str = "deepseek-ai/DeepSeek-V3",
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        confirm: bool | Callable[[Estimate], bool] = False,
        cache: str | os.PathLike[str] | None = None,
        batch_size: int = 32,
        concurrency: int = 4,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 1.0,
        longest_wait: float = 120.0,
        input_price: float | None = None,
        output_price: float | None = None,
        progress: bool = True,
    ):
        if batch_size < 1 or concurrency < 1:
            raise ValueError(f"batch_size {batch_size} and concurrency {concurrency} must be > 0")
        self.model = model
        self.confirm = confirm
        self.cache = LabelCache(cache)
        self.batch_size = batch_size
        self.concurrency = concurrency
        self.prices = None if input_price is None or output_price is None else (input_price, output_price)
        self.progress = progress
        self._chat = ChatClient(
            model,
            base_url=base_url,
            api_key=api_key,
            timeout=timeout,
            retries=retries,
            backoff=backoff,
            longest_wait=longest_wait,
        )
        self._stopped = self._chat.stopped
        self._recording = threading.Lock()

    @property
    def usage(self) -> Usage:
        return self._chat.usage

    def __call__(self, sentences: Sequence[str]) -> list[str]:
        """ "normal" or "abnormal" for each sentence.

        Raises:
            ConsentError: `confirm` did not say yes.
            LabellerError: the server refused, or the retries were used up. What was answered until then is kept.
        """
        keys = [self._key(sentence) for sentence in sentences]
        missing = self._missing(sentences, keys)
        if missing:
            self._ask_for_consent(self.estimate(sentences))
            with self.cache:
                self._label_all(self._missing(sentences, keys))  # another run may have added some meanwhile
        return [self.cache.get(key) for key in keys]

    def estimate(self, sentences: Sequence[str]) -> Estimate:
        """What calling with these sentences would send. Sends nothing."""
        missing = list(self._missing(sentences, [self._key(sentence) for sentence in sentences]).values())
        requests = -(-len(missing) // self.batch_size)
        input_tokens = (len(PROMPT) * requests + sum(len(sentence) + 10 for sentence in missing)) // 4
        output_tokens = 6 * len(missing)
        return Estimate(
            sentences=len(missing),
            cached=len(set(sentences)) - len(missing),
            requests=requests,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
            cost=self._cost(input_tokens, output_tokens),
            model=self.model,
            address=self._chat.address,
        )

    def _key(self, sentence: str) -> str:
        return cache_key(sentence, self.model, PROMPT_VERSION)

    def _missing(self, sentences: Sequence[str], keys: Sequence[str]) -> dict[str, str]:
        return {key: text for key, text in zip(keys, sentences, strict=True) if self.cache.get(key) is None}

    def _cost(self, input_tokens: int, output_tokens: int) -> float | None:
        if self.prices is None:
            return None
        return (input_tokens * self.prices[0] + output_tokens * self.prices[1]) / 1e6

    def _ask_for_consent(self, estimate: Estimate) -> None:
        confirmed = self.confirm(estimate) if callable(self.confirm) else self.confirm
        if confirmed is not True:
            raise ConsentError(
                f"nothing was sent. To send {estimate}, pass confirm=True, or a function that is shown this and "
                "returns True"
            )

    def _label_all(self, missing: dict[str, str]) -> None:
        """Ask for everything that is missing, a few requests at a time, and keep each answer as it comes."""
        from tqdm import tqdm

        self._stopped.clear()
        items = list(missing.items())
        batches = [items[start : start + self.batch_size] for start in range(0, len(items), self.batch_size)]
        with (
            tqdm(total=len(missing), unit="sentence", disable=not self.progress) as bar,
            ThreadPoolExecutor(self.concurrency) as pool,
        ):
            pending = set()
            try:
                for batch in batches:
                    pending.add(pool.submit(self._label_batch, batch, bar))
                    if len(pending) == self.concurrency:
                        pending = _await_one(pending)
                while pending:
                    pending = _await_one(pending)
            finally:
                self._stopped.set()  # those that wait to try again do not

    def _label_batch(self, batch: Sequence[tuple[str, str]], bar: Any) -> None:
        """Ask until the answer is of use, then keep it. A batch that confuses the model twice is asked in halves."""
        numbered = {str(number): sentence for number, (_, sentence) in enumerate(batch, start=1)}
        try:
            labels = self._chat.ask(
                [
                    {"role": "system", "content": PROMPT},
                    {"role": "user", "content": json.dumps(numbered, ensure_ascii=False)},
                ],
                lambda words: _read_answer(words, list(numbered)),
                max_tokens=64 + 16 * len(batch),
                most_nonsense=2 if len(batch) > 1 else None,
            )
        except NonsenseError:
            middle = len(batch) // 2
            self._label_batch(batch[:middle], bar)
            self._label_batch(batch[middle:], bar)
        else:
            self._keep(batch, labels, bar)

    def _keep(self, batch: Sequence[tuple[str, str]], labels: Sequence[str], bar: Any) -> None:
        with self._recording:
            self.cache.add(
                [(key, label, self.model, PROMPT_VERSION) for (key, _), label in zip(batch, labels, strict=True)]
            )
            spent = self._cost(self.usage.input_tokens, self.usage.output_tokens)
            tokens = self.usage.input_tokens + self.usage.output_tokens
            bar.set_postfix(tokens=tokens, **({} if spent is None else {"cost": f"{spent:.3f}"}))
            bar.update(len(batch))


def _read_answer(words: str, numbers: list[str]) -> list[str]:
    """The labels in the model's words, which must be a JSON object with exactly these keys and the two labels."""
    answer = read_object(words)
    if sorted(answer) != sorted(numbers):
        raise NonsenseError(f"an answer with {len(answer)} labels for {len(numbers)} sentences, or under other numbers")
    if not all(isinstance(label, str) and label in _LABELS for label in answer.values()):
        raise NonsenseError('an answer with other words than "normal" and "abnormal"')
    return [answer[number] for number in numbers]


def _await_one(pending: set[Any]) -> set[Any]:
    """What is left when at least one is done. Raises what that one raised."""
    done, left = wait(pending, return_when=FIRST_COMPLETED)
    for future in done:
        future.result()
    return left


__all__ = ["PROMPT", "PROMPT_VERSION", "ConsentError", "Estimate", "LLMLabeller", "LabellerError", "Usage"]
