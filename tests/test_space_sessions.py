"""Sessions: one scan a visitor, a bound on all of them, and nothing after they have left."""

import pytest

import limits
from patients import Scan
from sessions import Sessions

SCAN = Scan(None, None)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass when the test says so."""
    now = [0.0]
    monkeypatch.setattr("sessions.time.monotonic", lambda: now[0])
    return now


def test_a_visitor_has_one_scan_and_what_was_made_of_the_former_is_gone(clock):
    sessions = Sessions()
    sessions.open("a", SCAN).diagnosis = "of the first"
    second = sessions.open("a", Scan(None, None))
    assert sessions.get("a") is second
    assert second.diagnosis is None
    assert len(sessions) == 1


def test_leaving_forgets(clock):
    sessions = Sessions()
    sessions.open("a", SCAN)
    sessions.close("a")
    sessions.close("never came")
    assert sessions.get("a") is None
    assert sessions.get(None) is None


def test_the_silent_are_forgotten(clock):
    sessions = Sessions()
    sessions.open("quiet", SCAN)
    sessions.open("busy", SCAN)
    clock[0] = limits.SESSION_SECONDS - 1
    assert sessions.get("busy") is not None
    clock[0] = limits.SESSION_SECONDS + 1
    assert sessions.get("quiet") is None
    assert sessions.get("busy") is not None


def test_who_was_quiet_for_longest_makes_room(clock, monkeypatch):
    monkeypatch.setattr(limits, "MAX_SESSIONS", 2)
    sessions = Sessions()
    for clock[0], key in enumerate("ab"):
        sessions.open(key, SCAN)
    clock[0] = 2
    sessions.get("a")
    clock[0] = 3
    sessions.open("c", SCAN)
    assert [sessions.get(key) is not None for key in "abc"] == [True, False, True]
