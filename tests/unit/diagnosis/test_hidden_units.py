"""Hidden units: duplicates, and activations at which units can die; counts per layer are in test_measurements.py."""

import numpy as np
import pytest

from fastmlp.diagnosis.hidden_units import duplicate_fraction, has_dead_side, largest_derivative
from fastmlp.kernels.formulas.activations import ACTIVATIONS


def test_duplicate_units_are_counted(rng):
    units = rng.normal(size=(2, 6, 5))
    units[0, 3] = units[0, 1]
    units[1, :4] = units[1, 0]
    np.testing.assert_allclose(duplicate_fraction(units), [2 / 6, 4 / 6])
    assert duplicate_fraction(rng.normal(size=(1, 300, 40)))[0] < 0.02
    assert duplicate_fraction(np.zeros((1, 3, 2)))[0] == 1
    assert duplicate_fraction(np.ones((1, 1, 2)))[0] == 0


def test_only_relu_can_die():
    assert [row.name for row in ACTIVATIONS if has_dead_side(row)] == ["relu"]
    derivatives = {row.name: largest_derivative(row) for row in ACTIVATIONS if row.hidden}
    assert derivatives["sigmoid"] == pytest.approx(0.25)
    assert derivatives["tanh"] == derivatives["relu"] == 1
