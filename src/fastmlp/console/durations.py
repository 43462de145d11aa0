"""Durations as text."""

from __future__ import annotations

PREFIXES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def duration(seconds: float) -> str:
    """Return a duration with three digits and a unit.

    >>> duration(0.000123456), duration(123.4), duration(2.5e-9)
    ('123 us', '123 s', '2.5 ns')
    """
    size, unit = next(((size, unit) for size, unit in PREFIXES if seconds >= 0.9995 * size), PREFIXES[-1])
    value = seconds / size
    return f"{value:,.0f} {unit}" if value >= 999.5 else f"{value:.3g} {unit}"


def long_duration(seconds: float) -> str:
    """Return a duration as `duration` does, but from a minute on in minutes and seconds, or hours and minutes.

    >>> [long_duration(s) for s in (2.5e-6, 1.5, 75.0, 4000.0)]
    ['2.5 us', '1.5 s', '1 min 15 s', '1 h 6 min']
    """
    if seconds < 60:
        return duration(seconds)
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"
