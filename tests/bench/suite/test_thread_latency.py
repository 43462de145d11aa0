"""How long two threads take to meet."""

from suite import thread_latency


def test_two_threads_meet():
    assert 1e-9 < thread_latency.barrier_latency() < 1e-2


def test_one_processor(monkeypatch):
    monkeypatch.setattr(thread_latency, "cpus", lambda: 1)
    assert thread_latency.barrier_latency() is None
