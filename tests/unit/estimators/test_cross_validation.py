"""`cross_val_population`: all folds trained as one population agree with folds trained one after another."""

import numpy as np
import pandas as pd
import pytest
from interrupted_fits import with_sigint
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score, cross_validate

from fastmlp import MLPClassifier, MLPRegressor, cross_val_population
from fastmlp.fit.one_net import OneNet

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SETTINGS = {"hidden_layer_sizes": (5,), "learning_rate_init": 0.02, "max_iter": 25, "random_state": 0}


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


@pytest.mark.parametrize("cv", (None, 3, StratifiedKFold(7, shuffle=True, random_state=0)))
def test_fold_scores_agree_with_single_fits(iris, cv):
    """Full batches are not shuffled, so that folds padded to equal length train alike."""
    settings = SETTINGS | {"batch_size": 150}
    with pytest.warns(UserWarning, match="they are one batch"):
        found = cross_val_population(MLPClassifier(**settings), *iris, cv=cv)
    with pytest.warns(UserWarning, match="they are one batch"):
        alone = cross_validate(MLPClassifier(**settings), *iris, cv=cv, return_estimator=True, return_indices=True)
    # A population keeps the parameters of the lowest loss, which a full batch measures before its last step.
    np.testing.assert_allclose(found["test_score"], alone["test_score"], atol=0.06)
    for a, b, train in zip(found["estimator"], alone["estimator"], alone["indices"]["train"], strict=True):
        np.testing.assert_allclose(a.coefs_[0], b.coefs_[0], atol=0.05)
        assert (a.n_iter_, a.t_) == (25, 25 * len(train)) == (b.n_iter_, b.t_)
        assert list(a.classes_) == [0, 1, 2]
    for side in ("train", "test"):
        for a, b in zip(found["indices"][side], alone["indices"][side], strict=True):
            np.testing.assert_array_equal(a, b)


def test_regression_scores_agree_with_cross_val_score():
    X, y = load_diabetes(return_X_y=True)
    X, y = X / X.std(axis=0), (y - y.mean()) / y.std()
    est = MLPRegressor(**SETTINGS, batch_size=32)
    cv = KFold(4, shuffle=True, random_state=0)  # 331 or 332 samples
    found = cross_val_population(est, X, y, cv=cv, scoring="neg_mean_absolute_error")["test_score"]
    alone = cross_val_score(est, X, y, cv=cv, scoring="neg_mean_absolute_error")
    np.testing.assert_allclose(found, alone, atol=0.05)


def test_cross_val_population_accepts_frames_and_weights(iris, rng):
    X, y = iris
    names = np.array(["a", "b", "c"])[y]
    frame = pd.DataFrame(X, columns=list("wxyz"))
    clf = MLPClassifier(**SETTINGS, class_weight="balanced", batch_size=30)
    found = cross_val_population(clf, frame, pd.Series(names), sample_weight=rng.uniform(0.5, 2.0, 150))
    assert found["test_score"].mean() > 0.7
    assert list(found["estimator"][0].feature_names_in_) == list("wxyz")
    assert not hasattr(clf, "net_")


def test_unsupported_estimators_and_settings_raise(iris):
    with pytest.raises(TypeError, match=r"takes an MLPClassifier .* of fastmlp, but got LogisticRegression"):
        cross_val_population(LogisticRegression(), *iris)
    for setting in ({"early_stopping": True}, {"solver": "lbfgs"}, {"solver": "sgd", "learning_rate": "adaptive"}):
        with pytest.raises(ValueError, match="cross_val_population needs early_stopping=False"):
            cross_val_population(MLPClassifier(**setting), *iris)


@pytest.mark.usefixtures("ctrl_c")
def test_interrupted_cross_validation_raises(monkeypatch, rng):
    monkeypatch.setattr(OneNet, "run", with_sigint(OneNet.run))
    X = rng.normal(size=(60, 3))
    with pytest.raises(KeyboardInterrupt):
        cross_val_population(MLPRegressor(hidden_layer_sizes=(4,), random_state=0), X, X[:, 0])
