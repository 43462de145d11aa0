"""Fitted estimators saved by skops, joblib and pickle, or copied: they predict the same and can be trained further."""

import copy
import io
import pickle

import numpy as np
import pytest
from sklearn.base import clone

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier

joblib = pytest.importorskip("joblib")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
QUICK = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}
ESTIMATORS = (
    MLPClassifier(**QUICK),
    MLPRegressor(**QUICK, early_stopping=True),
    MLPClassifier(**QUICK, solver=fastmlp.AdamW(1e-3)),
    MLPClassifier(**QUICK, n_nets=2),
    MLPClassifier(**QUICK, solver="lbfgs"),
    TabularMLPClassifier(**QUICK, n_nets=1),
)


def by_skops(estimator):
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    written = skops.dumps(estimator)
    return skops.loads(written, trusted=skops.get_untrusted_types(data=written))


def by_joblib(estimator):
    file = io.BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    return joblib.load(file)


WAYS = (by_skops, by_joblib, lambda estimator: pickle.loads(pickle.dumps(estimator)), copy.deepcopy)


@pytest.mark.thinned(8)
@pytest.mark.parametrize("again", WAYS, ids=("skops", "joblib", "pickle", "deepcopy"))
@pytest.mark.parametrize("estimator", ESTIMATORS, ids=repr)
@pytest.mark.slow
def test_estimators_round_trip_through_other_formats(estimator, again, rng):
    X = rng.normal(size=(60, 3))
    y = (X[:, 0] > 0).astype(int)
    fitted = clone(estimator).fit(X, y)
    same = again(fitted)
    np.testing.assert_array_equal(same.predict(X), fitted.predict(X))
    assert same.get_params().keys() == fitted.get_params().keys()
    if getattr(same.net_, "history", None) is not None:
        assert same.net_.history.net is same.net_
        np.testing.assert_array_equal(same.net_.history.loss, fitted.net_.history.loss)
    if isinstance(same, TabularMLPClassifier):
        assert fitted.history_.net is fitted.net_
        assert same.history_ is same.net_.history
    if hasattr(same, "partial_fit") and estimator.n_nets == 1 and not estimator.early_stopping:
        for each in (same, fitted):
            each.partial_fit(X, y)
        np.testing.assert_array_equal(same.net_.params, fitted.net_.params)
