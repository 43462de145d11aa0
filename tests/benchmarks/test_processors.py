"""Waiting until processors are at full speed; with bursts whose durations are made up."""

import threading
import time

import pytest

from fastmlp.benchmarks import processors as bench_processors
from fastmlp.benchmarks.processors import SLOWED, WINDOW, Bursts, Processors


class Core:
    """Two processors: a burst takes 1 second by itself, and `slowed` while the other works too.

    parts_after : windows of the first one after which the host parts them
    """

    def __init__(self, slowed, parts_after):
        self.slowed, self.parts_after, self.calls = slowed, parts_after * WINDOW, 0
        self.together = False

    def bursts(self):
        is_first, self.calls = self.calls == 0, 1

        def burst():
            time.sleep(1e-5)  # lets the other thread run, as arithmetic without Python's lock does
            if is_first and threading.active_count() > before:
                self.together = True
                self.calls += 1
            return self.slowed if self.together and self.calls <= self.parts_after else 1.0

        before = threading.active_count()
        return burst


def processors(slowed, parts_after):
    core = Core(slowed, parts_after)
    return core, Processors(2, core.bursts)


def test_nobody_waits_at_full_speed():
    core, both = processors(SLOWED - 0.01, 1000)
    assert both.wake()
    assert core.calls < 1000 * WINDOW, "they were never slow"


def test_slow_processors_are_waited_for(monkeypatch):
    monkeypatch.setattr(bench_processors, "MOST", 60.0)
    core, both = processors(1.8, 5)
    assert both.wake()
    assert core.calls > 5 * WINDOW


def test_patience_ends_and_is_halved(monkeypatch):
    monkeypatch.setattr(bench_processors, "MOST", 0.01)
    core, both = processors(1.8, 10**9)
    assert [both.wake() for _ in range(3)] == [False, False, False]
    assert both._patience == pytest.approx(0.01 / 8)
    core.slowed = 1.0
    assert both.wake()
    assert both._patience == pytest.approx(0.01 / 4)


def test_no_thread_is_left():
    before = threading.active_count()
    Processors(2).wake()
    assert threading.active_count() == before


def test_a_burst_takes_some_time():
    assert 0 < Bursts()() < 1
