"""Formulas of all activations on NumPy arrays: derivatives, bounds and the table. Values and derivatives in kernels are
compared with the reference in tests/properties.
"""

import numpy as np
import pytest
import reference_net

from fastmlp.fit.metric_functions import saturates
from fastmlp.kernels.formulas.activations import ACTIVATIONS

# Softmax needs a whole row, so its formula is written in each device's loss loop.
ELEMENTWISE = [row for row in ACTIVATIONS if row.name != "softmax"]
each_row = pytest.mark.parametrize("row", ELEMENTWISE, ids=[row.name for row in ELEMENTWISE])

# A grid without 0, where several have a kink.
Z = np.concatenate([np.linspace(-12, 12, 500), [-50.0, 50.0, -0.001, 0.001]])


@each_row
def test_derivatives_equal_the_reference_and_central_differences(row):
    slope = lambda z: row.derivative(z if row.needs_z else row.value(z))
    # One that is written in the output of a squashing function loses what the output has rounded away.
    np.testing.assert_allclose(slope(Z), reference_net.DERIVATIVES[row.name](Z), rtol=1e-10, atol=1e-15)
    z, h = Z[np.abs(Z) < 8], 1e-5
    difference = (row.value(z + h) - row.value(z - h)) / (2 * h)
    np.testing.assert_allclose(slope(z), difference + row.offset, rtol=1e-7, atol=1e-9)


@each_row
def test_nan_stays_nan(row):
    with np.errstate(invalid="ignore"):  # NumPy's logaddexp warns
        assert np.isnan(row.value(np.array([np.nan]))).all()


@each_row
def test_bounds_are_tight(row):
    """No value lies outside the bounds, and some values lie close to each finite bound."""
    z = np.concatenate([np.linspace(-40, 40, 20_001), [-1e4, 1e4]])
    with np.errstate(over="ignore"):
        value = row.value(z)
    assert value.min() >= row.low
    assert value.max() <= row.high
    assert value.min() - row.low < 0.001 if np.isfinite(row.low) else value.min() < -50
    assert row.high - value.max() < 0.001 if np.isfinite(row.high) else value.max() > 50


def test_metrics_know_the_activations_that_saturate():
    """AUC is computed from the logits of these: their outputs round to the ends of the range."""
    known = {"sigmoid", "softmax", "tanh", "softsign", "symmetric_sigmoid", "fahlman_sigmoid"}
    assert known <= {row.name for row in ACTIVATIONS if saturates(row)}
    assert not any(saturates(row) for row in ACTIVATIONS if np.inf in (-row.low, row.high))
