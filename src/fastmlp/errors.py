"""The wording of errors that more than one module raises: what was expected, what came, what to do."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from math import isfinite, isinf
from numbers import Integral, Real


class DivergenceWarning(UserWarning):
    """Training met a loss that is not finite; the last finite parameters were restored."""


def unknown_name(kind: str, name: object, choices: Iterable[str]) -> ValueError:
    """The error for a name that is in no table, with the nearest match."""
    choices = list(choices)
    near = get_close_matches(str(name).lower(), choices, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return ValueError(f"Unknown {kind} {name!r}.{hint} Choose from: {', '.join(choices)}.")


def checked_number(
    name: str, value: object, low: float = float("-inf"), high: float = float("inf"), *, open_low=False, open_high=False
) -> float:
    """`value` as a finite float in [low, high] (or the open interval), else a ValueError that says so."""
    if isinstance(value, Real) and not isinstance(value, bool):
        value = float(value)
        finite = isfinite(value)
        above = value > low if open_low else value >= low
        below = value < high if open_high else value <= high
        if above and below and finite:
            return value
    left = "(" if open_low or isinf(low) else "["
    right = ")" if open_high or isinf(high) else "]"
    raise ValueError(f"{name} must be a number in {left}{low:g}, {high:g}{right}, but it is {value!r}.")


def checked_count(name: str, value: object, at_least: int = 1) -> int:
    """`value` as an int not below `at_least`, else a ValueError that says so."""
    if isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= at_least:
        return int(value)
    raise ValueError(f"{name} must be a whole number of at least {at_least}, but it is {value!r}.")
