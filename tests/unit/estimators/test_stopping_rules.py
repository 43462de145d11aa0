"""Stopping rules of scikit-learn's MLPs, as users see them: epochs, best values and what verbose=True prints."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from fastmlp import MLPRegressor
from fastmlp.estimators.stopping_rules import sum_of_squares

SMALL = {"hidden_layer_sizes": (4,), "random_state": 0, "learning_rate_init": 0.02}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def data(rng):
    X = rng.normal(size=(60, 3))
    return X, X[:, 0] + 0.5 * rng.normal(size=60)


@pytest.mark.parametrize("settings", ({}, {"early_stopping": True}, {"tol": 0.0}, {"solver": "sgd"}), ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_a_fit_ends_by_the_rule_however_many_epochs_a_call_has(data, settings, seed, capsys):
    """verbose=True asks the rule after each epoch, otherwise a kernel call has as many as cannot end the fit."""
    settings = (
        SMALL | {"alpha": 0.0, "tol": 1e-3, "n_iter_no_change": 4, "batch_size": 20, "random_state": seed} | settings
    )
    model, shown = (MLPRegressor(**settings, verbose=verbose).fit(*data) for verbose in (False, True))
    assert capsys.readouterr().out.count("Iteration") == shown.n_iter_
    assert (model.n_iter_, model.validation_scores_) == (shown.n_iter_, shown.validation_scores_)
    np.testing.assert_array_equal(model.net_.params, shown.net_.params)
    values = -np.array(model.validation_scores_) if model.early_stopping else np.array(model.loss_curve_)
    best, stalled = np.inf, []
    for value in values:  # the rule as scikit-learn states it
        stalled.append(stalled[-1] + 1 if stalled and value > best - model.tol else 0)
        best = min(best, value)
    assert 4 < model.n_iter_ < 200
    assert stalled[-1] == 5 > max(stalled[:-1])


@pytest.mark.parametrize(("n", "text"), [(1, "for 1 epoch. Stopping."), (2, "for 2 epochs. Stopping.")])
def test_the_last_line_says_why_a_fit_ends(n, text, data, capsys):
    MLPRegressor(**SMALL, tol=10.0, n_iter_no_change=n, verbose=True).fit(*data)
    assert capsys.readouterr().out.rstrip().endswith(text)


def test_an_adaptive_learning_rate_is_divided_by_five_until_it_is_tiny(data, capsys):
    settings = SMALL | {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 1e-4}
    MLPRegressor(**settings, tol=10.0, n_iter_no_change=1, verbose=True).fit(*data)
    text = capsys.readouterr().out
    lowered = [line.rsplit(maxsplit=1)[1] for line in text.splitlines() if "Learning rate lowered to" in line]
    assert lowered == ["2e-05.", "4e-06.", "8e-07."]
    assert text.rstrip().endswith("Stopping.")


def test_sum_of_squares_has_the_same_bits_for_any_number_of_threads_of_blas(rng):
    weights = [rng.normal(size=(300, 700)).astype(np.float32), rng.normal(size=(700, 3)).astype(np.float32)]
    found = []
    for n_threads in (1, 2, 3):
        with threadpool_limits(n_threads, "blas"):
            found.append(sum_of_squares(weights))
    assert found[0] == found[1] == found[2]
    assert found[0] == pytest.approx(sum(np.square(W, dtype=np.float64).sum() for W in weights), rel=1e-6)
