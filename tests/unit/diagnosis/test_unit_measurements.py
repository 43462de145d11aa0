"""Measurements of units: duplicates, units that can die, merged outputs, and the noise of dropout masks."""

import numpy as np
import pytest
import toy_data as data

from fastmlp import MLP, SGD
from fastmlp.diagnosis.model_under_test import model_of_fastmlp
from fastmlp.diagnosis.unit_measurements import draw_masks, duplicate_fraction, merged_fraction

X, Y = data.moons(0)[0], data.moons(0)[1][:, None].astype(float)
XOR = data.XOR_Y[:, None].astype(float)


def test_duplicate_units_are_counted(rng):
    units = rng.normal(size=(2, 6, 5))
    units[0, 3] = units[0, 1]
    units[1, :4] = units[1, 0]
    np.testing.assert_allclose(duplicate_fraction(units), [2 / 6, 4 / 6])
    assert duplicate_fraction(rng.normal(size=(1, 300, 40)))[0] < 0.02
    assert duplicate_fraction(np.zeros((1, 3, 2)))[0] == 1
    assert duplicate_fraction(np.ones((1, 1, 2)))[0] == 0


@pytest.mark.parametrize(
    "outputs, fraction",
    [
        ([0, 1, 0.5, 0.5], 0.5),  # two patterns at one half: ln 2 / 2
        ([0, 2 / 3, 2 / 3, 2 / 3], 0.75),  # three at two thirds: 0.477
        ([0.5] * 4, 1.0),  # all at the base rate
        ([0, 1, 1, 0], 0.0),  # equal outputs for equal targets
        ([0.4] * 4, 0.0),  # not the mean of the targets: training goes on
    ],
)
def test_local_minima_of_xor_have_merged_outputs(outputs, fraction):
    assert merged_fraction(np.array([[outputs]], float).reshape(1, 4, 1), XOR).tolist() == [fraction]


def net(dropout, *hidden):
    return MLP((2, *hidden, 1), hidden_activation="tanh", loss="binary_cross_entropy", dropout=dropout, random_state=1)


def drawn(mlp, dropout):
    return draw_masks(model_of_fastmlp(mlp.network, mlp.params[None], 0.0, dropout), X, Y)


@pytest.mark.parametrize("dropout", [0.0, 0.2, 0.5, [0.9, 0.0]])
def test_mask_noise_equals_the_noise_of_recorded_losses(dropout):
    """At a learning rate too small to change a parameter, records differ by their masks alone."""
    mlp = net(dropout, 8, 8)
    records = mlp.fit(X, Y, epochs=300, optimizer=SGD(1e-12), verbose=0).loss
    found = drawn(mlp, np.asarray(mlp.network.dropout)[None])
    assert found["mask_noise"][0] == pytest.approx(records.std(), rel=0.4, abs=1e-6)
    assert found["mask_loss"][0] == (pytest.approx(records.mean(), abs=records.std()) if dropout else 0.0)
