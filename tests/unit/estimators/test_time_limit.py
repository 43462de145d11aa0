"""Estimators with a time limit: what they keep, and the warning."""

import numpy as np
import pytest
from kernel_clock import KernelClock
from sklearn.exceptions import ConvergenceWarning
from toy_data import blobs

from fastmlp import MLPClassifier, MLPRegressor, cross_val_population

X, y = blobs(0, n=120)
SMALL = {"hidden_layer_sizes": (6,), "random_state": 0, "max_iter": 100_000, "n_iter_no_change": np.inf}
WARNING = r"reached time_limit=1 before it converged\. Raise time_limit"


@pytest.mark.parametrize("more", ({}, {"early_stopping": True}))
def test_a_net_keeps_the_limit(more, monkeypatch):
    clock = KernelClock(monkeypatch, step=1e-3)
    clf = MLPClassifier(**SMALL, batch_size=30, time_limit=1, **more)
    with pytest.warns(ConvergenceWarning, match=WARNING) as caught:
        clf.fit(X, y)
    assert caught[0].filename == __file__
    assert 0.95 <= clock.trained <= 1.05
    assert clf.n_iter_ == len(clf.loss_curve_) == clf.net_.history.epochs
    if more:
        assert clf.best_validation_score_ == max(clf.validation_scores_)


@pytest.mark.parametrize(("compiling", "at_most"), ((0.0, 25), (0.5, 12), (100.0, 1)))
def test_lbfgs_counts_compiling_and_ends_with_an_iteration(compiling, at_most, monkeypatch):
    clock = KernelClock(monkeypatch, step=0.04, compiling=compiling)
    reg = MLPRegressor(hidden_layer_sizes=(6,), random_state=0, solver="lbfgs", tol=1e-12, time_limit=1)
    with pytest.warns(ConvergenceWarning, match=WARNING):
        reg.fit(X, X[:, 0] * X[:, 1])
    assert at_most // 5 < reg.n_iter_ <= at_most
    assert clock.now <= max(1.05, compiling + 0.2)


def test_the_warning_names_compiling(monkeypatch):
    KernelClock(monkeypatch, step=1e-3, compiling=0.6)
    with pytest.warns(ConvergenceWarning, match=r"Compiling took 0\.6 s, which are part of the limit, once for this"):
        MLPClassifier(**SMALL, batch_size=30, time_limit=1).fit(X, y)


def test_nets_of_an_ensemble_that_had_not_begun_do_not_predict(monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")
    KernelClock(monkeypatch, epoch_of_nets=1e-3)
    clf = MLPClassifier(**SMALL, n_nets=40, time_limit=1)
    with pytest.warns(ConvergenceWarning, match=WARNING), pytest.warns(UserWarning, match="24 had not begun"):
        clf.fit(X, y)
    assert clf.net_.n_nets == 16
    assert clf.score(X, y) > 0.5


def test_cross_val_population_refuses_a_limit():
    with pytest.raises(ValueError, match="Set time_limit=None"):
        cross_val_population(MLPClassifier(time_limit=1.0), X, y)
