"""Waking processors before measurements, with fake spinners (spinning processes) and with real ones."""

import itertools
import os
import sys
import time
from pathlib import Path

import pytest
from suite import cpu_wakeup as bench_processors
from suite.cpu_wakeup import SLOWED, Processors, Spinner


class FakeHost:
    """Two processors that take `slowed` times as long while both work, until they have been asked `parts_after`
    times."""

    def __init__(self, slowed, parts_after):
        self.slowed, self.parts_after, self.asked, self.log = slowed, parts_after, 0, []

    def spinner(self, processor):
        host = self

        class FakeSpinner:
            def ask(self):
                host.log.append((processor, "ask"))

            def answer(self):
                together = {who for who, what in host.log[-2:] if what == "ask"} == {0, 1}
                host.asked += together
                return 100.0 * (host.slowed if together and host.asked <= host.parts_after else 1.0)

            def rest(self):
                host.log.append((processor, "rest"))

            def end(self):
                host.log.append((processor, "end"))

        return FakeSpinner()


@pytest.fixture
def processors(monkeypatch):
    monkeypatch.setattr(bench_processors.os, "sched_getaffinity", lambda pid: {0, 1}, raising=False)
    monkeypatch.setattr(bench_processors.os, "SCHED_IDLE", 5, raising=False)
    monkeypatch.setattr(bench_processors.os, "sched_setscheduler", None, raising=False)
    ticks = itertools.count()
    monkeypatch.setattr(bench_processors, "perf_counter", lambda: 0.01 * next(ticks))
    made = []
    yield lambda spinner: made.append(Processors(spinner)) or made[-1]
    for both in made:
        both.close()


def test_full_speed_processors_are_checked_twice_and_rest_afterwards(processors):
    host = FakeHost(SLOWED - 0.01, 10**9)
    with processors(host.spinner).awake() as at_speed:
        assert at_speed
        assert host.asked == 4, "each of two processors is asked twice"
    assert host.log[-2:] == [(0, "rest"), (1, "rest")]


def test_slow_processors_are_awaited(processors):
    host = FakeHost(1.85, 20)
    with processors(host.spinner).awake() as at_speed:
        assert at_speed
    assert host.asked in (21, 22)


def test_waiting_time_is_limited_and_halved_after_each_failure(processors):
    host = FakeHost(1.85, 10**9)
    both = processors(host.spinner)
    asked = []
    for _ in range(4):
        before = host.asked
        with both.awake() as at_speed:
            assert not at_speed
        asked.append(host.asked - before)
    assert asked[0] > 50
    assert all(later < 0.6 * earlier for earlier, later in itertools.pairwise(asked))
    host.slowed = 1.0
    with both.awake() as at_speed:
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


class RefusedSpinner:
    """A spinner whose process ended because the system refused its scheduling class."""

    def ask(self):
        raise BrokenPipeError

    def end(self):
        raise BrokenPipeError


def test_refused_spinners_count_as_awake(processors):
    both = processors(lambda processor: RefusedSpinner())
    for _ in range(2):
        with both.awake() as at_speed:
            assert at_speed
