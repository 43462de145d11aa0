"""Durations as text: three digits and a unit, also next to the limits of units."""

from fastmlp.console.durations import duration, long_duration

TEXTS = {
    3.14159e-10: ("0.314 ns", "0.314 ns"),
    3e-9: ("3 ns", "3 ns"),
    0.9999e-6: ("1 us", "1 us"),
    9.9951e-4: ("1 ms", "1 ms"),
    59.99: ("60 s", "60 s"),
    119.6: ("120 s", "2 min 0 s"),
    3599.7: ("3,600 s", "1 h 0 min"),
    7322: ("7,322 s", "2 h 2 min"),
}


def test_durations_have_three_digits_and_long_ones_two_units():
    assert {seconds: (duration(seconds), long_duration(seconds)) for seconds in TEXTS} == TEXTS
