"""A thread that is woken begins on another processor than its waker's, and is free from then on."""

import os
import threading
from _thread import start_new_thread
from math import inf
from queue import SimpleQueue

import pytest

import fastmlp.kernels.cpu.threads.thread_team as team_module
from fastmlp.kernels.cpu.threads import affinity
from fastmlp.kernels.cpu.threads.thread_team import ThreadTeam
from fastmlp.kernels.jit.decorators import kernel

PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
needs_several = pytest.mark.skipif(len(PROCESSORS) < 2, reason="there are not two processors, or no affinities")


def serve(orders, answers):
    """A thread that answers with its number, and with where it may run before and after it is set free."""
    answers.put(threading.get_native_id())
    while (allowed := orders.get()) is not None:
        before = os.sched_getaffinity(0)
        affinity.unpin(allowed)
        answers.put((before, os.sched_getaffinity(0)))


@needs_several
def test_begins_elsewhere_and_is_set_free():
    orders, answers = SimpleQueue(), SimpleQueue()
    thread = start_new_thread(serve, (orders, answers))
    native = answers.get(timeout=10)
    for _ in range(3):
        here = os.sched_getaffinity(0)
        one = {min(here)}
        os.sched_setaffinity(0, one)  # so that it is known which processor is this thread's
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
def test_one_processor_each_where_that_takes_all():
    pairs = [(SimpleQueue(), SimpleQueue()) for _ in range(len(PROCESSORS) - 1)]
    threads = [start_new_thread(serve, pair) for pair in pairs]
    natives = [answers.get(timeout=10) for _, answers in pairs]
    allowed = affinity.pin_away(threads)
    places = [os.sched_getaffinity(native) for native in natives]
    assert all(len(place) == 1 for place in places)
    assert len(set.union(*places)) == len(threads)
    for orders, _ in pairs:
        orders.put(allowed)
        orders.put(None)


@needs_several
def test_more_threads_than_other_processors_are_left_alone():
    assert affinity.pin_away([0] * len(PROCESSORS)) is None


@needs_several
def test_processors_that_the_process_has_lost():
    affinity.unpin({max(PROCESSORS) + 1000})
    assert os.sched_getaffinity(0) == PROCESSORS


@kernel
def nothing(rank, n_ranks, barrier, x):
    pass


@needs_several
def test_a_team_keeps_ranks_apart_after_a_rest_and_leaves_them_free(monkeypatch):
    given, found = [], []

    def set_free(allowed):
        affinity.unpin(allowed)
        given.append(allowed)
        found.append(os.sched_getaffinity(0))

    monkeypatch.setattr(team_module, "unpin", set_free)
    with ThreadTeam(2) as team:
        for rest in (0.0, inf, 0.0):  # since when: it has never worked before, it works on, it has rested
            team.run(nothing, "x", 1)
            team._at_rest = rest
    assert given == [PROCESSORS, PROCESSORS, None]
    assert found == [PROCESSORS] * 3


def test_other_systems_do_without(monkeypatch):
    monkeypatch.setattr(affinity, "_set_mask", None)
    assert affinity.pin_away([1]) is None
    affinity.unpin(None)
