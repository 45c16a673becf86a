"""Judges, against a server on this machine that misbehaves."""

import json

import pytest

from chat_server import ChatServer, allow_loopback
from med3d_r1.data.chat import ChatError, ConsentError
from med3d_r1.evaluation.judge import SCALES, ReasoningJudge, ReasoningScores, ReportJudge, mean_scales

CASES = [
    {
        "question": "Which is seen?",
        "options": ["Emphysema", "Atelectasis"],
        "answer": "Emphysema",
        "reasoning": reasoning,
        "report": "There is emphysema.",
    }
    for reasoning in ("Low density in both upper lobes.", "", "I like the number five.")
]


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    allow_loopback(monkeypatch)


def judge(kind, server, **options):
    settings = {"confirm": True, "api_key": "key", "backoff": 0.0, "retries": 3, "timeout": 5.0}
    return kind("m", base_url=server.url, **{**settings, **options})


def by_agreement(asked):
    """10 for the same report, else 4."""
    return json.dumps({"score": 10 if asked["report"] == asked["reference"] else 4})


def by_length(asked):
    score = 5 if asked["reasoning"] else 0
    return "Here it is:\n```json\n" + json.dumps(dict.fromkeys(SCALES, score)) + "\n```"


def test_reports_are_scored_each_once(tmp_path):
    reports, references = ["Clear.", "Clear.", "Nodule.", "Clear."], ["Clear.", "Clear.", "Clear.", "Nodule."]
    with ChatServer(by_agreement) as server:
        first = judge(ReportJudge, server, cache=tmp_path / "cache.parquet")
        assert first(reports, references) == [1.0, 1.0, 0.4, 0.4]
        assert first.usage.requests == len(server.requests) == 3
        again = judge(ReportJudge, server, cache=tmp_path / "cache.parquet", confirm=False)
        assert again(reports, references) == [1.0, 1.0, 0.4, 0.4]
        assert len(server.requests) == 3
    assert b"Clear" not in (tmp_path / "cache.parquet").read_bytes()


def test_reasoning_is_scored_on_four_scales():
    with ChatServer(by_length) as server:
        found = judge(ReasoningJudge, server)(CASES)
        assert found == [ReasoningScores(5, 5, 5, 5), ReasoningScores(0, 0, 0, 0), ReasoningScores(5, 5, 5, 5)]
        asked = [json.loads(request["messages"][-1]["content"]) for request in server.requests]
    assert {*asked[0]} == {"question", "options", "answer", "reasoning", "report"}
    means = mean_scales(found, ["a", "a", "b"])
    assert [*means] == [*SCALES]
    assert means["clarity"].value == pytest.approx(10 / 3)
    assert (means["clarity"].items, means["clarity"].clusters) == (3, 2)


@pytest.mark.parametrize(
    "nonsense",
    [
        "I would give it a five.",
        '{"clarity": 3}',
        json.dumps(dict.fromkeys(SCALES, 6)),
        json.dumps(dict.fromkeys(SCALES, 2.5)),
        json.dumps(dict.fromkeys(SCALES, True)),
        json.dumps(dict.fromkeys(SCALES)),
        500,
        429,
    ],
)
def test_nonsense_is_asked_again_and_never_becomes_a_score(nonsense):
    with ChatServer(by_length, script=[nonsense, nonsense]) as server:
        assert judge(ReasoningJudge, server)(CASES[:1]) == [ReasoningScores(5, 5, 5, 5)]
        assert len(server.requests) == 3
    with ChatServer(by_length, always=nonsense) as server, pytest.raises(ChatError, match="4 times in a row"):
        judge(ReasoningJudge, server)(CASES[:1])


def test_what_was_answered_before_a_failure_is_kept(tmp_path):
    with ChatServer(by_length, script=[None], always=401) as server:
        stopped = judge(ReasoningJudge, server, cache=tmp_path / "cache.parquet", concurrency=1)
        with pytest.raises(ChatError, match="401"):
            stopped(CASES)
    with ChatServer(by_length) as server:
        judge(ReasoningJudge, server, cache=tmp_path / "cache.parquet")(CASES)
        assert len(server.requests) == 2


def test_nothing_is_sent_without_consent():
    with ChatServer(by_length) as server:
        with pytest.raises(ConsentError, match="3 reasonings and reports to m"):
            judge(ReasoningJudge, server, confirm=False)(CASES)
        assert not server.requests


def test_no_cases_no_requests():
    with ChatServer(by_length) as server:
        assert judge(ReasoningJudge, server)([]) == []
        assert not server.requests
