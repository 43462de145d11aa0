"""Durations as text: three digits and a unit, also next to the limits of units."""

import pytest

from fastmlp.console.durations import duration, long_duration


@pytest.mark.parametrize(
    "seconds, text, long_text",
    [
        (3.14159e-10, "0.314 ns", None),
        (3e-9, "3 ns", None),
        (0.9999e-6, "1 us", None),
        (9.9951e-4, "1 ms", None),
        (59.4, "59.4 s", None),
        (59.99, "60 s", None),
        (61, "61 s", "1 min 1 s"),
        (119.6, "120 s", "2 min 0 s"),
        (3599.7, "3,600 s", "1 h 0 min"),
        (7322, "7,322 s", "2 h 2 min"),
    ],
)
def test_durations_have_three_digits_and_long_ones_two_units(seconds, text, long_text):
    assert duration(seconds) == text
    assert long_duration(seconds) == (long_text or text)
