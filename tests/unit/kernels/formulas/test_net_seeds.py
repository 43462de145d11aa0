"""Seeded draws on the host: NumPy, Python's integers and the kernel give the numbers of Philox's definition."""

import numpy as np
import pytest
import reference_random

from fastmlp.kernels.formulas import counter_rng as module
from fastmlp.kernels.formulas.counter_rng import BLOCK, INITIAL

SEEDS = np.array([0, 1, 2**32 + 5, 2**63 - 1])


@pytest.fixture(params=["numpy", "kernel"])
def either(request, monkeypatch):
    """Draw with NumPy or with the kernel, for any amount."""
    monkeypatch.setattr(module, "FEW", 2**62 if request.param == "numpy" else 0)


def test_numbers_equal_philox_by_definition(either):
    """Each counter gives two numbers, of which the last may be unused; seeds start and end within blocks."""
    for n in (1, 2, 3, 9, 2 * BLOCK - 1, 2 * BLOCK + 1):
        expected = []
        for seed in SEEDS.tolist():
            words = [reference_random.philox((pair, 3, INITIAL, 5), seed) for pair in range(-(-n // 2))]
            expected.append([number for w in words for number in ((w[0] << 32) + w[1], (w[2] << 32) + w[3])][:n])
        assert module.numbers(SEEDS, n, INITIAL, 3, 5).tolist() == expected


def test_uniforms_are_53_bit_midpoints(either):
    """Uniform numbers are midpoints of 2**53 equal intervals: never 0 or 1, with mean one half."""
    found, bits = module.uniforms(SEEDS, 5001, 2), module.numbers(SEEDS, 5001, INITIAL, 2, 0)
    assert found.shape == (4, 5001)
    assert found.dtype == np.float64
    assert [x for row in found.tolist() for x in row] == [((b >> 11) + 0.5) / 2**53 for b in bits.ravel().tolist()]
    assert 0.0 < found.min() < found.max() < 1.0
    assert found.mean() == pytest.approx(0.5, abs=0.01)


def test_fit_seed_equals_its_entry_in_fit_seeds(either):
    """A few seeds are drawn with Python's integers, more with NumPy, many by the kernel."""
    seeds = np.tile(SEEDS, module.FEW_SEEDS)
    alone = [module.fit_seed(seed, 7) for seed in seeds.tolist()]
    found = module.fit_seeds(seeds, 7)
    assert found.dtype == np.int64
    assert found.min() >= 0
    assert found.tolist() == alone
    assert module.fit_seeds(seeds[:3], 7).tolist() == alone[:3]
