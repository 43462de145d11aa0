"""Latency of a barrier between two threads."""

from suite import thread_latency


def test_barrier_latency_of_two_threads_is_plausible():
    assert 1e-9 < thread_latency.barrier_latency() < 1e-2


def test_barrier_latency_on_one_processor_is_none(monkeypatch):
    monkeypatch.setattr(thread_latency, "cpus", lambda: 1)
    assert thread_latency.barrier_latency() is None
