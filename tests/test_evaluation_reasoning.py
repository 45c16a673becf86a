"""The reasonings of a result before a judge, against a server on this machine."""

import json

import pytest

from chat_server import ChatServer, allow_loopback
from evaluation_systems import System, layout, present, rows_of, seeing, table
from med3d_r1.data.chat import ChatError, ConsentError
from med3d_r1.data.mmvqa import draw_items
from med3d_r1.evaluation.judge import SCALES, ReasoningJudge
from med3d_r1.evaluation.mmvqa import evaluate_mmvqa, item_id
from med3d_r1.evaluation.reasoning import judge_reasoning

LABELS = table(40)
ROWS = rows_of(LABELS, per_scan=1)
TRAIN = draw_items(table(200, seed=2), distractors="balanced", seed=7)
REPORTS = {row["volume"]: row["report"] for row in ROWS}


@pytest.fixture(autouse=True)
def loopback(monkeypatch):
    allow_loopback(monkeypatch)


@pytest.fixture(scope="module")
def seen():
    return evaluate_mmvqa(System(seeing(LABELS)), ROWS, TRAIN, resamples=50)


def judge(server, **options):
    settings = {"confirm": True, "api_key": "key", "backoff": 0.0, "retries": 2, "timeout": 5.0}
    return ReasoningJudge("m", base_url=server.url, **{**settings, **options})


def strict(asked):
    """5 for a reasoning that names the right option, which the report names too, else 1; always concise."""
    right = asked["answer"].lower()
    score = 5 if right in asked["reasoning"] and right in (asked["report"] or "").lower() else 1
    return json.dumps({**dict.fromkeys(SCALES, score), "conciseness": 5})


def test_own_reasonings_are_judged_beside_swapped_ones(seen):
    with ChatServer(strict) as server:
        found = judge_reasoning(seen, judge(server), reports=REPORTS)
        asked = [json.loads(request["messages"][-1]["content"]) for request in server.requests]
    assert found.own["clinical correctness"].value == 5  # the seeing system names the true option
    partners = {record["item"]: record["scan"] for record in seen.records if record["condition"] == "swapped"}
    has = [row["abnormality"] in present(LABELS[partners[item_id(row)]]) for row in ROWS]
    assert found.swapped["clinical correctness"].value == pytest.approx(1 + 4 * sum(has) / len(has))
    assert found.own_minus_swapped["clinical correctness"].low > 0
    assert found.own_minus_swapped["conciseness"].value == 0
    assert (found.own["clarity"].items, found.protocol["with_report"], found.empty) == (len(ROWS), len(ROWS), 0)
    one = asked[0]
    assert one["question"] == "Which is seen?"
    assert one["answer"] in one["options"]
    assert one["report"] in REPORTS.values()


def test_so_many_as_are_asked_for_and_the_page(seen, tmp_path):
    with ChatServer(lambda _: json.dumps(dict.fromkeys(SCALES, 3))) as server:
        found = judge_reasoning(seen, judge(server), items=4)
        assert len(server.requests) <= 8
        asked = [json.loads(request["messages"][-1]["content"]) for request in server.requests]
    assert {one["report"] for one in asked} == {None}
    files = found.save(tmp_path)
    text = files[1].read_text()
    assert "4 questions on" in text
    assert "scans, 0 with the radiologist's report" in text
    assert "| clarity | 3.00 [3.00, 3.00] | 3.00 [3.00, 3.00] | +0.00 [+0.00, +0.00] |" in text
    stored = json.loads(files[0].read_text())
    assert stored["protocol"]["judge"] == "m, prompt reasoning-1"
    assert stored["protocol"]["result"] == seen.protocol["hash"]


def test_a_stopped_judge_goes_on(seen, tmp_path):
    cache = tmp_path / "judge.parquet"
    with ChatServer(strict, script=[None] * 5, always=503) as server, pytest.raises(ChatError):
        judge_reasoning(seen, judge(server, cache=cache, concurrency=1), reports=REPORTS, items=8)
    with ChatServer(strict) as server:
        found = judge_reasoning(seen, judge(server, cache=cache), reports=REPORTS, items=8)
        later = len(server.requests)
    with ChatServer(strict) as server:
        assert judge_reasoning(seen, judge(server), reports=REPORTS, items=8).own == found.own
        assert len(server.requests) == later + 5


def test_nothing_is_sent_without_consent(seen):
    with ChatServer(strict) as server:
        with pytest.raises(ConsentError):
            judge_reasoning(seen, judge(server, confirm=False), reports=REPORTS)
        assert not server.requests


def test_what_cannot_be_judged_is_refused(seen):
    direct = evaluate_mmvqa(System(lambda _: layout("A", False)), ROWS, TRAIN, think=False, resamples=20)
    with ChatServer(strict) as server:
        with pytest.raises(ValueError, match="without reasoning"):
            judge_reasoning(direct, judge(server))
        with pytest.raises(ValueError, match="1 or more; got 0"):
            judge_reasoning(seen, judge(server), items=0)
        assert not server.requests
