"""Replayed clock: durations measured elsewhere reach pytest-benchmark unchanged."""

from suite import replayed_clock


class FakeBenchmark:
    def __init__(self):
        self.rounds = []

    def pedantic(self, target, rounds, iterations):
        assert iterations == 1
        for _ in range(rounds):
            started = replayed_clock.clock()
            target()
            self.rounds.append(replayed_clock.clock() - started)


def test_replayed_durations_reach_pytest_benchmark():
    for series in ([1e-9, 3e-9, 2e-9], [5.0], [100.0, 1e-7]):
        benchmark = FakeBenchmark()
        replayed_clock.replay(benchmark, series)
        assert all(abs(a - b) <= 1e-12 * max(series) + 1e-15 * b for a, b in zip(benchmark.rounds, series, strict=True))
