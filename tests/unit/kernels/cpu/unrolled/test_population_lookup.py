"""Unrolled code of populations: which nets have it, and one compiled function for each architecture."""

import numpy as np

from fastmlp.kernels.cpu.unrolled import population_lookup
from fastmlp.kernels.formulas.activations import CODES


def test_who_has_one():
    has, sigmoid = population_lookup.has_unrolled_code, CODES["sigmoid"]
    assert has((2, 2, 1), False)
    assert not has((2, 8, 8, 1), False), "too many parameters"
    assert not has((2, 2, 1), True), "dropout"
    address = population_lookup.unrolled_address
    kinds = [(16, 4), (32, 4), (16, 5), (16, 3)]
    found = [address([2, 2, 1], [sigmoid] * 2, 0, 0, lanes, n, np.dtype("float32")) for lanes, n in kinds]
    assert found[0] == found[3]
    assert len({*found}) == 3
    assert all(found)
