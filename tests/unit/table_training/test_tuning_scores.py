"""Scores of configurations: compared with those of scikit-learn, weighted, calibrated and without label smoothing."""

import numpy as np
import pytest

from fastmlp import MLP, Population
from fastmlp.table_training.recipes import Recipe
from fastmlp.table_training.rows import Rows
from fastmlp.table_training.tuning_scores import scores_of, standard_errors_apart

metrics = pytest.importorskip("sklearn.metrics", reason="scores are compared with scikit-learn's")
PLAIN, CALIBRATED = Recipe(calibration="none"), Recipe(calibration="temperature")


@pytest.fixture
def rows(rng):
    return Rows(rng.normal(size=(200, 3)).astype(np.float32), rng.integers(0, 3, 200), rng.uniform(0.5, 2.0, 200))


def population(**settings):
    return Population((3, 5, 3), 4, loss="softmax_cross_entropy", random_state=0, **settings)


def log_losses(nets, rows):
    return [metrics.log_loss(rows.y, net.predict(rows.X), sample_weight=rows.weights) for net in nets]


def test_log_loss_has_weights_and_no_smoothing(rows):
    for nets in (population(), population(label_smoothing=0.1)):
        np.testing.assert_allclose(scores_of(nets, rows, PLAIN).values, -np.array(log_losses(nets, rows)), rtol=1e-4)


def test_calibrated_nets_are_compared_as_they_will_predict(rows):
    nets = population(init_scale=3.0)
    assert (scores_of(nets, rows, CALIBRATED).values > scores_of(nets, rows, PLAIN).values + 0.01).all()


def test_one_net_has_the_score_of_a_population(rows):
    nets = population()
    np.testing.assert_allclose(
        scores_of(nets.net(2), rows, PLAIN).values, scores_of(nets, rows, PLAIN).values[2:3], rtol=1e-5
    )


def test_errors_of_numbers_are_squared(rows):
    y = rows.X[:, :2].astype(np.float64)
    net = MLP((3, 4, 2), random_state=0)
    expected = metrics.mean_squared_error(y, net.predict(rows.X), sample_weight=rows.weights)
    np.testing.assert_allclose(scores_of(net, rows._replace(y=y), PLAIN).values, [-expected], rtol=1e-5)


def test_labels_and_nets_that_diverged(rows):
    y = (rows.X > 0).astype(np.float64)
    nets = Population((3, 5, 3), 2, loss="binary_cross_entropy", random_state=0)
    nets.params[1] = np.nan
    found = scores_of(nets, rows._replace(y=y), PLAIN).values
    expected = metrics.log_loss(
        y.ravel(), nets.net(0).predict(rows.X).ravel(), sample_weight=np.repeat(rows.weights, 3)
    )
    np.testing.assert_allclose(found, [-expected, -np.inf], rtol=1e-4)


def test_values_are_means_of_the_losses_of_rows(rows):
    for y, loss in ((rows.y, "softmax_cross_entropy"), (rows.X[:, :2], "squared_error")):
        nets = Population((3, 5, 3 if y.ndim == 1 else 2), 4, loss=loss, random_state=0)
        values, losses = scores_of(nets, rows._replace(y=y), CALIBRATED)
        np.testing.assert_allclose(values, -np.average(losses, axis=1, weights=rows.weights))


def test_standard_errors_are_those_of_a_paired_test(rng):
    first, second = rng.normal(size=(2, 500)) + rng.normal(size=500)
    stats = pytest.importorskip("scipy.stats", reason="the reference")
    expected = stats.ttest_rel(first, second).statistic
    assert standard_errors_apart(first, second, None) == pytest.approx(expected, rel=0.01)
    weights = np.repeat([1.0, 0.0], 250)
    of_first_half = standard_errors_apart(first[:250], second[:250], None)
    assert standard_errors_apart(first, second, weights) == pytest.approx(of_first_half)
