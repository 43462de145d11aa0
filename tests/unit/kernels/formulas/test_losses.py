"""Formulas of all losses on NumPy arrays, compared with central differences. Losses in kernels are compared with the
reference in tests/properties.
"""

import numpy as np
import pytest
from scipy.special import log_softmax

from fastmlp.kernels.formulas import activations
from fastmlp.kernels.formulas.losses import CODES, LOSSES, SOFTMAX_CROSS_ENTROPY

each_row = pytest.mark.parametrize("row", LOSSES, ids=[row.name for row in LOSSES])
C = 0.7  # the constant of losses that have one; the others do not read it


def output_of(row, z):
    """(z, a) as the loss's formula takes them, for its first output activation."""
    if row.name == "softmax_cross_entropy":
        z = log_softmax(z, axis=1)
        return z, np.exp(z)
    name = row.outputs[0] if row.outputs else "tanh"
    return z, activations.ACTIVATIONS[activations.CODES[name]].value(z)


def targets_of(row, rng, shape):
    low, high = row.targets
    if row.name == "softmax_cross_entropy":
        return np.eye(shape[1])[rng.integers(0, shape[1], shape[0])]
    if np.isfinite(high):
        return rng.random(shape)
    if row.name == "atanh_error":
        return rng.uniform(-0.5, 0.5, shape)
    return rng.poisson(2.0, shape).astype(float) if low == 0 else rng.normal(size=shape)


@each_row
def test_deltas_equal_central_differences(row, rng):
    """Delta is with respect to the logit if the loss has a single output activation, else to the output."""
    z, h = rng.normal(size=(40, 5)) * 2, 1e-6
    y = targets_of(row, rng, z.shape)
    delta = row.delta(output_of(row, z)[1], y, C)
    for k in range(z.shape[1]):
        shift = h * (np.arange(z.shape[1]) == k)
        if row.delta_is_wrt_logit:
            up, down = (row.value(*output_of(row, z + s), y, C).sum(axis=1) for s in (shift, -shift))
        else:
            _, a = output_of(row, z)
            up, down = (row.value(z, a + s, y, C).sum(axis=1) for s in (shift, -shift))
        np.testing.assert_allclose(delta[:, k], (up - down) / (2 * h), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("row", [row for row in LOSSES if row.curvature is not None], ids=lambda row: row.name)
def test_curvatures_equal_central_differences_of_deltas(row, rng):
    z, h = rng.normal(size=(40, 5)) * 2, 1e-6
    y = targets_of(row, rng, z.shape)
    curvature = row.curvature(*output_of(row, z), y, C)
    for k in range(z.shape[1]):
        shift = h * (np.arange(z.shape[1]) == k)
        if row.delta_is_wrt_logit:
            up, down = (row.delta(output_of(row, z + s)[1], y, C)[:, k] for s in (shift, -shift))
        else:
            up, down = (row.delta(output_of(row, z)[1] + s, y, C)[:, k] for s in (shift, -shift))
        a = output_of(row, z)[1][:, k]
        square = a * a if row.name == "softmax_cross_entropy" else 0.0  # which the formula leaves out
        np.testing.assert_allclose(curvature[:, k] - square, (up - down) / (2 * h), rtol=1e-6, atol=1e-8)


def test_table_of_losses_is_consistent():
    names = [row.name for row in LOSSES]
    assert [CODES[name] for name in names] == list(range(len({*names})))
    assert names[SOFTMAX_CROSS_ENTROPY] == "softmax_cross_entropy"
    for row in LOSSES:  # a natural delta holds for one output activation only
        assert set(row.outputs) <= set(activations.CODES), row.name
        assert row.delta_is_wrt_logit == (len(row.outputs) == 1), row.name
