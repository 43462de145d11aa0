"""How long two threads take to meet."""

import meeting


def test_two_threads_meet():
    assert 1e-9 < meeting.seconds_to_meet() < 1e-2


def test_one_processor(monkeypatch):
    monkeypatch.setattr(meeting, "cpus", lambda: 1)
    assert meeting.seconds_to_meet() is None
