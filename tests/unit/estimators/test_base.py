"""Estimators within scikit-learn: accepted inputs, copies, searches, pipelines, metadata routing."""

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
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.inspection import permutation_importance
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_html_repr

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.runtime.thread_count import n_threads_available

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"hidden_layer_sizes": (6,), "random_state": 0, "max_iter": 8, "learning_rate_init": 0.02}


@pytest.fixture
def data(rng):
    X = rng.normal(size=(90, 3))
    return X, (X[:, 0] + X[:, 1] > 0).astype(int)


@pytest.mark.parametrize(
    "convert",
    (
        list,
        np.asfortranarray,
        lambda X: X[::-1][::-1],
        lambda X: X.astype(np.float32),
        sp.csr_matrix,
        sp.csc_array,
        sp.coo_matrix,
        lambda X: pd.DataFrame(X),
        lambda X: pd.DataFrame(X, columns=list("abc")),
        lambda X: pl.DataFrame(X, schema=list("abc")),
    ),
)
def test_kinds_of_X_train_the_same_estimator(data, convert):
    X, y = data
    expected = MLPClassifier(**SMALL).fit(X, y)
    clf = MLPClassifier(**SMALL).fit(convert(X), y)
    np.testing.assert_array_equal(
        clf.predict_proba(convert(X)).astype(np.float32), expected.predict_proba(X).astype(np.float32)
    )
    assert clf.n_features_in_ == 3


@pytest.mark.parametrize("convert", (list, pd.Series, pl.Series, lambda y: pd.Series(y).astype("category")))
def test_kinds_of_y_train_the_same_estimator(data, convert):
    X, y = data
    assert (MLPClassifier(**SMALL).fit(X, convert(y)).predict(X) == MLPClassifier(**SMALL).fit(X, y).predict(X)).all()
    with pytest.warns(sklearn.exceptions.DataConversionWarning):
        MLPRegressor(**SMALL).fit(X, y[:, None])


