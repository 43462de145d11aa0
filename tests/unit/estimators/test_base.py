"""Estimators within scikit-learn: accepted inputs, copies, searches, threads, metadata routing."""

import copy
import io
import pickle
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
import sklearn
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_validate

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier
from fastmlp.runtime.thread_count import n_threads_available

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"hidden_layer_sizes": (6,), "random_state": 0, "max_iter": 8, "learning_rate_init": 0.02}


@pytest.fixture
def data(rng):
    X = rng.normal(size=(90, 3))
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


KINDS_OF_X = {
    "list": list,
    "Fortran": np.asfortranarray,
    "negative strides": lambda X: X[::-1].copy()[::-1],
    "float32": lambda X: X.astype(np.float32),
    "csr": sp.csr_matrix,
    "csc": sp.csc_array,
    "coo": sp.coo_matrix,
    "frame": pd.DataFrame,
    "frame with names": lambda X: pd.DataFrame(X, columns=list("abc")),
    "polars": lambda X: pl.DataFrame(X, schema=list("abc")),
}
KINDS_OF_Y = list, pd.Series, pl.Series, lambda y: pd.Series(y).astype("category")


def test_kinds_of_data_train_the_same_estimator(data):
    X, y = data
    expected = MLPClassifier(**SMALL).fit(X, y).predict_proba(X).astype(np.float32)
    for kind, convert in KINDS_OF_X.items():
        found = MLPClassifier(**SMALL).fit(convert(X), y).predict_proba(convert(X))
        np.testing.assert_array_equal(found.astype(np.float32), expected, err_msg=kind)
    for convert in KINDS_OF_Y:
        found = MLPClassifier(**SMALL).fit(X, convert(y)).predict_proba(X)
        np.testing.assert_array_equal(found.astype(np.float32), expected)
    with pytest.warns(sklearn.exceptions.DataConversionWarning):
        MLPRegressor(**SMALL).fit(X, y[:, None])


def test_prediction_is_independent_of_the_other_rows_and_threads(data):
    """A sample gets the same bits alone and among others; check_estimator asks for 1e-7."""
    X, y = data
    for hidden in ((6,), (60, 20)):
        clf = MLPClassifier(hidden, max_iter=2, random_state=0).fit(X, y)
        whole = clf.predict_proba(X)
        for rows in (slice(3, 7), slice(10, 27), slice(80, 90)):
            np.testing.assert_array_equal(clf.predict_proba(X[rows]), whole[rows])
        with ThreadPoolExecutor(4) as pool:
            rows = list(pool.map(clf.predict_proba, np.split(X, 90)))
        np.testing.assert_array_equal(np.concatenate(rows), whole)


def test_coefs_and_intercepts_are_views_of_the_parameters(data):
    X, y = data
    clf = MLPClassifier(**SMALL).fit(X, y)
    before = clf.predict_proba(X)
    clf.coefs_[0][:] = 0.0
    assert abs(clf.predict_proba(X) - before).max() > 0.01
    clf.coefs_, clf.intercepts_ = [np.zeros((3, 6)), np.zeros((6, 1))], [np.zeros(6), np.zeros(1)]
    np.testing.assert_array_equal(clf.predict_proba(X), 0.5)


def test_weights_are_there_after_a_fit_and_the_learning_rate_too(data):
    for name in ("coefs_", "intercepts_"):
        with pytest.raises(AttributeError, match=f"MLPRegressor has {name} only after fit"):
            getattr(MLPRegressor(), name)
    with pytest.raises(AttributeError, match="_optimizer only after a fit"):
        MLPRegressor()._optimizer  # noqa: B018


