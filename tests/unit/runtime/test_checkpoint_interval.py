"""Intervals: numbers of epochs, durations with their units, and the timer."""

import numpy as np
import pytest

from fastmlp.runtime import checkpoint_interval
from fastmlp.runtime.checkpoint_interval import Interval, Timer, as_interval


@pytest.mark.parametrize(
    "value, expected",
    [
        (1, Interval(1, None)),
        (np.int64(7), Interval(7, None)),
        ("30 s", Interval(None, 30.0)),
        ("0.5min", Interval(None, 30.0)),
        (" 2 h ", Interval(None, 7200.0)),
    ],
)
def test_epochs_and_durations(value, expected):
    assert as_interval(value) == expected


@pytest.mark.parametrize("value", [0, -1, True, 1.5, None, "", "5", "min", "5 days", "0 s", "-1 s", "1e3 s", "nan s"])
def test_other_values_are_refused(value):
    with pytest.raises(ValueError, match="every"):
        as_interval(value)


def test_timer_of_epochs():
    timer = Timer(Interval(3, None))
    assert [timer.is_due(k) for k in range(5)] == [False, False, False, True, True]
    assert [timer.epochs_left(k) for k in (0, 2, 3, 5)] == [3, 1, 1, 1]
    timer.restart(4)
    assert [timer.is_due(k) for k in (6, 7)] == [False, True]
    assert timer.epochs_left(5) == 2
    assert timer.seconds_left() > 0.0


def test_timer_of_seconds(monkeypatch):
    now = [10.0]
    monkeypatch.setattr(checkpoint_interval.time, "monotonic", lambda: now[0])
    timer = Timer(Interval(None, 5.0))
    now[0] = 14.9
    assert not timer.is_due(100)
    assert timer.epochs_left(100) is None
    now[0] = 15.0
    assert timer.is_due(0)
    timer.restart(3)
    assert not timer.is_due(3)
