"""Thread teams: barriers synchronise, and exceptions propagate. tests/reliability interrupts them."""

import os
import threading
from _thread import start_new_thread
from itertools import product
from queue import SimpleQueue

import numpy as np
import pytest

import fastmlp.kernels.cpu.threads.thread_team as team_module
from fastmlp.kernels.cpu.threads.in_kernels import barrier_start, barrier_wait
from fastmlp.kernels.cpu.threads.thread_team import ThreadTeam
from fastmlp.kernels.jit.decorators import kernel


@kernel
def relay(thread, n_threads, barrier, board, rounds):
    """Each round, every thread adds up what all threads wrote in the round before: wrong if a thread runs ahead."""
    if not barrier_start(barrier, n_threads):
        return
    barriers = 1
    for _ in range(rounds):
        total = 0
        for other in range(n_threads):
            total += board[other]
        barriers = barrier_wait(barrier, n_threads, barriers)
        board[thread] = total + 1
        barriers = barrier_wait(barrier, n_threads, barriers)


KIND = "board of int64"


def expected(n_threads, rounds):
    value = 0
    for _ in range(rounds):
        value = (n_threads * value + 1) % 2**63
    return value


def test_threads_synchronise_at_every_barrier_on_fewer_threads_too():
    with ThreadTeam(3) as team:
        for n_threads, rounds in product((1, 2, 3), (1, 30)):
            board = np.zeros(3, np.int64)
            team.run(relay, KIND, board, rounds, n_threads=n_threads)
            assert board.tolist() == [expected(n_threads, rounds)] * n_threads + [0] * (3 - n_threads)


def test_exception_of_another_thread_is_raised(monkeypatch):
    original = team_module.compiled_kernel

    def failing(kernel, kind, arguments):
        def call(words):
            if int.from_bytes(words[:8], "little") == 1:
                raise ZeroDivisionError("thread 1")

        return original(kernel, kind, arguments)._replace(function=call)

    monkeypatch.setattr(team_module, "compiled_kernel", failing)
    with ThreadTeam(2) as team, pytest.raises(ZeroDivisionError, match="thread 1"):
        team.run(relay, KIND, np.zeros(2, np.int64), 1)


@pytest.mark.parametrize("limit, far", [(0, True), (2**62, False)])
def test_cycles_at_a_barrier_say_whether_threads_share_a_cache(limit, far, monkeypatch):
    monkeypatch.setattr(team_module, "FAR_CYCLES", limit)
    with ThreadTeam(2) as team:
        assert team.share_no_cache() == far


PROCESSORS = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def serve(orders, answers):
    """A thread that answers with its id, and with its allowed processors before and after it is unpinned."""
    answers.put(threading.get_native_id())
    before = (allowed := orders.get()) and os.sched_getaffinity(0)
    team_module.unpin(allowed)
    answers.put((before, os.sched_getaffinity(0)))


@pytest.mark.skipif(len(PROCESSORS) < 2, reason="there are not two processors, or no affinities")
def test_woken_thread_starts_on_another_processor_and_is_unpinned(monkeypatch):
    orders, answers = SimpleQueue(), SimpleQueue()
    thread = start_new_thread(serve, (orders, answers))
    native = answers.get(timeout=10)
    os.sched_setaffinity(0, {min(PROCESSORS)})  # so that this thread's processor is known
    try:
        assert team_module.pin_away([thread]) is None, "there is no other one"
    finally:
        os.sched_setaffinity(0, PROCESSORS)
    assert team_module.pin_away([0] * len(PROCESSORS)) is None, "there are not enough others"
    assert team_module.pin_away([thread]) == PROCESSORS
    away = os.sched_getaffinity(native)
    assert away < PROCESSORS
    assert len(away) == len(PROCESSORS) - 1
    orders.put(PROCESSORS)
    assert answers.get(timeout=10) == (away, PROCESSORS)
    team_module.unpin({max(PROCESSORS) + 1000})  # which the process has lost
    assert os.sched_getaffinity(0) == PROCESSORS
    monkeypatch.setattr(team_module, "_set_mask", None)
    assert team_module.pin_away([1]) is None, "the system has no such call"
