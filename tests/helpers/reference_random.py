"""Reference of the random numbers: Philox in Python integers, shuffled orders of epochs, and dropout masks."""

from __future__ import annotations

import numpy as np

SHUFFLE, DROPOUT = 1, 2


def philox(counter, seed):
    """Return four 32-bit words. Salmon et al. 2011, section 3.3 and table 2.

    counter : four 32-bit words
    seed : 64-bit key
    """
    (c0, c1, c2, c3), k0, k1 = counter, seed % 2**32, seed // 2**32
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return c0, c1, c2, c3


def epoch_order(n, seed, epoch):
    """Return the order of the samples in an epoch, by the shuffle of Fisher and Yates.

    Sample i is swapped with a sample at i or after i, chosen by the i-th word of the epoch.
    """
    order = list(range(n))
    for i in range(n):
        word = philox((i // 4 * 4, epoch, SHUFFLE, 0), seed)[i % 4]
        other = i + (word * (n - i) >> 32)
        order[i], order[other] = order[other], order[i]
    return np.array(order)


def dropout_mask(rows, width, rate, seed, step, layer):
    """Return the mask (rows, width): 0 for a dropped unit, else 1 / (1 - rate).

    Each group of four consecutive elements, row by row, uses the four words of one counter.
    """
    words = [philox((e // 4, step, DROPOUT, layer), seed)[e % 4] for e in range(rows * width)]
    return np.where(np.array(words) < rate * 2**32, 0.0, 1 / (1 - rate)).reshape(rows, width)
