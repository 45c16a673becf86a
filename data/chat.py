"""A language model behind OpenAI's chat interface: one question, failures sorted by whether asking again may help.

Any server with that interface will do; Hugging Face's client (`huggingface_hub.InferenceClient`) speaks to it. What is
asked about are reports, so nothing here logs a text, and no error repeats what a server said, which could be the text
again. Whether a text may be sent at all is for the caller to ask.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from itertools import count
from typing import Any, TypeVar

_PASSING_STATUS = {408, 409, 425, 429}  # and all of 500 and above

Answer = TypeVar("Answer")


class ChatError(RuntimeError):
    """The model could not be asked, or did not answer as it was asked to."""


class ConsentError(ChatError):
    """Nothing was sent, because the caller did not confirm it."""


class PassingFailure(Exception):
    """A failure that may not come again. `wait`: seconds that the server asked for."""

    def __init__(self, reason: str, wait: float | None = None):
        super().__init__(reason)
        self.wait = wait


class NonsenseError(PassingFailure):
    """An answer that is not what was asked for."""


@dataclass
class Usage:
    """What was spent so far, by the servers' own counts: tokens of answers that were of no use are in it too."""

    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0


class ChatClient:
    """Asks one model. May be used by several threads at once.

    Args:
        model: name of the model, as the server knows it.
        base_url: address of a server with OpenAI's interface, up to `/v1`; None for Hugging Face's inference providers.
        api_key: key for that server. For `base_url=None` the Hugging Face token that is logged in; a `base_url` never
            gets that token unless it is given here.
        timeout: seconds that a server may be silent.
        retries: how often a request is sent again after a passing failure (time-out, 429, 5xx, nonsense).
        backoff: seconds before the first of these, doubled each time up to `longest_wait`. A server's Retry-After
            goes before, up to `longest_wait` too.

    Attributes:
        usage: what was spent.
        stopped: set it, and those that wait to try again give up.

    Raises:
        ValueError: `retries` is negative.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 5,
        backoff: float = 1.0,
        longest_wait: float = 120.0,
    ):
        if retries < 0:
            raise ValueError(f"retries {retries} must be >= 0")
        self.model = model
        self.base_url = base_url
        self.timeout = timeout
        self.retries = retries
        self.backoff = backoff
        self.longest_wait = longest_wait
        self.usage = Usage()
        self.stopped = threading.Event()
        self._api_key = api_key
        self._client: Any = None
        self._counting = threading.Lock()

    @property
    def address(self) -> str:
        """Who gets the text."""
        return self.base_url or "Hugging Face's inference providers"

    def ask(
        self,
        messages: list[dict[str, str]],
        read: Callable[[str], Answer],
        *,
        max_tokens: int,
        most_nonsense: int | None = None,
    ) -> Answer:
        """What `read` makes of the model's words, asked again as often as `retries` allow.

        Args:
            messages: the conversation.
            read: takes the words; raises `NonsenseError` where they are of no use.
            max_tokens: how long the words may be.
            most_nonsense: after so many answers of no use the last one's error is raised as it is, for callers who
                then ask something else.

        Raises:
            ChatError: the server refused, the retries were used up, or `stopped` was set.
            NonsenseError: see `most_nonsense`.
        """
        nonsense = 0
        for attempt in count():
            if self.stopped.is_set():
                raise ChatError("stopped, because another request failed")
            try:
                return read(self._words(messages, max_tokens))
            except PassingFailure as failure:
                nonsense += isinstance(failure, NonsenseError)
                if nonsense == most_nonsense:
                    raise
                if attempt == self.retries:
                    raise ChatError(f"{self.model}: {failure}, {attempt + 1} times in a row") from None
                self._wait(attempt, failure.wait)

    def _wait(self, attempt: int, asked_for: float | None) -> None:
        seconds = self.backoff * 2**attempt * random.uniform(0.75, 1.25) if asked_for is None else asked_for
        self.stopped.wait(min(seconds, self.longest_wait))

    def _words(self, messages: list[dict[str, str]], max_tokens: int) -> str:
        """One request."""
        from huggingface_hub.errors import HfHubHTTPError, HTTPError, InferenceTimeoutError, OfflineModeIsEnabled

        self._client = self._client or self._connect()
        try:
            response = self._client.chat_completion(messages, model=self.model, temperature=0.0, max_tokens=max_tokens)
        except InferenceTimeoutError:
            raise PassingFailure(f"no answer within {self.timeout:g} s") from None
        except HfHubHTTPError as error:
            raise self._refusal(error.response) from None
        except OfflineModeIsEnabled:
            raise ChatError("the environment variable HF_HUB_OFFLINE forbids to ask a server: unset it") from None
        except HTTPError as error:
            raise PassingFailure(f"no connection ({type(error).__name__})") from None
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NonsenseError(f"a response that is no chat completion ({type(error).__name__})") from None
        self._count(response)
        try:
            return str(response.choices[0].message.content)
        except (AttributeError, IndexError, TypeError):
            raise NonsenseError("a response without words") from None

    def _connect(self) -> Any:
        from huggingface_hub import InferenceClient

        if self.base_url is None:
            return InferenceClient(self.model, api_key=self._api_key, timeout=self.timeout)
        # With no key at all the client would send the user's Hugging Face token, to whatever server this is.
        return InferenceClient(base_url=self.base_url, api_key=self._api_key or "none", timeout=self.timeout)

    def _refusal(self, response: Any) -> Exception:
        status = response.status_code
        if status in _PASSING_STATUS or status >= 500:
            return PassingFailure(f"HTTP status {status}", retry_after(response.headers.get("Retry-After")))
        hint = {401: ": the key is missing or wrong", 402: ": no credit left", 403: ": the key may not use this model"}
        return ChatError(f"{self.model}: HTTP status {status}{hint.get(status, '')}")

    def _count(self, response: Any) -> None:
        usage = getattr(response, "usage", None)
        with self._counting:
            self.usage.requests += 1
            self.usage.input_tokens += getattr(usage, "prompt_tokens", None) or 0
            self.usage.output_tokens += getattr(usage, "completion_tokens", None) or 0


def read_object(words: str) -> dict[str, Any]:
    """The JSON object in a model's words, which may stand in a fence or among others.

    Raises:
        NonsenseError: there is none.

    >>> read_object('Here you are: {"score": 7}')
    {'score': 7}
    """
    found = re.search(r"\{.*\}", words, re.DOTALL)
    try:
        return json.loads(found[0] if found else "")
    except ValueError:
        raise NonsenseError("an answer that is not JSON") from None


def retry_after(header: str | None) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date."""
    if header is None:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


__all__ = [
    "ChatClient",
    "ChatError",
    "ConsentError",
    "NonsenseError",
    "PassingFailure",
    "Usage",
    "read_object",
    "retry_after",
]
