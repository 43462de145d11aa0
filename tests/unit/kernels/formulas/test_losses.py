"""Formulas of all losses on NumPy arrays, compared with the reference and with central differences."""

import numba
import numpy as np
import pytest
import reference_net
from scipy.special import log_softmax

from fastmlp.kernels.formulas import activations
from fastmlp.kernels.formulas.losses import CODES, LOSSES, SOFTMAX_CROSS_ENTROPY
from fastmlp.kernels.jit.decorators import OPTIONS
from fastmlp.kernels.simd import elementary  # noqa: F401 formulas of vectors
from fastmlp.kernels.simd.load_store import load, store

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
def test_values_equal_the_reference(row, rng):
    z = rng.normal(size=(40, 5)) * 3
    y = targets_of(row, rng, z.shape)
    shares = row.value(*output_of(row, z), y, C)
    width = 1 if row.name == "softmax_cross_entropy" else z.shape[1]
    expected = reference_net.loss_per_sample(row.name, z, output_of(row, z)[1], y, C)
    np.testing.assert_allclose(shares.sum(axis=1) / width, expected, rtol=1e-12)


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


@each_row
def test_delta_of_a_perfect_prediction_is_zero(row):
    y = np.array([[0.0, 1.0]])
    assert (row.delta(y, y, C) == 0).all()


def test_huber_is_continuous_at_its_threshold():
    """r**2 up to C, then a line of the same slope: value and derivative are continuous."""
    row = LOSSES[CODES["huber"]]
    a = np.array([-2.0, -C - 1e-9, -C + 1e-9, 0.0, C - 1e-9, C + 1e-9, 2.0])
    np.testing.assert_allclose(
        row.value(a, a, 0.0, C), [C * (4 - C), C * C, C * C, 0, C * C, C * C, C * (4 - C)], atol=1e-8
    )
    np.testing.assert_allclose(row.delta(a, 0.0, C), [-2 * C, -2 * C, -2 * C, 0, 2 * C, 2 * C, 2 * C], atol=1e-8)


def test_binary_cross_entropy_of_large_logits_is_finite():
    """The loss is computed from the logit, so that a certain wrong output costs its logit, not infinity."""
    row = LOSSES[CODES["binary_cross_entropy"]]
    z = np.array([-1e4, 1e4, -1e4, 1e4])
    np.testing.assert_array_equal(row.value(z, (z > 0) * 1.0, np.array([1, 0, 0, 1]), C), [1e4, 1e4, 0, 0])


@each_row
def test_nan_stays_nan(row):
    """A NaN in output and logit, or in the target, must reach the loss, so that divergence is noticed."""
    nan, one = np.array([np.nan]), np.array([0.5])
    with np.errstate(invalid="ignore"):  # NumPy's logaddexp warns
        assert np.isnan(row.value(nan, nan, one, C)).all()
        assert np.isnan(row.value(one, one, nan, C)).all()


def test_table_of_losses_is_consistent():
    names = [row.name for row in LOSSES]
    assert len(set(names)) == len(names)
    assert [CODES[name] for name in names] == list(range(len(names)))
    assert names[SOFTMAX_CROSS_ENTROPY] == "softmax_cross_entropy"
    assert {row.name for row in LOSSES if row.delta_is_wrt_logit} == {
        "binary_cross_entropy",
        "softmax_cross_entropy",
        "poisson",
    }
    for row in LOSSES:
        assert set(row.outputs) <= set(activations.CODES), row.name
        assert row.delta_is_wrt_logit == (len(row.outputs) == 1), (
            row.name
        )  # a natural delta holds for one output activation only


def compiled_loss(z, y):
    """The binary cross-entropy that kernels compute on vectors."""
    value = LOSSES[CODES["binary_cross_entropy"]].value

    @numba.njit(**OPTIONS)
    def run(z, y, out):
        for i in range(0, z.size, 8):
            v = load(z, i, 8)
            store(out, i, value(v, v, load(y, i, 8), 0.0))

    out = np.empty_like(z)
    run(z, y, out)
    return out


@pytest.mark.parametrize("dtype, rtol", [("float32", 3e-7), ("float64", 1e-15)])
def test_binary_cross_entropy_of_vectors_keeps_its_precision(dtype, rtol):
    """No digits are lost if the output is nearly the target, since stopping rules compare losses with 1e-7."""
    z = np.linspace(-80.0, 80.0, 4000).astype(dtype)
    exact_z = z.astype(np.longdouble)
    for target, sign in ((1.0, -1.0), (0.0, 1.0)):
        exact = np.maximum(sign * exact_z, 0) + np.log1p(np.exp(-np.abs(exact_z)))
        found = compiled_loss(z, np.full_like(z, target))
        np.testing.assert_allclose(found, exact.astype(float), rtol=rtol)
