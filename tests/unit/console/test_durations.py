"""Durations as text: three digits and a unit, also next to the limits of units."""

import pytest

from fastmlp.console.durations import duration, long_duration


def test_durations_have_three_digits():
    assert [duration(x) for x in (0.9999e-6, 1e-6, 9.9951e-4, 59.4, 4321.0, 3.14159e-10)] == [
        "1 us",
        "1 us",
        "1 ms",
        "59.4 s",
        "4,321 s",
        "0.314 ns",
    ]


@pytest.mark.parametrize(
    "seconds, text",
    [
        (3e-9, "3 ns"),
        (9.9996e-4, "1 ms"),
        (59.99, "60 s"),
        (61, "1 min 1 s"),
        (119.6, "2 min 0 s"),
        (3599.7, "1 h 0 min"),
        (7322, "2 h 2 min"),
    ],
)
def test_long_durations_are_in_minutes_and_hours(seconds, text):
    assert long_duration(seconds) == text
