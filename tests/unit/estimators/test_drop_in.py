"""What programs written for scikit-learn's MLPs find here too: dtypes of X, given weights, private attributes."""

import warnings
from functools import partial

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn import neural_network as theirs
from sklearn.exceptions import ConvergenceWarning
from toy_data import blobs

from fastmlp import MLPClassifier, MLPRegressor

X, y = blobs(0, n=60)
SMALL = {"hidden_layer_sizes": (4,), "random_state": 0, "max_iter": 3}
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize(("dtype", "expected"), (("f4", "f4"), ("f8", "f8"), ("i8", "f8")))
def test_nets_follow_the_type_of_x(dtype, expected):
    of_type = X.astype(dtype)
    for model in (MLPClassifier, MLPRegressor, partial(MLPRegressor, solver="lbfgs")):
        model = model(**SMALL, dtype="input").fit(of_type, y)
        assert {model.net_.dtype, *(array.dtype for array in model.coefs_ + model.intercepts_)} == {np.dtype(expected)}
    continued = MLPRegressor(**SMALL, dtype="input", warm_start=True).fit(of_type, y).fit(X, y)
    assert continued.net_.dtype == expected
    anew = MLPRegressor(**SMALL, dtype="input").fit(of_type, y).fit(X, y).partial_fit(X.astype("f4"), y)
    assert anew.net_.dtype == np.float64


def test_input_in_float64_gives_scikit_learns_numbers():
    settings = {**SMALL, "shuffle": False, "solver": "sgd", "batch_size": 20}
    ours = MLPRegressor(**settings, dtype="input").fit(X, y)
    np.testing.assert_allclose(ours.predict(X), theirs.MLPRegressor(**settings).fit(X, y).predict(X), rtol=1e-9)


@pytest.mark.parametrize("begin", ("partial_fit", "warm_start", "fit"))
def test_weights_that_are_set_before_the_first_fit_are_where_it_starts(begin):
    drawn, settings = MLPRegressor(**SMALL).fit(X, y), SMALL | {"max_iter": 1, "learning_rate_init": 1e-30}
    model = MLPRegressor(**settings, warm_start=begin == "warm_start")
    model.coefs_ = [array.copy() for array in drawn.coefs_]
    if begin != "fit":
        with pytest.raises(ValueError, match=r"not with the shapes of layers \(4, 4, 1\): \[\(4, 4\), \(4, 1\)\] and"):
            getattr(model, begin.replace("warm_start", "fit"))(X, y)
        model.coefs_ = [array.copy() for array in drawn.coefs_]
    model.intercepts_ = [array.copy() for array in drawn.intercepts_]
    assert len(model.coefs_) == 2, "they can be read before fit"
    model.partial_fit(X, y) if begin == "partial_fit" else model.fit(X, y)
    plain = MLPRegressor(**settings).fit(X, y)  # draws its own
    np.testing.assert_allclose(model.net_.params, (plain if begin == "fit" else drawn).net_.params, rtol=1e-6)
    with pytest.raises(AttributeError, match="_optimizer only after a fit"):
        MLPRegressor()._optimizer  # noqa: B018


def test_divergence_with_early_stopping_keeps_the_best_epoch():
    settings = {"solver": "sgd", "learning_rate_init": 1.0, "activation": "identity", "random_state": 0}
    model = MLPRegressor(**settings, early_stopping=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert [warning.category for warning in caught] == [ConvergenceWarning]
    assert "Training diverged in epoch" in str(caught[0].message)
    assert "best validation score" in str(caught[0].message)
    assert np.isnan(model.validation_scores_[-1])
    assert np.isfinite(model.validation_scores_[:-1]).all()
    assert model.best_validation_score_ == max(model.validation_scores_[:-1])
    assert np.isfinite(model.predict(X)).all()


@pytest.mark.parametrize("convert", (np.asarray, csr_matrix), ids=("dense", "sparse"))
def test_inputs_beyond_float32_have_scikit_learns_message(convert):
    with pytest.raises(ValueError, match=r"^Solver produced non-finite .* X holds 1e\+300, which is beyond float32"):
        MLPRegressor(**SMALL).fit(convert(X * [1e300, 0, 0, 0] / np.abs(X[:, 0]).max()), y)
    with pytest.raises(ValueError, match="infinity"):
        MLPRegressor(**SMALL).fit(convert([[np.inf, 1.0], [1.0, 2.0]]), [0, 1])
