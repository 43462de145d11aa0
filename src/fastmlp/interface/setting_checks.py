"""Checks of the settings that MLP and Population have in common: seed, dtype, precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import checked_count, unknown_name

PRECISIONS = ("exact", "tf32", "bfloat16")  # formats to which a device may round the operands of matrix products


def seed_of(random_state: Any) -> int:
    """Return the seed, from 0 to 2**63 - 1, of all random numbers of a net or population.

    random_state : None for a random seed, a whole number of at least 0, or a NumPy Generator or RandomState, from which
        the seed is drawn
    """
    if random_state is None:
        return int(np.random.SeedSequence().generate_state(1, np.uint64)[0] >> 1)
    is_int = isinstance(random_state, int)  # asked first, since np.random takes 7 ms to import
    if not is_int and isinstance(random_state, (np.random.Generator, np.random.RandomState)):
        draw = random_state.integers if isinstance(random_state, np.random.Generator) else random_state.randint
        return int(draw(2**31))
    return checked_count("random_state", random_state, at_least=0, at_most=None) % 2**63


def checked_precision(precision: Any) -> str:
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS)
    return precision


def checked_dtype(dtype: Any) -> np.dtype:
    try:
        converted = np.dtype(dtype)
    except TypeError:
        converted = np.dtype(object)
    if converted not in (np.float32, np.float64):
        raise ValueError(f"dtype must be 'float32' or 'float64', but it is {dtype!r}.")
    return converted
