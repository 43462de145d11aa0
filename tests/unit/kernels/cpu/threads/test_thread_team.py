"""Thread teams: barriers synchronise, and exceptions propagate. tests/reliability interrupts them."""

from itertools import product

import numpy as np
import pytest

import fastmlp.kernels.cpu.threads.thread_team as team_module
from fastmlp.kernels.cpu.threads.barrier import barrier_start, barrier_wait
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
