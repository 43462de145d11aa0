"""Philox, compared with its authors' known answers, the epoch orders drawn from it, and seeded draws on the host."""

from __future__ import annotations

import itertools

import numba
import numpy as np
import pytest
import reference_random
from scipy.stats import chisquare

import fastmlp.kernels.jit.compiler  # noqa: F401  tells Numba what helpers are
from fastmlp.kernels.formulas import counter_rng
from fastmlp.kernels.formulas.counter_rng import BLOCK, INITIAL, philox
from fastmlp.kernels.jit.decorators import OPTIONS


@numba.njit(**OPTIONS)
def words(counters, seed, out):
    """out (n, 4) = philox of counters (n, 4)"""
    for k in range(len(counters)):
        c = counters[k]
        out[k, 0], out[k, 1], out[k, 2], out[k, 3] = philox(c[0], c[1], c[2], c[3], seed)


_permutation = counter_rng.permutation


@numba.njit(**OPTIONS)
def fill_orders(n, seed, first_epoch, words, orders):
    for k in range(len(orders)):
        _permutation(n, seed, first_epoch + k, words, orders[k])


def permutations(n, seed, first_epoch=0, count=1):
    """(count, n), the orders of `count` epochs."""
    orders = np.full((count, n), -1, np.int64)
    fill_orders(n, np.uint64(seed), first_epoch, np.zeros(BLOCK, np.uint64), orders)
    return orders


# philox4x32 10 in kat_vectors of Random123 1.14: counter, key, answer. The last input is the digits of pi.
KNOWN_ANSWERS = (
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
)


def test_philox_gives_the_published_answers_and_equals_its_definition(rng):
    for texts in KNOWN_ANSWERS:
        counter, key, answer = ([int(word, 16) for word in text.split()] for text in texts)
        assert reference_random.philox(counter, key[0] + (key[1] << 32)) == tuple(answer)
        assert philox_of([counter], key[0] + (key[1] << 32)) == [answer]
    counters, seed = rng.integers(0, 2**32, (200, 4)).tolist(), int(rng.integers(2**63))
    assert philox_of(counters, seed) == [[*reference_random.philox(counter, seed)] for counter in counters]


def philox_of(counters, seed):
    out = np.zeros((len(counters), 4), np.uint64)
    words(np.array(counters, np.int64), np.uint64(seed), out)
    return out.tolist()


def test_epoch_orders_equal_their_definition():
    """They are permutations, which depend on the seed and the epoch alone."""
    seed = 2**62 + 5
    for n in (1, 7, 300):
        orders = permutations(n, seed, count=4)
        for epoch, order in enumerate(orders):
            np.testing.assert_array_equal(order, reference_random.epoch_order(n, seed, epoch))
        np.testing.assert_array_equal(permutations(n, seed, first_epoch=2, count=2), orders[2:])
    for n in (*range(1, 18), 255, 256, 257, 511, 512, 513, 1000, 12345):
        np.testing.assert_array_equal(np.sort(permutations(n, 7, count=3), axis=1), np.tile(np.arange(n), (3, 1)))


def test_all_orders_and_all_places_in_longer_ones_are_equally_likely():
    """Longer ones have more samples than a block of words."""
    orders = permutations(4, 99, count=24_000)
    codes = orders @ [64, 16, 4, 1]
    possible = [np.dot(order, [64, 16, 4, 1]) for order in itertools.permutations(range(4))]
    counts = [np.count_nonzero(codes == code) for code in possible]
    assert sum(counts) == 24_000
    assert chisquare(counts).pvalue > 0.001
    orders = permutations(300, 5, count=6000)
    for sample in (0, 150, 299):
        places = np.argmax(orders == sample, axis=1)
        assert chisquare(np.bincount(places // 10, minlength=30)).pvalue > 0.001


# ---- NumPy, Python's integers and the kernel give the numbers of Philox's definition

SEEDS = np.array([0, 1, 2**32 + 5, 2**63 - 1])


@pytest.fixture(params=["numpy", "kernel"])
def either(request, monkeypatch):
    """Draw with NumPy or with the kernel, for any amount."""
    monkeypatch.setattr(counter_rng, "FEW", 2**62 if request.param == "numpy" else 0)


def test_numbers_equal_philox_by_definition(either):
    """Each counter gives two numbers, of which the last may be unused; seeds start and end within blocks."""
    for n in (1, 2, 3, 9, 2 * BLOCK - 1, 2 * BLOCK + 1):
        expected = []
        for seed in SEEDS.tolist():
            words = [reference_random.philox((pair, 3, INITIAL, 5), seed) for pair in range(-(-n // 2))]
            expected.append([number for w in words for number in ((w[0] << 32) + w[1], (w[2] << 32) + w[3])][:n])
        assert counter_rng.numbers(SEEDS, n, INITIAL, 3, 5).tolist() == expected


def test_uniforms_are_53_bit_midpoints(either):
    """Uniform numbers are midpoints of 2**53 equal intervals: never 0 or 1, with mean one half."""
    found, bits = counter_rng.uniforms(SEEDS, 5001, 2), counter_rng.numbers(SEEDS, 5001, INITIAL, 2, 0)
    assert found.shape == (4, 5001)
    assert found.dtype == np.float64
    assert [x for row in found.tolist() for x in row] == [((b >> 11) + 0.5) / 2**53 for b in bits.ravel().tolist()]
    assert 0.0 < found.min() < found.max() < 1.0
    assert found.mean() == pytest.approx(0.5, abs=0.01)


def test_fit_seed_equals_its_entry_in_fit_seeds(either):
    """A few seeds are drawn with Python's integers, more with NumPy, many by the kernel."""
    seeds = np.tile(SEEDS, counter_rng.FEW_SEEDS)
    alone = [counter_rng.fit_seed(seed, 7) for seed in seeds.tolist()]
    found = counter_rng.fit_seeds(seeds, 7)
    assert found.dtype == np.int64
    assert found.min() >= 0
    assert found.tolist() == alone
    assert counter_rng.fit_seeds(seeds[:3], 7).tolist() == alone[:3]
