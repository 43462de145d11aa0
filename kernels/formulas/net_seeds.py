"""Seeds of nets and of fits, and the random numbers that the host draws from them: initial parameters.

Each net's numbers depend only on its own seed, not on the nets they are drawn together with.
"""

from __future__ import annotations

from types import FunctionType, SimpleNamespace

import numpy as np

from . import counter_rng
from .counter_rng import BLOCK, FIT, INITIAL, philox

FEW = 1 << 16  # numbers; up to this many, NumPy is so fast (20 ms) that compiling a kernel does not pay
FEW_SEEDS = 8
# Philox for broadcasting NumPy arrays of counters and seeds, and for Python integers: one draw takes 4 us with
# integers, 70 us with arrays of one number.
philox_arrays = philox.py_func
_names: dict = {name: int(getattr(counter_rng, name)) for name in ("WORD", "M0", "M1", "W0", "W1", "HALF_WORD")}
_names |= {"np": SimpleNamespace(uint64=int), "range": range}
_philox_integers = FunctionType(philox_arrays.__code__, _names)


def numbers(seeds: np.ndarray, n: int, purpose: int, draw: int, last: int) -> np.ndarray:
    """Return (len(seeds), n) random 64-bit numbers, uint64.

    seeds : int64 (n_seeds,)
    purpose, draw, last : words of the Philox counter
    """
    if len(seeds) * n > FEW:
        from ..jit.call import call  # imported late: a program that only imports nets need not load llvmlite

        out, scratch = np.empty((len(seeds), n), np.uint64), np.empty((2, BLOCK), np.uint64)
        call(
            "formulas.counter_rng.draw_numbers",
            None,
            np.ascontiguousarray(seeds),
            n,
            purpose,
            draw,
            last,
            *scratch,
            out.ravel(),
        )
        return out
    pairs = np.arange((n + 1) // 2, dtype=np.uint64)[None, :]
    counter = pairs, np.uint64(draw), np.uint64(purpose), np.uint64(last)
    words = philox_arrays(*counter, seeds[:, None].astype(np.uint64))
    both = [(high << np.uint64(32)) ^ low for high, low in (words[:2], words[2:])]
    return np.stack(both, axis=2).reshape(len(seeds), -1)[:, :n]


def uniforms(seeds: np.ndarray, n: int, draw: int) -> np.ndarray:
    """Return (len(seeds), n) numbers from U(0, 1), in float64, never 0 or 1.

    seeds : int64 (n_seeds,)
    """
    return ((numbers(seeds, n, INITIAL, draw, 0) >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def net_seeds(rng: np.random.Generator, n_nets: int) -> np.ndarray:
    """Return the seeds of a population's nets: int64 (n_nets,), not negative."""
    return rng.integers(2**63, size=n_nets)


def fit_seeds(seeds: np.ndarray, fit: int) -> np.ndarray:
    """Return the seed that each net uses in this fit: int64, not negative.

    seeds : int64 (n_nets,)
    fit : number of the fit, from 0
    """
    if len(seeds) <= FEW_SEEDS:
        return np.array([fit_seed(seed, fit) for seed in seeds.tolist()], np.int64)
    return (numbers(seeds, 1, FIT, fit, 1)[:, 0] >> np.uint64(1)).astype(np.int64)


def fit_seed(seed: int, fit: int) -> int:
    """Return the seed that one net uses in this fit, as fit_seeds does for many."""
    words = _philox_integers(0, fit, FIT, 1, seed)
    return (words[0] << 31) ^ (words[1] >> 1)
