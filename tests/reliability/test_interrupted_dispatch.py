"""KeyboardInterrupt at each line of a thread team's call, in turn.

When the call has ended, no thread of the team writes any more, and the next call works.
"""

import signal
import sys
import time

import numpy as np
import pytest

import fastmlp.kernels.cpu.threads.thread_team as team_module
from fastmlp.kernels.cpu.threads.in_kernels import barrier_start
from fastmlp.kernels.cpu.threads.thread_team import ThreadTeam
from fastmlp.kernels.jit.decorators import kernel

N_THREADS, ROUNDS = 3, 1_000_000  # some milliseconds
KIND = "a board of int64"


@kernel
def count_up(thread, n_threads, barrier, board, rounds, meets):
    """Count up in each thread, for so long that a thread that is still running can be seen.

    meets : whether the threads wait for each other first
    """
    if meets != 0 and not barrier_start(barrier, n_threads):
        return
    for k in range(rounds):
        board[8 * thread] = board[8 * thread] + 1 + (k & 0)


@pytest.fixture
def time_limit():
    """Fail the test if a call waits forever."""
    if not hasattr(signal, "setitimer"):
        pytest.skip("no timers there")

    def hangs(*_):
        raise TimeoutError("a call waits for threads that have no work")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.setitimer(signal.ITIMER_REAL, 60.0)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0.0)
    signal.signal(signal.SIGALRM, before)


class InterruptAt:
    """Trace function of this thread that raises KeyboardInterrupt at the n-th line executed in thread_team.py.

    Finalisers are not traced, since no exception can be raised from them.
    """

    def __init__(self, n):
        self.left, self.line = n, None

    def __call__(self, frame, event, argument):
        if frame.f_code.co_filename != team_module.__file__ or frame.f_code.co_name in ("__del__", "_let_go"):
            return None
        if event == "line":
            self.left -= 1
            if self.left == 0:
                self.line = frame.f_lineno
                raise KeyboardInterrupt
        return self

    def __enter__(self):
        sys.settrace(self)
        return self

    def __exit__(self, *_):
        sys.settrace(None)


def run_interrupted(n, meets):
    """Interrupt a call, or the end of its team, at the n-th line. Return whether there is such a line."""
    board, trace = np.zeros(8 * N_THREADS, np.int64), InterruptAt(n)
    team = ThreadTeam(N_THREADS)
    try:
        with trace, team:
            team.run(count_up, KIND, board, ROUNDS, meets)
    except KeyboardInterrupt:
        pass
    seen = board.copy()
    time.sleep(0.003)
    assert (board == seen).all(), f"a thread is at work after an interrupt in line {trace.line}"
    return trace.left <= 0


@pytest.mark.parametrize("meets", [0, 1], ids=["alone", "together"])
def test_no_thread_writes_after_an_interrupt_at_any_line(meets, time_limit, count):
    with ThreadTeam(N_THREADS) as team:
        team.run(count_up, KIND, np.zeros(8 * N_THREADS, np.int64), 1, meets)  # compiles
    n = 1
    while run_interrupted(n, meets):
        n += 1
    assert n > 20
    count("interrupts of a dispatch", n - 1)


def test_team_works_after_an_interrupt_at_any_line(time_limit, count):
    """A team works again after a call that was interrupted at any line, also while it waited for its threads."""
    n, interrupted = 1, True
    while interrupted:
        team, trace = ThreadTeam(N_THREADS), InterruptAt(n)
        board = np.zeros(8 * N_THREADS, np.int64)
        try:
            with trace:
                team.run(count_up, KIND, board, ROUNDS, 1)
        except KeyboardInterrupt:
            pass
        interrupted = trace.left <= 0
        board[:] = 0
        team.run(count_up, KIND, board, 1000, 1)
        assert board[::8].tolist() == [1000] * N_THREADS, f"after an interrupt in line {trace.line}"
        team.end()
        n += 1
    count("calls after an interrupt", n - 2)
