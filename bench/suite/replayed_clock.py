"""A clock that replays measured durations, so that pytest-benchmark reports them.

pytest-benchmark times one test after another, in its own process; this suite times all competitors of a case side by
side, each in a process of its own. So a test's clock is one that a replayed series moves on, and pytest-benchmark's
tables, files and comparisons show exactly what was measured.
"""

from __future__ import annotations

_now = 0.0


def measured_elsewhere() -> float:
    """The clock."""
    return _now


def let_pass(seconds: float) -> None:
    global _now
    _now += seconds


def replay(benchmark, seconds: list[float]) -> None:
    """Rounds of one iteration each, in the order they were measured."""
    series = iter(seconds)
    start_again()
    benchmark.pedantic(lambda: let_pass(next(series)), rounds=len(seconds), iterations=1)


def start_again() -> None:
    """From zero for each series: next to a large number a small duration loses its digits."""
    global _now
    _now = 0.0
