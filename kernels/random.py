"""Counter-based random numbers, so that every device drops the same units and sees the same batches.

Philox4x32-10 (Salmon et al. 2011): a counter of four words and a key of two give four random words, with no state. A
permutation is a Feistel network over the next power of two, walked until it lands inside (Black and Rogaway 2002;
Mitchell et al. 2021): any entry can be computed by itself, on any device, without sorting.
"""

from __future__ import annotations

import numpy as np

from .jit import inner

SHUFFLE, DROPOUT = 1, 2  # the purpose of a draw: the third word of its counter
ROUNDS = 24  # of the permutation, as in Mitchell et al. 2021

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
def round_keys(seed, epoch, keys):
    """Fill keys (ROUNDS,) for the permutation of one epoch."""
    for r in range(0, ROUNDS, 4):
        keys[r], keys[r + 1], keys[r + 2], keys[r + 3] = philox(r, epoch, SHUFFLE, 0, seed)


@inner
def permuted(i, n, keys):
    """Where position i of a permutation of range(n) comes from. keys: uint64 (ROUNDS,), from round_keys."""
    bits = np.uint64(2)
    while (np.uint64(1) << bits) < np.uint64(n):
        bits += np.uint64(1)
    low = bits >> np.uint64(1)
    high = bits - low
    low_mask, high_mask = (np.uint64(1) << low) - np.uint64(1), (np.uint64(1) << high) - np.uint64(1)
    x = np.uint64(i)
    while True:
        left, right = x >> low, x & low_mask
        for r in range(0, ROUNDS, 2):
            left ^= (((right ^ keys[r]) * M0 & WORD) >> np.uint64(7)) & high_mask
            left ^= ((((right + keys[r]) * M1) & WORD) >> np.uint64(17)) & high_mask
            right ^= (((left ^ keys[r + 1]) * M0 & WORD) >> np.uint64(7)) & low_mask
            right ^= ((((left + keys[r + 1]) * M1) & WORD) >> np.uint64(17)) & low_mask
        x = left << low | right
        if x < np.uint64(n):
            return np.int64(x)
