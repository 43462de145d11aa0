"""Temperature scaling of class probabilities."""

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.class_probabilities import fit_temperature, log_probabilities_of, row_losses

SOFTMAX = MLP((1, 3), loss="softmax_cross_entropy").network
SMOOTHED = MLP((1, 3), loss="softmax_cross_entropy", label_smoothing=0.1).network
SIGMOIDS = MLP((1, 3), loss="binary_cross_entropy").network


def sampled(rng, n=4000, scale=1.0):
    """Logits times `scale`, and classes drawn from the probabilities of the logits themselves."""
    z = rng.normal(0, 2, (n, 3))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return scale * z[None], y


@pytest.mark.parametrize("scale", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_a_scale(rng, scale):
    z, y = sampled(rng, scale=scale)
    found = fit_temperature(z, y, None, SOFTMAX)
    np.testing.assert_allclose(found, scale, rtol=0.08)
    assert row_losses(z, y, found).mean() <= row_losses(z, y).mean()
    for other in (0.9, 1.1):
        assert row_losses(z, y, found).mean() < row_losses(z, y, found * other).mean()


def test_weights_count_as_repeated_samples(rng):
    z, y = sampled(rng, 300)
    weights = rng.integers(0, 4, 300)
    rows = np.repeat(np.arange(300), weights)
    np.testing.assert_allclose(
        fit_temperature(z, y, weights.astype(float), SOFTMAX), fit_temperature(z[:, rows], y[rows], None, SOFTMAX), 1e-3
    )


def test_the_temperature_of_several_nets_is_that_of_their_mean(rng):
    z, y = sampled(rng)
    several = np.concatenate([4 * z + rng.normal(0, 3, z.shape) for _ in range(3)])
    found = fit_temperature(several, y, None, SOFTMAX)
    losses = [row_losses(several, y, found * factor).mean() for factor in (0.95, 1.0, 1.05)]
    assert losses[1] == min(losses)
    p = np.exp(log_probabilities_of(several, SOFTMAX, temperature=found))
    np.testing.assert_allclose(losses[1], -np.log(p[np.arange(len(y)), y]).mean())


def test_labels_have_one_temperature_for_all(rng):
    z = rng.normal(0, 2, (1, 3000, 3))
    y = (rng.random((3000, 3)) < 1 / (1 + np.exp(-z[0]))).astype(float)
    np.testing.assert_allclose(fit_temperature(2.5 * z, y, None, SIGMOIDS, True), 2.5, rtol=0.08)


def test_samples_that_say_nothing_leave_the_temperature_at_1(rng):
    z, y = sampled(rng, 50)
    assert fit_temperature(z * np.inf, y, None, SOFTMAX) == 1.0
    assert fit_temperature(z, y, np.zeros(50), SOFTMAX) == 1.0
    assert fit_temperature(z[:, :0], y[:0], None, SOFTMAX) == 1.0
    assert fit_temperature(np.zeros_like(z), y, None, SOFTMAX) == 1.0, "no temperature changes equal logits"
    few = sampled(rng, 8, 1.3)
    assert fit_temperature(*few, None, SOFTMAX) == 1.0, "eight samples cannot tell 1.3 from 1"
    assert fit_temperature(*few, None, SMOOTHED) != 1.0, "probabilities are too small on purpose"
    assert fit_temperature(np.zeros_like(z), y, None, SMOOTHED) == 1.0


@pytest.mark.parametrize("n", [30, 3000])
def test_samples_that_are_all_right_make_a_net_as_sure_as_their_number_allows(n):
    """Platt's rule: one of n + 2 might have been wrong."""
    y = np.arange(n) % 3
    z = 2.0 * np.eye(3)[y][None]
    p = np.exp(log_probabilities_of(z, SOFTMAX, temperature=fit_temperature(z, y, None, SOFTMAX)))
    np.testing.assert_allclose(p[np.arange(n), y], 1.0 - 1.0 / (n + 2), atol=1e-4)
    labels = np.eye(3)[y]
    z = 2.0 * labels[None] - 1.0
    temperature = fit_temperature(z, labels, None, SIGMOIDS, True)
    np.testing.assert_allclose(1.0 / (1.0 + np.exp(-1.0 / temperature)), 1.0 - 1.0 / (n + 2), atol=1e-4)
