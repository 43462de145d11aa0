"""Formulas of all activations on NumPy arrays, compared with the reference and with central differences."""

import inspect

import numpy as np
import pytest
import reference_net
from vector_values import far_from_zero, vector_values

from fastmlp.fit.metrics import SATURATING
from fastmlp.initialization import INITIALIZERS
from fastmlp.kernels.formulas.activations import ACTIVATIONS, CODES, IDENTITY, SOFTMAX

# Softmax needs a whole row, so its formula is written in each device's loss loop; test_per_layer and test_per_sample.
ELEMENTWISE = [row for row in ACTIVATIONS if row.name != "softmax"]
each_row = pytest.mark.parametrize("row", ELEMENTWISE, ids=[row.name for row in ELEMENTWISE])

# A grid without 0, where several have a kink.
Z = np.concatenate([np.linspace(-12, 12, 500), [-50.0, 50.0, -0.001, 0.001]])


def derivative(row, z):
    return row.derivative(z if row.needs_z else row.value(z))


@each_row
def test_values_equal_the_reference(row):
    np.testing.assert_allclose(row.value(Z), reference_net.ACTIVATIONS[row.name](Z), rtol=1e-12, atol=1e-15)


@each_row
def test_derivatives_equal_the_reference(row):
    expected = reference_net.DERIVATIVES[row.name](Z)
    # One that is written in the output of a squashing function loses what the output has rounded away.
    np.testing.assert_allclose(derivative(row, Z), expected, rtol=1e-10, atol=1e-15)


@each_row
def test_derivatives_equal_central_differences(row):
    z, h = Z[np.abs(Z) < 8], 1e-5
    difference = (row.value(z + h) - row.value(z - h)) / (2 * h)
    np.testing.assert_allclose(derivative(row, z), difference + row.offset, rtol=1e-7, atol=1e-9)


@each_row
def test_values_at_zeros_of_both_signs(row):
    z = np.array([0.0, -0.0])
    np.testing.assert_array_equal(row.value(z), reference_net.ACTIVATIONS[row.name](z))
    assert np.isfinite(derivative(row, z)).all()


@each_row
def test_values_at_large_inputs(row):
    z = np.array([-1e4, 1e4])
    with np.errstate(over="ignore"):
        np.testing.assert_allclose(row.value(z), reference_net.ACTIVATIONS[row.name](z), rtol=1e-12, atol=1e-15)
        assert not np.isnan(derivative(row, z)).any()


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


def test_codes_are_positions_in_the_table():
    names = [row.name for row in ACTIVATIONS]
    assert len(set(names)) == len(names)
    assert [CODES[name] for name in names] == list(range(len(names)))
    assert names[IDENTITY] == "identity"
    assert names[SOFTMAX] == "softmax"


def test_saturating_activations_are_those_that_metrics_know():
    """Ascending, with both ends of the range reached by rounding: AUC is then computed from logits."""
    far, z = np.float32([-1e9, 1e9]), np.linspace(-5, 5, 101)
    rows = [row for row in ELEMENTWISE if np.isfinite([row.low, row.high]).all() and (np.diff(row.value(z)) > 0).all()]
    with np.errstate(over="ignore"):
        found = [row.name for row in rows if np.array_equal(row.value(far), np.float32([row.low, row.high]))]
    assert {*found, "softmax"} == {*SATURATING}


def test_table_rows_are_complete():
    for row in ACTIVATIONS:
        assert row.init in INITIALIZERS, row.name
        assert list(inspect.signature(row.value).parameters) == ["z"], row.name
        assert list(inspect.signature(row.derivative).parameters) in (["a"], ["z"]), row.name
    assert {row.name for row in ACTIVATIONS if row.needs_z} == {"gelu", "silu", "softplus"}
    assert {row.name for row in ACTIVATIONS if not row.hidden} == {"exponential", "softmax"}


@each_row
def test_vector_values_far_from_zero_equal_the_reference(row):
    """Exponentials, sigmoids and densities of vectors are never 0: a formula must not multiply them by a huge z."""
    for dtype in ("float32", "float64"):
        z = far_from_zero(dtype)
        value, slope = vector_values(row, z)
        with np.errstate(all="ignore"):
            expected, expected_slope = (
                f[row.name](z.astype(np.float64)).astype(dtype)
                for f in (reference_net.ACTIVATIONS, reference_net.DERIVATIVES)
            )
        # A derivative in the output loses what the output has rounded away.
        rounded, tiny = 2 * np.finfo(dtype).eps, 1e-33
        np.testing.assert_allclose(value, expected, rtol=2e-6, atol=tiny)
        np.testing.assert_allclose(slope, expected_slope, rtol=2e-6, atol=tiny if row.needs_z else rounded)
