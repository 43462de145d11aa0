"""Stopping rules of scikit-learn's MLPs."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fastmlp import MLP
from fastmlp.estimators.epoch_rules import EpochRules, ObjectiveOfEpochs, sum_of_squares
from fastmlp.history import History


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


def test_message_of_a_stop_counts_epochs_with_a_noun(capsys):
    for n, text in ((1, "for 1 epoch. Stopping."), (2, "for 2 epochs. Stopping.")):
        run_rules([1.0] * 9, tol=1e-4, n_iter_no_change=n, verbose=True)
        assert capsys.readouterr().out.rstrip().endswith(text)


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
