"""Counter-based random numbers, so that every device drops the same units and sees the same batches.

Philox4x32-10 (Salmon et al. 2011): a counter of four words and a key of two give four random words, with no state. An
epoch's order is Fisher and Yates's shuffle with the words of that epoch: exactly uniform, where networks of a few cheap
rounds (Mitchell et al. 2021) were measurably not, and slower (bench/LOG.md).
"""

from __future__ import annotations

from types import FunctionType, SimpleNamespace

import numpy as np

from .jit import inner, kernel

SHUFFLE, DROPOUT, INITIAL, FIT = 1, 2, 3, 4  # the purpose of a draw: the third word of its counter
BLOCK = 256  # words drawn together, so that LLVM puts them into lanes

WORD = np.uint64(0xFFFFFFFF)
M0, M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
W0, W1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
HALF_WORD = np.uint64(32)


@inner
def philox(c0, c1, c2, c3, seed):
    """Four 32-bit words, in uint64, for the counter (c0, c1, c2, c3) under a 64-bit seed."""
    c0, c1, c2, c3 = np.uint64(c0) & WORD, np.uint64(c1) & WORD, np.uint64(c2) & WORD, np.uint64(c3) & WORD
    k0, k1 = np.uint64(seed) & WORD, np.uint64(seed) >> HALF_WORD
    for _ in range(10):
        p0, p1 = M0 * c0, M1 * c2
        c0, c1, c2, c3 = (p1 >> HALF_WORD) ^ c1 ^ k0, p1 & WORD, (p0 >> HALF_WORD) ^ c3 ^ k1, p0 & WORD
        k0, k1 = (k0 + W0) & WORD, (k1 + W1) & WORD
    return c0, c1, c2, c3


@inner
def permutation(n, seed, epoch, words, order):
    """order (n,) becomes the permutation of range(n) of this epoch.

    words : uint64 (BLOCK,), scratch
    """
    for i in range(n):
        order[i] = i
    for block in range((n + BLOCK - 1) // BLOCK):
        for j in range(0, min(BLOCK, n - block * BLOCK), 4):  # no more than are used: four samples need four
            words[j], words[j + 1], words[j + 2], words[j + 3] = philox(block * BLOCK + j, epoch, SHUFFLE, 0, seed)
        for j in range(min(BLOCK, n - block * BLOCK)):
            i = block * BLOCK + j
            other = i + np.int64((words[j] * np.uint64(n - i)) >> HALF_WORD)
            order[i], order[other] = order[other], order[i]


@kernel
def draw_order(n, seed, epoch, words, order):
    """The same, for Python to call."""
    permutation(n, seed, epoch, words, order)


# The same for NumPy arrays of counters and seeds, which broadcast; for what the host draws.
philox_arrays = philox.py_func
# And for Python's integers: a draw of 4 us, 70 with arrays of one number.
_names: dict = {name: int(globals()[name]) for name in ("WORD", "M0", "M1", "W0", "W1", "HALF_WORD")}
_names |= {"np": SimpleNamespace(uint64=int), "range": range}
_philox_integers = FunctionType(philox_arrays.__code__, _names)
FEW_SEEDS = 8


def uniforms(seeds: np.ndarray, n: int, purpose: int, draw: int) -> np.ndarray:
    """(len(seeds), n) numbers from U(0, 1), in float64, never 0 or 1. seeds : int64"""
    pairs = np.arange((n + 1) // 2, dtype=np.uint64)[None, :]
    words = philox_arrays(pairs, np.uint64(draw), np.uint64(purpose), np.uint64(0), seeds[:, None].astype(np.uint64))
    both = [(high << np.uint64(21)) ^ (low >> np.uint64(11)) for high, low in (words[:2], words[2:])]
    numbers = np.stack(both, axis=2).reshape(len(seeds), -1)[:, :n]
    return (numbers.astype(np.float64) + 0.5) * 2.0**-53


def derived_seeds(seeds: np.ndarray, purpose: int, draw: int) -> np.ndarray:
    """A new seed, int64 and not negative, for each seed: another one for each purpose and draw."""
    if len(seeds) <= FEW_SEEDS:
        return np.array([derived_seed(seed, purpose, draw) for seed in seeds.tolist()], np.int64)
    zero = np.zeros(len(seeds), np.uint64)
    words = philox_arrays(zero, np.uint64(draw), np.uint64(purpose), np.uint64(1), seeds.astype(np.uint64))
    return ((words[0] << np.uint64(31)) ^ (words[1] >> np.uint64(1))).astype(np.int64)


def derived_seed(seed: int, purpose: int, draw: int) -> int:
    """The same for one seed."""
    words = _philox_integers(0, draw, purpose, 1, seed)
    return (words[0] << 31) ^ (words[1] >> 1)
