"""Unrolled code of populations: one compiled function for each architecture."""

import numpy as np
import pytest

from fastmlp.kernels.cpu.unrolled import compiled_population
from fastmlp.kernels.formulas.activations import CODES


@pytest.mark.full
def test_each_number_of_lanes_and_kind_of_batch_has_a_function():
    """Batches of up to four samples share one, which has no loop over samples."""
    address, sigmoid = compiled_population.unrolled_address, CODES["sigmoid"]
    kinds = [(16, 4), (32, 4), (16, 5), (16, 3)]
    found = [address([2, 2, 1], [sigmoid] * 2, 0, 0, lanes, n, np.dtype("float32")) for lanes, n in kinds]
    assert found[0] == found[3]
    assert len({*found}) == 3
    assert all(found)
