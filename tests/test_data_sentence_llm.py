"""The language model as labeller, against a loopback server that answers, fails, stalls and talks nonsense."""

import json
import logging
import threading
from functools import partial

import pytest
from huggingface_hub import constants

from chat_server import ChatServer, allow_loopback
from med3d_r1.data.reports import label_sentences
from med3d_r1.data.sentence_cache import LabelCache, cache_key
from med3d_r1.data.sentence_llm import PROMPT, ConsentError, Estimate, LabellerError, LLMLabeller

SENTENCES = [f"There is {'no' if number % 3 else 'a'} nodule of {number} mm." for number in range(1, 21)]
LABELS = ["normal" if number % 3 else "abnormal" for number in range(1, 21)]


def right_answer(sentences):
    """What a good model says: {"1": "normal", ...}."""
    return json.dumps({number: "normal" if "no" in text.split() else "abnormal" for number, text in sentences.items()})


Server = partial(ChatServer, right_answer)


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch):
    allow_loopback(monkeypatch)


def labeller(server, **options):
    settings = {"confirm": True, "progress": False, "batch_size": 4, "concurrency": 1, "timeout": 20, "backoff": 0.01}
    return LLMLabeller("m", base_url=server.url, **{**settings, **options})


def test_sentences_are_labelled_in_order_each_once():
    with Server() as server:
        ask = labeller(server)
        assert ask(SENTENCES + SENTENCES[:3]) == LABELS + LABELS[:3]
        assert ask(SENTENCES[::-1]) == LABELS[::-1]  # nothing is asked twice
        assert len(server.requests) == 5
        assert (ask.usage.requests, ask.usage.input_tokens, ask.usage.output_tokens) == (5, 500, 50)
        request = server.requests[0]
        assert request["model"] == "m"
        assert request["temperature"] == 0
        assert request["messages"][0]["content"] == PROMPT
        numbered = {str(number): sentence for number, sentence in enumerate(SENTENCES[:4], start=1)}
        assert json.loads(request["messages"][1]["content"]) == numbered
        assert server.headers[0][0] == "/v1/chat/completions"


def test_requests_run_side_by_side_but_not_more_than_allowed():
    pairs = threading.Barrier(2, timeout=10)  # a request is answered only together with another

    def together(sentences):
        pairs.wait()
        return right_answer(sentences)

    with Server(always=together) as server:
        ask = labeller(server, concurrency=2, batch_size=2, timeout=20)
        assert ask(SENTENCES) == LABELS
        assert (len(server.requests), server.most_at_once) == (10, 2)


def test_the_users_token_is_not_sent_to_a_server_that_it_is_not_for():
    with Server() as server:
        labeller(server)(SENTENCES[:1])
        labeller(server, api_key="mine")(SENTENCES[:1])
    sent = [{name.lower(): value for name, value in headers.items()}["authorization"] for _, headers in server.headers]
    assert sent == ["Bearer none", "Bearer mine"]


@pytest.mark.parametrize("confirm", [False, None, "yes", 1, lambda estimate: False, lambda estimate: "y"])
def test_nothing_is_sent_without_consent(confirm, tmp_path):
    with Server() as server:
        ask = labeller(server, confirm=confirm, cache=tmp_path / "labels.parquet")
        with pytest.raises(ConsentError, match="nothing was sent"):
            ask(SENTENCES)
        assert server.requests == []
    assert list(tmp_path.iterdir()) == []


def test_the_default_asks_nobody():
    with pytest.raises(ConsentError, match="deepseek-ai/DeepSeek-V3 at Hugging Face's inference providers"):
        label_sentences(SENTENCES, "llm")


def test_consent_is_asked_with_the_estimate():
    seen = []
    with Server() as server:
        prices = {"input_price": 2.0, "output_price": 10.0}
        ask = labeller(server, confirm=lambda estimate: seen.append(estimate) or True, **prices)
        ask(SENTENCES[:2])
        ask(SENTENCES)
        ask(SENTENCES)  # all cached: no question
    first, second = seen
    tokens_in = (len(PROMPT) + sum(len(sentence) + 10 for sentence in SENTENCES[:2])) // 4
    cost = (2 * tokens_in + 10 * 12) / 1e6
    assert first == Estimate(2, 0, 1, tokens_in, 12, cost, "m", server.url)
    assert (second.sentences, second.cached, second.requests) == (18, 2, 5)
    assert "a cost of about 0.00" in str(first)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503])
def test_passing_failures_are_tried_again(status):
    with Server([status, status]) as server:
        assert labeller(server, retries=2)(SENTENCES[:4]) == LABELS[:4]
        assert len(server.requests) == 3


def test_a_stalling_server_is_left_after_the_timeout():
    with Server(["stall"]) as server:
        assert labeller(server, timeout=0.2)(SENTENCES[:4]) == LABELS[:4]
        assert len(server.requests) == 2


