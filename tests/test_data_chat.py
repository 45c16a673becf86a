"""What every question to a language model shares. How servers misbehave is tested in test_data_sentence_llm."""

import time
from email.utils import formatdate

import pytest

from chat_server import ChatServer, allow_loopback
from med3d_r1.data.chat import ChatClient, ChatError, NonsenseError, read_object, retry_after

MESSAGES = [{"role": "user", "content": "1"}]


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch):
    allow_loopback(monkeypatch)


def client(server, **options):
    return ChatClient("m", base_url=server.url, **{"timeout": 20, "backoff": 0.01, **options})


def double(number):
    return f'{{"score": {2 * number}}}'


def test_the_words_are_read_and_their_tokens_counted():
    with ChatServer(double) as server:
        chat = client(server)
        assert chat.ask(MESSAGES, read_object, max_tokens=7) == {"score": 2}
        assert (chat.usage.requests, chat.usage.input_tokens, chat.usage.output_tokens) == (1, 100, 10)
        asked = {"model": "m", "messages": MESSAGES, "temperature": 0.0, "max_tokens": 7}
        assert asked.items() <= server.requests[0].items()


def test_nonsense_is_asked_again_and_handed_on_where_the_caller_wants_it():
    with ChatServer(double, ["no", 500, "no", None]) as server:
        assert client(server).ask(MESSAGES, read_object, max_tokens=7) == {"score": 2}
    with ChatServer(double, ["no", 500, "no", None]) as server:
        with pytest.raises(NonsenseError, match="not JSON"):
            client(server).ask(MESSAGES, read_object, max_tokens=7, most_nonsense=2)
        assert len(server.requests) == 3


def test_a_client_that_was_stopped_asks_nobody():
    with ChatServer(double) as server:
        chat = client(server)
        chat.stopped.set()
        with pytest.raises(ChatError, match="stopped"):
            chat.ask(MESSAGES, read_object, max_tokens=7)
        assert server.requests == []


@pytest.mark.parametrize("words", ["", "no", "[1]", "{", "{1}"])
def test_words_without_an_object_are_nonsense(words):
    with pytest.raises(NonsenseError):
        read_object(words)


def test_retry_after_is_read_as_seconds_or_date():
    assert (retry_after("3"), retry_after("-1"), retry_after(None), retry_after("soon")) == (3.0, 0.0, None, None)
    assert 50 < retry_after(formatdate(time.time() + 60, usegmt=True)) <= 60


def test_a_negative_number_of_retries_is_refused():
    with pytest.raises(ValueError, match="retries -1 must be >= 0"):
        ChatClient("m", retries=-1)
