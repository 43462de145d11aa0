"""Affinity: a woken thread starts on another processor than its waker, and is unpinned from then on."""

import os
import threading
from _thread import start_new_thread
from queue import SimpleQueue

import pytest

from fastmlp.kernels.cpu.threads import affinity

PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
needs_several = pytest.mark.skipif(len(PROCESSORS) < 2, reason="there are not two processors, or no affinities")


def serve(orders, answers):
    """A thread that answers with its id, and with its allowed processors before and after it is unpinned."""
    answers.put(threading.get_native_id())
    while (allowed := orders.get()) is not None:
        before = os.sched_getaffinity(0)
        affinity.unpin(allowed)
        answers.put((before, os.sched_getaffinity(0)))


@needs_several
def test_woken_thread_starts_on_another_processor_and_is_unpinned():
    orders, answers = SimpleQueue(), SimpleQueue()
    thread = start_new_thread(serve, (orders, answers))
    native = answers.get(timeout=10)
    for _ in range(3):
        here = os.sched_getaffinity(0)
        one = {min(here)}
        os.sched_setaffinity(0, one)  # so that this thread's processor is known
        try:
            assert affinity.pin_away([thread]) is None, "there is no other one"
        finally:
            os.sched_setaffinity(0, here)
        allowed = affinity.pin_away([thread])
        assert allowed == here
        away = os.sched_getaffinity(native)
        assert away < here
        assert len(away) == len(here) - 1
        orders.put(allowed)
        before, after = answers.get(timeout=10)
        assert (before, after) == (away, here)
    orders.put(None)


@needs_several
def test_more_threads_than_other_processors_and_lost_processors_are_ignored():
    assert affinity.pin_away([0] * len(PROCESSORS)) is None
    affinity.unpin({max(PROCESSORS) + 1000})
    assert os.sched_getaffinity(0) == PROCESSORS


def test_systems_without_affinity_do_nothing(monkeypatch):
    monkeypatch.setattr(affinity, "_set_mask", None)
    assert affinity.pin_away([1]) is None
    affinity.unpin(None)
