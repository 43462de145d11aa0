"""Estimators with `n_nets` above 1: ensembles that train as a population."""

import numpy as np
import pytest
from executor_cases import InPlace
from interrupted_fits import with_sigint
from sklearn.datasets import load_iris

from fastmlp import MLPClassifier, MLPRegressor, Population, cross_val_population
from fastmlp.fit.one_net import OneNet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def test_ensemble_predicts_the_mean_of_its_nets(iris):
    X, y = iris
    clf = MLPClassifier((8,), n_nets=4, learning_rate_init=0.05, max_iter=40, random_state=0).fit(X, y)
    assert isinstance(clf.net_, Population)
    expected = np.mean([clf.net_.net(k).predict(X) for k in range(4)], axis=0)
    np.testing.assert_allclose(clf.predict_proba(X), expected, atol=1e-6)
    assert clf.score(X, y) > 0.9
    assert [W.shape for W in clf.coefs_] == [(4, 4, 8), (4, 8, 3)]
    assert [b.shape for b in clf.intercepts_] == [(4, 8), (4, 3)]
    assert len(np.unique(clf.coefs_[0][:, 0, 0])) == 4


@pytest.mark.parametrize("early_stopping", (False, True))
@pytest.mark.parametrize("cls", (MLPClassifier, MLPRegressor))
def test_nets_of_an_ensemble_stop_early(cls, early_stopping, iris, rng):
    few = {"hidden_layer_sizes": (8,), "learning_rate_init": 0.03, "tol": 0.001, "random_state": 0}
    est = cls(**few, n_nets=3, early_stopping=early_stopping, n_iter_no_change=5)
    est.fit(*iris, sample_weight=rng.uniform(0.5, 2.0, 150))
    score = "validation_accuracy" if cls is MLPClassifier else "validation_loss"
    assert est.net_.result.monitor == (score if early_stopping else "loss")
    assert set(est.net_.result.stopped_by) == {"early_stopping"}
    assert est.score(*iris) > 0.7


def test_warm_start_continues_an_ensemble(iris):
    clf = MLPClassifier((8,), n_nets=2, max_iter=5, warm_start=True, random_state=0).fit(*iris)
    first = clf.loss_
    assert clf.fit(*iris).loss_ < first
    assert clf.t_ == 1500


def test_settings_of_several_nets_have_an_effect_or_a_warning(iris, capsys):
    few = {"hidden_layer_sizes": (4,), "max_iter": 3, "random_state": 0, "n_nets": 2}
    clf = MLPClassifier(**few, verbose=2, learning_rate_init=0.5)
    with pytest.warns(UserWarning, match="n_nets=2 has no use for validation_data without early_stopping=True"):
        clf.fit(*iris, validation_data=iris)
    assert capsys.readouterr().out.splitlines()[-1].startswith("net 2/2")
    assert clf.best_loss_ == pytest.approx(clf.net_.result.best_value.mean(), rel=1e-6)
    assert clf.best_loss_ <= clf.loss_
    with pytest.raises(AttributeError, match=r"coefs_ of several nets are copies: write into net_\.params"):
        clf.coefs_ = clf.coefs_
    with pytest.raises(ValueError, match="scikit-learn has no net of n_nets nets"):
        clf.to_sklearn()


def test_callbacks_are_called_for_each_net(iris):
    seen = []
    look = lambda epoch, history: seen.append((history.net_number, epoch))
    MLPClassifier(n_nets=2, max_iter=2, n_iter_no_change=9, callbacks=look).fit(*iris)
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_cross_validation_raises(monkeypatch, rng):
    monkeypatch.setattr(OneNet, "run", with_sigint(OneNet.run))
    X = rng.normal(size=(60, 3))
    with pytest.raises(KeyboardInterrupt):
        cross_val_population(MLPRegressor(hidden_layer_sizes=(4,), random_state=0), X, X[:, 0])


def test_an_executor_gives_the_same_ensemble(iris):
    settings = {"hidden_layer_sizes": (8,), "n_nets": 3, "max_iter": 5, "random_state": 0}
    alone, executor = MLPClassifier(**settings).fit(*iris), InPlace()
    found = MLPClassifier(**settings).fit(*iris, executor=executor)
    np.testing.assert_array_equal(found.net_.params, alone.net_.params)
    assert executor.n_submitted > 0
    with pytest.raises(ValueError, match="set n_nets above 1"):
        MLPClassifier((8,)).fit(*iris, executor=executor)