@pytest.mark.parametrize("convert", (np.asarray, sp.csr_matrix), ids=("dense", "sparse"))
def test_inputs_beyond_float32_have_scikit_learns_message(convert, data):
    X, y = data
    with pytest.raises(ValueError, match=r"^Solver produced non-finite .* X holds 1e\+300, which is beyond float32"):
        MLPRegressor(**SMALL).fit(convert(X * [1e300, 0, 0] / np.abs(X[:, 0]).max()), y)
    with pytest.raises(ValueError, match="infinity"):
        MLPRegressor(**SMALL).fit(convert([[np.inf, 1.0], [1.0, 2.0]]), [0, 1])


# ---- copies


def by_skops(estimator):
    skops = pytest.importorskip("skops.io", reason="skops is not installed")
    written = skops.dumps(estimator)
    return skops.loads(written, trusted=skops.get_untrusted_types(data=written))


def by_joblib(estimator):
    joblib.dump(estimator, file := io.BytesIO())
    file.seek(0)
    return joblib.load(file)


WAYS = {
    "skops": by_skops,
    "joblib": by_joblib,
    "pickle": lambda a: pickle.loads(pickle.dumps(a)),
    "copy": copy.deepcopy,
}
COPIED = (
    MLPClassifier(**SMALL),
    MLPRegressor(**SMALL, early_stopping=True),
    MLPClassifier(**SMALL, solver=fastmlp.AdamW(1e-3)),
    MLPClassifier(**SMALL, solver="lbfgs"),
    TabularMLPClassifier(**SMALL, n_nets=1),
)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("estimator", COPIED, ids=repr)
def test_copies_predict_the_same_and_can_be_trained_further(estimator, way, data):
    fitted = clone(estimator).fit(*data)
    same = WAYS[way](fitted)
    np.testing.assert_array_equal(same.predict(data[0]), fitted.predict(data[0]))
    assert same.get_params().keys() == fitted.get_params().keys()
    if getattr(same.net_, "history", None) is not None:
        assert same.net_.history.net is same.net_
        np.testing.assert_array_equal(same.net_.history.loss, fitted.net_.history.loss)
    assert not hasattr(clone(same), "net_")
    if isinstance(same, TabularMLPClassifier):
        assert same.history_ is same.net_.history
        return
    before = fitted.net_.params.copy()
    for each in (same, fitted):
        if hasattr(each, "partial_fit") and not estimator.early_stopping:
            each.partial_fit(*data)
        each.set_params(warm_start=True).fit(*data)
    np.testing.assert_array_equal(same.net_.params, fitted.net_.params)
    assert not np.array_equal(same.net_.params, before)


# ---- searches and weights


# JAX, if another test has loaded it, warns of every fork.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ("threading", "loky", "multiprocessing"))
def test_parallel_grid_search_equals_serial_search(data, backend):
    grid = {"alpha": [1e-4, 1.0], "activation": ["relu", "tanh"]}
    with joblib.parallel_backend(backend, n_jobs=2):
        parallel = GridSearchCV(MLPClassifier(**SMALL), grid, cv=2, n_jobs=2).fit(*data)
    alone = GridSearchCV(MLPClassifier(**SMALL), grid, cv=2).fit(*data)
    np.testing.assert_array_equal(parallel.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


def test_joblib_workers_share_the_processors():
    """joblib tells each process its number of threads, which nets respect."""
    counts = joblib.Parallel(n_jobs=2)(joblib.delayed(n_threads_available)() for _ in range(4))
    assert max(counts) <= max(1, joblib.cpu_count() // 2)


def test_metadata_routing_passes_sample_weight(data):
    nets = []
    with sklearn.config_context(enable_metadata_routing=True):
        for routed in (True, False):
            clf = MLPClassifier(**SMALL).set_fit_request(sample_weight=routed).set_score_request(sample_weight=routed)
            params = {"sample_weight": np.where(data[1], 5.0, 1.0)} if routed else None
            nets.append(cross_validate(clf, *data, cv=2, params=params, return_estimator=True)["estimator"][0].net_)
    assert not np.array_equal(nets[0].params, nets[1].params)
