"""A clock that replays measured durations, so that pytest-benchmark reports them.

pytest-benchmark times one test after another, in its own process; this suite times all competitors of a case side by
side, each in a process of its own. A test therefore replays the measured durations on a clock of its own, so that
pytest-benchmark's tables, files and comparisons show exactly what was measured.
"""

from __future__ import annotations

_now = 0.0


def clock() -> float:
    """The time in seconds, as far as durations were replayed."""
    return _now


def advance(seconds: float) -> None:
    global _now
    _now += seconds


def replay(benchmark, seconds: list[float]) -> None:
    """Let the benchmark see these durations: a round of one iteration for each, in order."""
    series = iter(seconds)
    reset_clock()
    benchmark.pedantic(lambda: advance(next(series)), rounds=len(seconds), iterations=1)


def reset_clock() -> None:
    """Set the clock to zero before each series: next to a large number, a small duration would lose digits."""
    global _now
    _now = 0.0
