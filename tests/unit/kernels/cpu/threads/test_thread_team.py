"""Ranks meet as often as they are told to, an interrupted start leaves none waiting, and errors come through."""

import threading
import time

import numpy as np
import pytest

import fastmlp.kernels.cpu.threads.thread_team as team_module
from fastmlp.kernels.cpu.threads.barrier import barrier_start, barrier_wait
from fastmlp.kernels.cpu.threads.thread_team import ThreadTeam
from fastmlp.kernels.jit.decorators import kernel


@kernel
def relay(rank, n_ranks, barrier, board, rounds):
    """Each round, every rank adds up what all ranks wrote in the round before: wrong if any rank runs ahead."""
    if not barrier_start(barrier, n_ranks):
        return
    meetings = 1
    for _ in range(rounds):
        total = 0
        for r in range(n_ranks):
            total += board[r]
        meetings = barrier_wait(barrier, n_ranks, meetings)
        board[rank] = total + 1
        meetings = barrier_wait(barrier, n_ranks, meetings)


KIND = "board of int64"


def expected(n_ranks, rounds):
    value = 0
    for _ in range(rounds):
        value = (n_ranks * value + 1) % 2**63
    return value


@pytest.mark.parametrize("n_ranks", [1, 2, 3])
def test_ranks_meet(n_ranks):
    with ThreadTeam(n_ranks) as team:
        for rounds in (1, 30):
            board = np.zeros(n_ranks, np.int64)
            team.run(relay, KIND, board, rounds)
            assert board.tolist() == [expected(n_ranks, rounds)] * n_ranks


def test_fewer_ranks_than_there_are():
    with ThreadTeam(3) as team:
        board = np.zeros(3, np.int64)
        team.run(relay, KIND, board, 5, n_threads=2)
        assert board.tolist() == [expected(2, 5)] * 2 + [0]
        team.run(relay, KIND, board := np.zeros(3, np.int64), 5)
        assert board.tolist() == [expected(3, 5)] * 3


@pytest.fixture
def failing(monkeypatch):
    """fail(rank, error): the kernel raises that error in this rank, before it starts."""
    original = team_module.compiled_kernel

    def fail(failing_rank, error):
        def entry(kernel, kind, arguments):
            found = original(kernel, kind, arguments)

            def call(words):
                if int.from_bytes(words[:8], "little") == failing_rank:
                    raise error
                if failing_rank == 0:
                    found.function(words)

            return found._replace(function=call)

        monkeypatch.setattr(team_module, "compiled_kernel", entry)

    return fail


def threads_of_teams():
    return {thread for thread in threading.enumerate() if thread.name.startswith("fastmlp-")}


def test_an_interrupted_start_leaves_nobody_waiting(failing):
    failing(0, KeyboardInterrupt())
    before = threads_of_teams()  # of an evaluation that is kept
    board = np.zeros(2, np.int64)
    with ThreadTeam(2) as team, pytest.raises(KeyboardInterrupt):
        team.run(relay, KIND, board, 5)
    deadline = time.monotonic() + 20
    while threads_of_teams() - before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not threads_of_teams() - before
    assert board.tolist() == [0, 0]


def test_an_error_of_another_rank_is_raised(failing):
    failing(1, ZeroDivisionError("rank 1"))
    with ThreadTeam(2) as team, pytest.raises(ZeroDivisionError, match="rank 1"):
        team.run(relay, KIND, np.zeros(2, np.int64), 1)