def test_feature_names_are_checked_as_in_scikit_learn(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abc"))
    clf = MLPClassifier(**SMALL).fit(frame, y)
    assert list(clf.feature_names_in_) == list("abc")
    with pytest.raises(ValueError, match="feature names"):
        clf.predict(frame[["c", "b", "a"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        clf.predict(X)


def test_wrong_number_of_features_raises(data):
    X, y = data
    clf = MLPClassifier(**SMALL).fit(X, y)
    with pytest.raises(ValueError, match="X has 2 features, but MLPClassifier is expecting 3"):
        clf.predict(X[:, :2])


def test_predictions_have_the_dtype_of_X(data):
    X, y = data
    reg, clf = MLPRegressor(**SMALL).fit(X, y), MLPClassifier(**SMALL).fit(X, y)
    for dtype in (np.float32, np.float64):
        assert reg.predict(X.astype(dtype)).dtype == clf.predict_proba(X.astype(dtype)).dtype == dtype


def test_prediction_is_independent_of_the_other_rows(data):
    """A sample gets the same bits alone and among others; check_estimator asks for 1e-7."""
    X, y = data
    for hidden in ((6,), (60, 20)):
        clf = MLPClassifier(hidden, max_iter=2, random_state=0).fit(X, y)
        whole = clf.predict_proba(X)
        for rows in (slice(0, 1), slice(3, 7), slice(10, 27), slice(80, 90)):
            np.testing.assert_array_equal(clf.predict_proba(X[rows]), whole[rows])


def test_coefs_and_intercepts_are_views_of_the_parameters(data):
    X, y = data
    clf = MLPClassifier(**SMALL).fit(X, y)
    before = clf.predict_proba(X)
    clf.coefs_[0][:] = 0.0
    assert abs(clf.predict_proba(X) - before).max() > 0.01
    clf.coefs_, clf.intercepts_ = [np.zeros((3, 6)), np.zeros((6, 1))], [np.zeros(6), np.zeros(1)]
    np.testing.assert_array_equal(clf.predict_proba(X), 0.5)


@pytest.mark.parametrize("n_nets", (1, 3))
@pytest.mark.parametrize("cls", (MLPClassifier, MLPRegressor))
def test_pickle_and_joblib_round_trip_and_clone_is_unfitted(cls, n_nets, data, tmp_path):
    X, y = data
    est = cls(**SMALL, n_nets=n_nets, early_stopping=True).fit(X, y)
    joblib.dump(est, tmp_path / "net.joblib")
    for same in (pickle.loads(pickle.dumps(est)), joblib.load(tmp_path / "net.joblib")):
        np.testing.assert_array_equal(same.predict(X), est.predict(X))
        same.set_params(early_stopping=False, warm_start=True).fit(X, y)  # pickled estimators can be trained again
        assert not np.array_equal(same.coefs_[0], est.coefs_[0])
    assert not hasattr(clone(est), "net_")
    assert clone(est).get_params() == est.get_params()


def test_partial_fit_continues_after_pickling(data):
    X, y = data
    one, other = (MLPClassifier(**SMALL).partial_fit(X, y, classes=[0, 1]) for _ in range(2))
    other = pickle.loads(pickle.dumps(other))
    np.testing.assert_array_equal(one.partial_fit(X, y).coefs_[0], other.partial_fit(X, y).coefs_[0])


@pytest.mark.thinned(3)
# JAX, if another test has loaded it, warns of every fork.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", ("threading", "loky", "multiprocessing"))
def test_parallel_grid_search_equals_serial_search(data, backend):
    grid = {"alpha": [1e-4, 1.0], "activation": ["relu", "tanh"]}
    with joblib.parallel_backend(backend, n_jobs=2):
        parallel = GridSearchCV(MLPClassifier(**SMALL), grid, cv=2, n_jobs=2).fit(*data)
    alone = GridSearchCV(MLPClassifier(**SMALL), grid, cv=2).fit(*data)
    np.testing.assert_array_equal(parallel.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"])


@pytest.mark.slow
def test_joblib_workers_share_the_processors():
    """joblib tells each process its number of threads, which nets respect."""
    counts = joblib.Parallel(n_jobs=2)(joblib.delayed(n_threads_available)() for _ in range(4))
    assert max(counts) <= max(1, joblib.cpu_count() // 2)


@pytest.mark.full
def test_halving_search_returns_a_fitted_estimator(data):
    search = HalvingGridSearchCV(MLPClassifier(**SMALL), {"alpha": [1e-4, 1e-2, 1.0]}, cv=2, random_state=0, n_jobs=2)
    assert search.fit(*data).best_estimator_.predict(data[0]).shape == (90,)


def test_concurrent_predictions_of_one_estimator_are_correct(data):
    X, y = data
    clf = MLPClassifier(**SMALL).fit(X, y)
    whole = clf.predict_proba(X)
    with ThreadPoolExecutor(4) as pool:
        rows = list(pool.map(lambda k: clf.predict_proba(X[k : k + 1]), range(90)))
    np.testing.assert_array_equal(np.concatenate(rows), whole)


def test_estimators_work_in_pipelines_with_pandas_output(data):
    X, y = data
    frame = pd.DataFrame(X, columns=list("abc"))
    pipe = make_pipeline(StandardScaler(), MLPRegressor(**SMALL)).set_output(transform="pandas").fit(frame, y)
    assert list(pipe[-1].feature_names_in_) == list("abc")
    scaled = TransformedTargetRegressor(pipe, transformer=StandardScaler()).fit(frame, y)
    assert scaled.predict(frame).shape == (90,)
    assert cross_val_score(pipe, frame, y, cv=3).shape == (3,)


def test_metadata_routing_passes_sample_weight(data):
    X, y = data
    weights = np.where(y, 5.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        clf = MLPClassifier(**SMALL).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        found = cross_validate(clf, X, y, cv=2, params={"sample_weight": weights}, return_estimator=True)
        plain = cross_validate(
            MLPClassifier(**SMALL).set_fit_request(sample_weight=False).set_score_request(sample_weight=False),
            X,
            y,
            cv=2,
            return_estimator=True,
        )
    assert not np.array_equal(found["estimator"][0].coefs_[0], plain["estimator"][0].coefs_[0])


@pytest.mark.filterwarnings("ignore:The y_prob values do not sum:UserWarning")
def test_permutation_importance_and_calibration_work(data):
    X, y = data
    clf = MLPClassifier(**SMALL).fit(X, y)
    importance = permutation_importance(clf, X, y, n_repeats=3, random_state=0).importances_mean
    assert importance[2] < importance[:2].max()
    calibrated = CalibratedClassifierCV(clf, cv=2).fit(X, y)
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)


def test_probabilities_sum_to_one_within_metric_tolerance(rng):
    X, y = rng.normal(size=(200, 3)), rng.integers(5, size=200)
    p = MLPClassifier(**SMALL).fit(X, y).predict_proba(X)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    sklearn.metrics.log_loss(y, p)


def test_repr_shows_changed_parameters():
    text = repr(MLPClassifier(alpha=0.5, dropout=0.1))
    assert text == "MLPClassifier(alpha=0.5, dropout=0.1)"
    assert "MLPRegressor" in estimator_html_repr(MLPRegressor())