def test_waiting_grows_and_a_server_may_say_how_long(monkeypatch):
    waits = []
    with Server([500, 500, 500, 429, 429]) as server:
        server.retry_after = "7"
        ask = labeller(server, retries=5, backoff=1.0, longest_wait=5.0)
        monkeypatch.setattr(ask._stopped, "wait", waits.append)
        assert ask(SENTENCES[:1]) == LABELS[:1]
    assert [round(wait / 1.25, 2) <= 2**n <= round(wait / 0.75, 2) for n, wait in enumerate(waits[:3])] == [True] * 3
    assert waits[3:] == [5.0, 5.0]


@pytest.mark.parametrize(
    "nonsense",
    [
        "I am happy to help.",
        "{",
        "[1, 2]",
        '{"1": "normal"}',
        '{"1": "normal", "2": "normal", "3": "normal", "4": "normal", "5": "normal"}',
        '{"1": "normal", "2": "normal", "3": "normal", "4": "benign"}',
        '{"1": "normal", "2": "normal", "3": "normal", "4": null}',
        lambda sentences: " ",
    ],
)
def test_nonsense_is_asked_again(nonsense):
    with Server([nonsense]) as server:
        assert labeller(server)(SENTENCES[:4]) == LABELS[:4]
        assert len(server.requests) == 2


def test_a_model_that_loses_count_is_asked_in_halves():
    def lazy(sentences):
        return right_answer(sentences) if len(sentences) <= 2 else "{}"

    with Server(always=lazy) as server:
        assert labeller(server, batch_size=8)(SENTENCES[:8]) == LABELS[:8]
        sizes = [len(json.loads(request["messages"][1]["content"])) for request in server.requests]
        assert sizes == [8, 8, 4, 4, 2, 2, 4, 4, 2, 2]


def test_an_answer_in_a_fence_is_read():
    with Server(always=lambda sentences: f"Here:\n```json\n{right_answer(sentences)}\n```") as server:
        assert labeller(server)(SENTENCES[:4]) == LABELS[:4]


@pytest.mark.parametrize(
    ("always", "requests", "message"),
    [
        (500, 3, "HTTP status 500, 3 times in a row"),
        ("stall", 3, "no answer within 0.1 s, 3 times in a row"),
        ("no", 7, "an answer that is not JSON, 3 times in a row"),  # 2 x 4 sentences, 2 x 2, 3 x 1
        (401, 1, "HTTP status 401: the key is missing or wrong"),
        (404, 1, "HTTP status 404"),
    ],
)
def test_a_server_that_never_helps_is_given_up(always, requests, message):
    with Server(always=always) as server:
        with pytest.raises(LabellerError, match=message):
            labeller(server, retries=2, timeout=0.1 if always == "stall" else 20)(SENTENCES)
        assert len(server.requests) == requests


def test_no_server_at_all():
    with Server() as server:
        pass
    with pytest.raises(LabellerError, match=r"no connection \(ConnectError\), 2 times in a row"):
        labeller(server, retries=1)(SENTENCES)


def test_offline_mode_is_named(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with Server() as server, pytest.raises(LabellerError, match="HF_HUB_OFFLINE"):
        labeller(server)(SENTENCES)


def test_a_run_goes_on_where_it_stopped(tmp_path):
    path = tmp_path / "labels.parquet"
    with Server([None, None, 403]) as server:
        with pytest.raises(LabellerError, match="403"):
            labeller(server, cache=path)(SENTENCES)
        assert len(LabelCache(path)) == 8
        assert labeller(server, cache=path)(SENTENCES) == LABELS
        assert len(server.requests) == 3 + 3
        assert labeller(server, cache=path, confirm=False)(SENTENCES) == LABELS
        other = labeller(server, cache=path)
        other.model = "another"
        assert other.estimate(SENTENCES).sentences == 20  # another model's answers are others
    assert LabelCache(path).get(cache_key(SENTENCES[0], "m", "1")) == "normal"


def test_no_text_is_logged_cached_or_in_an_error(tmp_path, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "labels.parquet"
    with Server([None, 400]) as server, pytest.raises(LabellerError) as raised:
        labeller(server, cache=path, progress=True)(SENTENCES)
    out, err = capfd.readouterr()
    seen = out + err + caplog.text + str(raised.value) + repr(raised.value.__cause__)
    seen += "".join(file.read_bytes().decode("latin-1") for file in tmp_path.iterdir())
    assert "nodule" not in seen
    assert "sentence" in err  # the bar
    assert raised.value.__suppress_context__


def test_progress_shows_tokens_and_cost(capfd):
    with Server() as server:
        labeller(server, progress=True, input_price=10_000.0, output_price=10_000.0)(SENTENCES[:4])
    assert "cost=1.100, tokens=110" in capfd.readouterr().err


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"concurrency": 0}, {"retries": -1}])
def test_impossible_settings_are_refused(options):
    with pytest.raises(ValueError, match="must be >"):
        LLMLabeller(**options)
