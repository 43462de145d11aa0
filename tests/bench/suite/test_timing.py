"""Timing in interleaved rounds of jobs that are long enough to measure, with fake clocks."""

from contextlib import contextmanager, nullcontext

import pytest
from reporting.result_statistics import ratio
from suite import timing as bench_rounds
from suite.timing import FEWEST_RUNS, LONG_ENOUGH, SHORTEST, TOO_LONG, Runner, calibrate, new_row


class FakeWorker:
    """A fake worker whose run takes `seconds`, and whose first measurement takes ten times as long."""

    def __init__(self, seconds, log=None):
        self.seconds, self.calls, self.log = seconds, [], log

    def __call__(self, command, n_runs, repeats):
        assert command == "measure"
        self.calls.append((n_runs, repeats))
        if self.log is not None:
            self.log.append(self)
        return self.seconds * n_runs * (10 if len(self.calls) == 1 else 1)


@pytest.mark.parametrize("fewest", (1, FEWEST_RUNS))
@pytest.mark.parametrize("seconds", (1e-7, 1e-4, 0.02, 3.0))
def test_calibrated_jobs_are_long_enough_or_complete(seconds, fewest):
    fake = FakeWorker(seconds)
    n_runs, repeats, job = calibrate(fake, max_runs=1000, min_runs=fewest)
    assert n_runs == 1000 or n_runs * seconds >= LONG_ENOUGH
    assert n_runs >= fewest or n_runs * seconds >= TOO_LONG
    assert n_runs * seconds * repeats >= SHORTEST
    assert job == pytest.approx(n_runs * seconds) or len(fake.calls) == 1
    assert sum(n * k for n, k in fake.calls) * seconds < 40 * LONG_ENOUGH + 10 * seconds


def test_rounds_alternate_the_order_of_competitors(monkeypatch):
    @contextmanager
    def awake():
        log.append("wake")
        yield len(log) > 8
        log.append("sleep")

    monkeypatch.setattr(bench_rounds, "come_to_rest", lambda: log.append("rest"))
    monkeypatch.setattr(bench_rounds.PROCESSORS, "awake", awake)
    log: list = []
    a, b = FakeWorker(1.0, log), FakeWorker(2.0, log)
    runners = [Runner(fake, new_row("x", "peer"), 5, 1, 1.0) for fake in (a, b)]
    assert bench_rounds.time_rounds(runners, 3, n_units=10) == 2, "the first two began with slow processors"
    assert log == [x for runner in (a, b, b, a, a, b) for x in ("rest", "wake", runner, "sleep")]
    assert runners[0].row["seconds"] == [1.0, 0.1, 0.1]
    assert runners[1].row["seconds"] == [2.0, 0.2, 0.2]


def test_long_part_has_one_round(monkeypatch):
    """A part with one round is compared by that round."""
    monkeypatch.setattr(bench_rounds, "come_to_rest", lambda: None)
    monkeypatch.setattr(bench_rounds.PROCESSORS, "awake", lambda: nullcontext(True))
    kinds = (("part", 9.0), ("part", 1.0), ("peer", 9.0))
    runners = [Runner(lambda *_: 1.0, new_row("x", kind), 5, 1, seconds) for kind, seconds in kinds]
    bench_rounds.time_rounds(runners, 3, n_units=1)
    assert [len(runner.row["seconds"]) for runner in runners] == [1, 3, 3]
    assert ratio(runners[0].row, runners[2].row).median == 1.0
