"""Compatibility with scikit-learn, part by part: initial weights, loss scales, learning rates, stopping rule."""

import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor
from sklearn.neural_network._base import poisson_loss
from threadpoolctl import threadpool_limits

from fastmlp import MLP
from fastmlp.estimators.sklearn_compat import (
    EpochRules,
    ObjectiveOfEpochs,
    inverse_scaling,
    poisson_constant,
    scale_of,
    sklearn_initial_params,
    sum_of_squares,
)
from fastmlp.history import History
from fastmlp.network.parameter_layout import Layout


@pytest.mark.parametrize("activation, ours", (("relu", "relu"), ("logistic", "sigmoid")))
def test_initial_parameters_equal_scikit_learns(activation, ours, rng):
    X, y = rng.normal(size=(4, 3)), rng.normal(size=4)
    theirs = MLPRegressor(
        "squared_error", (5, 4), activation=activation, learning_rate_init=1e-300, max_iter=1, random_state=7
    )
    with pytest.warns(UserWarning, match="Maximum iterations"):
        theirs.fit(X, y)  # the learning rate is too low to change a parameter
    layout = Layout((3, 5, 4, 1))
    params = sklearn_initial_params(np.random.RandomState(7), layout, ours)
    for drawn, fitted in ((layout.weights(params), theirs.coefs_), (layout.biases(params), theirs.intercepts_)):
        for a, b in zip(drawn, fitted, strict=True):
            np.testing.assert_array_equal(a, b)


def test_loss_scales_follow_from_loss_and_outputs():
    assert scale_of("softmax_cross_entropy", 5) == (1.0, 1.0)
    assert scale_of("squared_error", 1) == (0.5, 0.5)
    assert scale_of("binary_cross_entropy", 4) == (4.0, 4.0)
    assert scale_of("absolute_error", 2) == (2.0, 1.0)


def test_poisson_constant_turns_the_likelihood_into_deviance(rng):
    """fastmlp's likelihood, summed over outputs, plus the constant equals the deviance."""
    y, z, w = rng.poisson(2.0, (50, 3)).astype(float), rng.normal(size=(50, 3)), rng.uniform(1, 2, 50)
    for weights in (None, w):
        ours = np.average(np.exp(z) - y * z, axis=0, weights=weights).sum()
        assert ours + poisson_constant(y, weights) == pytest.approx(poisson_loss(y, np.exp(z), weights))


def test_inverse_scaling_changes_once_per_epoch():
    fresh = inverse_scaling(0.5, n_batches=2, n_samples=8, seen=0, goes_on=False)
    np.testing.assert_allclose(fresh(np.arange(6), 6), [1, 1, 1 / 3, 1 / 3, 17**-0.5, 17**-0.5])
    later = inverse_scaling(0.5, n_batches=2, n_samples=8, seen=8, goes_on=True)
    np.testing.assert_allclose(later(np.arange(2), 2), [1 / 3, 1 / 3])
    warm = inverse_scaling(0.5, n_batches=2, n_samples=8, seen=8, goes_on=False)
    np.testing.assert_allclose(warm(np.arange(4), 4), [1, 1, 17**-0.5, 17**-0.5])


def run_rules(losses, scores=None, **settings):
    """(epochs trained, rules) for a fit with these losses, checked as often as the rules ask."""
    history = History(MLP((1, 1), random_state=0))
    if scores is not None:
        settings["score"] = lambda history: scores[history.epochs - 1]
    rules = EpochRules(losses=lambda history, first: list(history.loss[first:]), is_smooth=lambda tol: True, **settings)
    epochs = 0
    while epochs < len(losses):
        epochs = min(epochs + rules.epochs_ahead(), len(losses))
        history.loss = np.array(losses[:epochs])
        if rules(epochs - 1, history):
            break
    return epochs, rules


def test_stalled_after_more_epochs_than_n_iter_no_change():
    assert run_rules([5, 4, 3, 3, 3, 3, 3], tol=1e-4, n_iter_no_change=2)[0] == 6
    assert run_rules([5, 4, 3.5, 3.2, 3.0], tol=0.4, n_iter_no_change=1)[0] == 5
    epochs, rules = run_rules([5, 4, 4.5, 4.2, 3, 3, 3], tol=0.0, n_iter_no_change=3)
    assert (epochs, rules.best_loss, rules.losses) == (7, 3, [5, 4, 4.5, 4.2, 3, 3, 3])


@pytest.mark.parametrize("seed", range(20))
def test_checking_several_epochs_at_once_equals_checking_each(seed):
    losses = 1.0 / np.arange(1, 200) + np.random.default_rng(seed).normal(0, 0.02, 199)
    settings = {"tol": 1e-3, "n_iter_no_change": 7}
    ahead, rules = run_rules(losses, **settings)
    step_by_step, slow = run_rules(losses, **settings, score=None, verbose=0)
    slow.epochs_ahead = lambda: 1
    best, stalled = np.inf, 0
    for n_epochs in range(1, len(losses) + 1):  # the rule as scikit-learn states it
        loss = losses[n_epochs - 1]
        stalled = stalled + 1 if loss > best - settings["tol"] else 0
        best = min(best, loss)
        if stalled > settings["n_iter_no_change"]:
            break
    assert ahead == step_by_step == n_epochs < 199
    assert rules.best_loss == best


def test_early_stopping_keeps_the_best_by_score():
    losses = [3, 2, 1, 1, 1, 1]
    epochs, rules = run_rules(
        losses, scores=[0.1, 0.5, 0.4, 0.4, 0.4, 0.4], tol=1e-4, n_iter_no_change=2, early_stopping=True
    )
    assert (epochs, rules.best_score, rules.best_loss) == (5, 0.5, np.inf)
    assert rules.best_params is not None


def test_adaptive_learning_rate_is_divided_by_five_until_tiny(capsys):
    _, rules = run_rules(
        [1.0] * 100, tol=1e-4, n_iter_no_change=1, adaptive=True, learning_rate=1e-4, verbose=True
    )  # 1e-4, 2e-5, 4e-6, 8e-7
    np.testing.assert_allclose(rules.factors(np.arange(2), 9), 5.0**-3)
    text = capsys.readouterr().out
    assert "Iteration 1, loss = 1.00000000" in text
    assert text.count("Learning rate lowered to") == 3
    assert text.rstrip().endswith("Stopping.")


def test_reported_objective_is_scaled_and_includes_the_penalty():
    net = MLP((2, 1), init="zeros")
    measure = ObjectiveOfEpochs(net, reported=0.5, penalty=0.1, constant=1.0, n_batches=2)
    history = History(net)
    history.loss = np.array([4.0, 2.0])
    net.params = [1.0, 1.0, 9.0]  # weights, and a bias, which no penalty sees
    np.testing.assert_allclose(measure(history, 0), [3.0 + 0.125 * 0.1, 2.0 + 0.625 * 0.1])
    assert measure.is_smooth(tol=0.1)
    assert not measure.is_smooth(tol=1e-4)


def test_sum_of_squares_has_the_same_bits_for_any_number_of_threads_of_blas(rng):
    weights = [rng.normal(size=(300, 700)).astype(np.float32), rng.normal(size=(700, 3)).astype(np.float32)]
    found = []
    for n_threads in (1, 2, 3):
        with threadpool_limits(n_threads, "blas"):
            found.append(sum_of_squares(weights))
    assert found[0] == found[1] == found[2]
    assert found[0] == pytest.approx(sum(np.square(W, dtype=np.float64).sum() for W in weights), rel=1e-6)
