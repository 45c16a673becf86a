"""A chat model that judges texts: each text is asked about once, also over several runs, and only with consent."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from .chat import ChatClient, ConsentError, Usage
from .sentence_cache import LabelCache, cache_key


class AskedOnce:
    """Texts leave this machine, so nothing is sent unless `confirm` is True. Answers are kept under hashes, without the
    texts; a server that fails for good raises, and what was answered until then is kept.

    Args:
        prompt: the system message; the text itself is the user's.
        version: of the prompt, a part of the cache's keys: another prompt, another version.
        read: words of the model -> the answer as it is kept; raises `NonsenseError` where they are of no use.
        what: what is sent, in words, for the question of consent.
        max_tokens: how long an answer may be.
        model, base_url: of the server, as for `ChatClient`.
        confirm: whether the texts may be sent there.
        cache: parquet file for the answers, of one process; None keeps them in this object only.
        concurrency: requests at a time.
        settings: `api_key`, `timeout`, `retries`, `backoff`, `longest_wait`, as for `ChatClient`.

    Raises:
        ValueError: `concurrency` is not positive.
    """

    def __init__(
        self,
        prompt: str,
        version: str,
        read: Callable[[str], str],
        *,
        what: str,
        max_tokens: int,
        model: str,
        base_url: str | None = None,
        confirm: bool = False,
        cache: str | os.PathLike[str] | None = None,
        concurrency: int = 8,
        **settings: Any,
    ):
        if concurrency < 1:
            raise ValueError(f"concurrency is 1 or more; got {concurrency}")
        self.prompt, self.version, self.read, self.what, self.max_tokens = prompt, version, read, what, max_tokens
        self.confirm = confirm
        self.cache = LabelCache(cache)
        self.concurrency = concurrency
        self._keeping = threading.Lock()
        self._chat = ChatClient(model, base_url=base_url, **settings)

    @property
    def usage(self) -> Usage:
        """What was spent so far."""
        return self._chat.usage

    def __call__(self, texts: Sequence[str]) -> list[str]:
        """The answer about each text.

        Raises:
            ConsentError: `confirm` is not True.
            ChatError: the server refused, or the retries were used up.
        """
        keys = {text: cache_key(text, self._chat.model, self.version) for text in texts}
        missing = [text for text, key in keys.items() if self.cache.get(key) is None]
        if missing:
            self._require_consent(len(missing))
            with self.cache:
                self._ask_all(missing, keys)
        return [str(self.cache.get(keys[text])) for text in texts]

    def _require_consent(self, count: int) -> None:
        if self.confirm is not True:
            raise ConsentError(
                f"nothing was sent. To send {count} {self.what} to {self._chat.model} at {self._chat.address}, pass "
                "confirm=True"
            )

    def _ask_all(self, texts: Sequence[str], keys: dict[str, str]) -> None:
        """Ask about each, a few at a time."""
        self._chat.stopped.clear()
        with ThreadPoolExecutor(self.concurrency) as pool:
            try:
                list(pool.map(self._ask, texts, [keys[text] for text in texts]))
            finally:
                self._chat.stopped.set()  # those that wait to try again do not

    def _ask(self, text: str, key: str) -> None:
        """Ask about one text and keep the answer."""
        messages = [{"role": "system", "content": self.prompt}, {"role": "user", "content": text}]
        answer = self._chat.ask(messages, self.read, max_tokens=self.max_tokens)
        with self._keeping:
            self.cache.add([(key, answer, self._chat.model, self.version)])


__all__ = ["AskedOnce"]
