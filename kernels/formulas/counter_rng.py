"""Counter-based random numbers: every device drops the same units and sees the same batches.

Philox4x32-10 (Salmon et al. 2011): a counter of four words and a key of two words give four random words, without
state. The order of an epoch's samples is a Fisher-Yates shuffle with the words of that epoch. All orders
are equally likely but for what 32 bits of a word cannot divide, one part in 2**32 / n for an index; networks of a few
cheap rounds (Mitchell et al. 2021) were measurably not uniform, and slower (bench/log/populations.md#order-of-samples).
"""

from __future__ import annotations

from types import FunctionType, SimpleNamespace

import numpy as np

from ..jit.decorators import helper, kernel

SHUFFLE, DROPOUT, INITIAL, FIT = 1, 2, 3, 4  # purpose of a draw: the third word of its counter
BLOCK = 256  # words drawn together, so that LLVM vectorises the draw

WORD = np.uint64(0xFFFFFFFF)
M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
HALF_WORD = np.uint64(32)


@helper
def philox(c0, c1, c2, c3, seed):
    """Return four 32-bit words, in uint64, for the counter (c0, c1, c2, c3) under a 64-bit seed."""
    c0, c1, c2, c3 = np.uint64(c0) & WORD, np.uint64(c1) & WORD, np.uint64(c2) & WORD, np.uint64(c3) & WORD
    k0, k1 = np.uint64(seed) & WORD, np.uint64(seed) >> HALF_WORD
    for _ in range(10):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> HALF_WORD) ^ c1 ^ k0, p1 & WORD, (p0 >> HALF_WORD) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + W0) & WORD, (k1 + W1) & WORD
    return c0, c1, c2, c3


@helper
def permutation(n, seed, epoch, words, order):
    """Write the permutation of range(n) of this epoch to order (n,).

    words : uint64 (BLOCK,), scratch
    """
    for i in range(n):
        order[i] = i
    for block in range((n + BLOCK - 1) // BLOCK):
        for j in range(0, min(BLOCK, n - block * BLOCK), 4):  # only as many words as are used: four samples need four
            words[j], words[j + 1], words[j + 2], words[j + 3] = philox(block * BLOCK + j, epoch, SHUFFLE, 0, seed)
        for j in range(min(BLOCK, n - block * BLOCK)):
            i = block * BLOCK + j
            other = i + np.int64((words[j] * np.uint64(n - i)) >> HALF_WORD)
            order[i], order[other] = order[other], order[i]


@kernel
def draw_order(n, seed, epoch, words, order):
    """Write the permutation of range(n) of this epoch to order (n,): `permutation` for calls from Python."""
    permutation(n, seed, epoch, words, order)


@kernel
def draw_numbers(seeds, n, purpose, draw, last, high, low, out):
    """Write n random 64-bit numbers for each seed to out (len(seeds) * n,).

    One counter (pair, draw, purpose, last) gives two of them.

    high, low : uint64 (BLOCK,), scratch
    """
    pairs, net, pair = (n + 1) // 2, 0, 0
    for first in range(0, len(seeds) * pairs, BLOCK):
        size = min(BLOCK, len(seeds) * pairs - first)
        from_net, from_pair = net, pair
        for e in range(size):
            high[e], low[e] = pair, seeds[net]
            pair += 1
            if pair == pairs:
                net, pair = net + 1, 0
        for e in range(BLOCK):
            w0, w1, w2, w3 = philox(high[e], draw, purpose, last, low[e])
            high[e], low[e] = (w0 << HALF_WORD) ^ w1, (w2 << HALF_WORD) ^ w3
        net, pair = from_net, from_pair
        for e in range(size):
            place = net * n + 2 * pair
            out[place] = high[e]
            if 2 * pair + 1 < n:
                out[place + 1] = low[e]
            pair += 1
            if pair == pairs:
                net, pair = net + 1, 0


# ---- seeds of nets and of fits, and initial parameters, on the host. Each net's numbers depend only on its own seed,
# not on the nets they are drawn together with.

FEW = 1 << 16  # numbers; up to this many, NumPy is so fast (20 ms) that compiling a kernel does not pay
FEW_SEEDS = 8
# Philox for broadcasting NumPy arrays of counters and seeds, and for Python integers: one draw takes 4 us with
# integers, 70 us with arrays of one number.
philox_arrays = philox.py_func
_names: dict = {name: int(globals()[name]) for name in ("WORD", "M0", "M1", "W0", "W1", "HALF_WORD")}
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
