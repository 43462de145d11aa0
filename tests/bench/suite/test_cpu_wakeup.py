"""Waking processors before measurements, with fake spinners (spinning processes) and with real ones."""

import itertools
import os
import sys
import time
from pathlib import Path

import pytest
from suite import cpu_wakeup
from suite.cpu_wakeup import SLOWED, Processors, Spinner


class FakeSpinner:
    """A spinner whose bursts take `slow` times as long, of the first `n_slow` that are asked for after four.

    n_slow : None for a spinner whose process has ended because the system refused its scheduling class
    """

    asked = rests = ends = 0

    def __init__(self, slow=1.0, n_slow=0):
        self.slow, self.n_slow = slow, n_slow

    def ask(self):
        if self.n_slow is None:
            raise BrokenPipeError
        self.asked += 1

    def answer(self):
        return 100.0 * (self.slow if 9 < self.asked <= 9 + self.n_slow else 1.0)

    def rest(self):
        self.rests += 1

    def end(self):
        self.ends += 1


@pytest.fixture
def awake(monkeypatch):
    """Function of a fake spinner that returns what wakes the one processor that it is for, by a clock of fake time."""
    monkeypatch.setattr(cpu_wakeup.os, "sched_getaffinity", lambda pid: {0}, raising=False)
    monkeypatch.setattr(cpu_wakeup.os, "SCHED_IDLE", 5, raising=False)
    monkeypatch.setattr(cpu_wakeup.os, "sched_setscheduler", None, raising=False)
    ticks = itertools.count()
    monkeypatch.setattr(cpu_wakeup, "perf_counter", lambda: 0.01 * next(ticks))
    return lambda spinner: Processors(lambda processor: spinner).awake


@pytest.mark.parametrize("slow, n_slow, at_speed", [(1.19, 10**9, True), (1.85, 20, True), (1.85, 10**9, False)])
def test_slow_processors_are_awaited_for_some_time(awake, slow, n_slow, at_speed):
    spinner = FakeSpinner(slow, n_slow)
    with awake(spinner)() as found:
        assert found == at_speed
        assert spinner.rests == 0
    assert spinner.rests == 1
    assert spinner.asked == 10 if slow < SLOWED else spinner.asked > 25


def test_time_of_waiting_is_halved_after_each_failure(awake):
    spinner, asked = FakeSpinner(1.85, 10**9), []
    wake = awake(spinner)
    for _ in range(4):
        before = spinner.asked
        with wake() as at_speed:
            assert not at_speed
        asked.append(spinner.asked - before)
    assert all(later < 0.7 * earlier for earlier, later in itertools.pairwise(asked))


def test_refused_spinners_count_as_awake(awake):
    wake = awake(FakeSpinner(n_slow=None))
    for _ in range(2):
        with wake() as at_speed:
            assert at_speed


@pytest.mark.skipif(sys.platform != "linux", reason="priorities of Linux")
def test_spinner_spins_until_it_rests():
    spinner = Spinner(min(os.sched_getaffinity(0)))
    status = Path(f"/proc/{spinner.process}/stat")
    spent = lambda: int(status.read_text().rsplit(")", 1)[1].split()[11])
    spinner.ask()
    assert 0 < spinner.answer() < 1e9
    spinner.rest()
    before = -1
    while spent() > before:
        before = spent()
        time.sleep(0.2)
    spinner.end()
    assert not status.exists()
