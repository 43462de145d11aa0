"""`MLPClassifier` and `MLPRegressor` compared with scikit-learn's: equal settings and random numbers, equal results."""

import inspect
import warnings

import numpy as np
import pytest
from sklearn import neural_network as theirs
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor

PAIRS = [(theirs.MLPClassifier, MLPClassifier), (theirs.MLPRegressor, MLPRegressor)]
FEW_EPOCHS = "ignore::sklearn.exceptions.ConvergenceWarning"


@pytest.fixture(scope="module")
def iris():
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    return ((X - X.mean(axis=0)) / X.std(axis=0))[order], y[order]


@pytest.fixture(scope="module")
def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return X[:400] / X.std(axis=0), (y[:400] - y.mean()) / y.std()


@pytest.mark.parametrize("their, our", PAIRS)
def test_parameters_and_defaults_include_scikit_learns(their, our):
    expected, found = (inspect.signature(cls.__init__).parameters for cls in (their, our))
    assert {name: p.default for name, p in expected.items()}.items() <= {
        name: p.default for name, p in found.items()
    }.items()
    positional = [name for name, p in expected.items() if p.kind is p.POSITIONAL_OR_KEYWORD]
    assert positional == [name for name, p in found.items() if p.kind is p.POSITIONAL_OR_KEYWORD]


# Only initial weights are random. scikit-learn's Adam has epsilon in another place: one that is negligible.
DETERMINISTIC = {"shuffle": False, "max_iter": 30, "batch_size": 50, "epsilon": 1e-14}
FALLING = {"solver": "sgd", "learning_rate_init": 0.3, "learning_rate": "adaptive", "n_iter_no_change": 2, "tol": 0.02}
STOPPING = {"early_stopping": True, "validation_fraction": 0.4, "batch_size": 30, "learning_rate_init": 0.01}
WEIGHTS = {"batch_size": 150, "learning_rate_init": 0.01, "alpha": 1.0}  # theirs divides a batch's loss by its weight
LBFGS = {"solver": "lbfgs", "max_iter": 25, "hidden_layer_sizes": (8,)}
TRAININGS = [
    *(
        (task, settings)
        for task in ("classes", "numbers")
        for settings in (
            {},
            {"alpha": 5.0},
            {"activation": "logistic"},
            {"activation": "tanh", "hidden_layer_sizes": (12, 7)},
            {"activation": "identity", "hidden_layer_sizes": 5},
            {"beta_1": 0.5, "beta_2": 0.9, "learning_rate_init": 0.01},
            {"solver": "sgd", "learning_rate_init": 0.05},
            {"solver": "sgd", "learning_rate_init": 0.05, "nesterovs_momentum": False, "alpha": 0.1},
            {"solver": "sgd", "learning_rate_init": 0.05, "momentum": 0.0},
            STOPPING,
            LBFGS,
            LBFGS | {"activation": "tanh", "alpha": 0.1},
            LBFGS | {"max_fun": 20},
        )
    ),
    ("classes", {"solver": "sgd", "learning_rate_init": 0.3, "learning_rate": "invscaling", "power_t": 0.3}),
    ("classes", FALLING),
    ("two classes", {}),
    ("two classes", STOPPING),
    ("labels", {}),
    ("counts", {"loss": "poisson"}),
    ("weighted counts", WEIGHTS | {"loss": "poisson", "batch_size": 400}),
    ("several numbers", {"learning_rate_init": 0.005}),
    ("several numbers", {"learning_rate_init": 0.005, "solver": "sgd"}),
    ("weighted classes", WEIGHTS),
]


@pytest.fixture(scope="module")
def tasks(iris, diabetes):
    X, y = diabetes
    labels = make_multilabel_classification(n_samples=100, n_classes=4, random_state=0)
    return {
        "classes": iris,
        "two classes": (iris[0], iris[1] > 0),
        "labels": (labels[0] / 10, labels[1]),
        "weighted classes": (*iris, np.random.default_rng(0).uniform(0.5, 2.0, 150)),
        "numbers": diabetes,
        "counts": (X, np.exp(y)),
        "weighted counts": (X, np.exp(y), np.random.default_rng(0).uniform(0.5, 2.0, 400)),
        "several numbers": (X, np.c_[y, X[:, 0], y**2]),
    }


@pytest.mark.parametrize(("task", "settings"), TRAININGS, ids=str)
def test_training_equals_scikit_learn(task, settings, tasks):
    """Losses agree to 5e-4, since the penalty is measured once an epoch."""
    data, tolerance = tasks[task], 1e-7 if settings.get("solver") == "lbfgs" else 5e-4
    settings = DETERMINISTIC | settings | {"random_state": 3}
    their, our = PAIRS["numbers" in task or "counts" in task]
    a, b = their(**settings), our(**settings, dtype="float64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "batch_size")
        a.fit(*data)
        b.fit(*data)
    for name in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_"):
        assert getattr(b, name) == getattr(a, name), name
    assert b.loss_ == pytest.approx(a.loss_, rel=tolerance)
    if settings.get("solver") != "lbfgs":
        np.testing.assert_allclose(b.loss_curve_, a.loss_curve_, rtol=tolerance)
        for name in ("best_loss_", "best_validation_score_", "validation_scores_"):
            expected = getattr(a, name)
            assert expected is None or getattr(b, name) == pytest.approx(expected, rel=tolerance), name
        assert b._no_improvement_count == a._no_improvement_count
        if settings.get("solver") == "sgd":
            assert b._optimizer.learning_rate == pytest.approx(a._optimizer.learning_rate, rel=1e-12)
    for ours, expected in zip(b.coefs_ + b.intercepts_, a.coefs_ + a.intercepts_, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-6)
    for method in ("predict", "predict_proba", "predict_log_proba"):
        if hasattr(a, method):
            np.testing.assert_allclose(getattr(b, method)(data[0]), getattr(a, method)(data[0]), atol=1e-5)


@pytest.mark.filterwarnings(FEW_EPOCHS)
def test_robust_losses_of_a_regressor_tolerate_outliers():
    X = np.linspace(-1, 1, 200)[:, None]
    y = X[:, 0] + 50.0 * (np.arange(200) % 20 == 0)
    settings = {"hidden_layer_sizes": (), "learning_rate_init": 0.02, "max_iter": 150, "batch_size": 50}
    error = {
        loss: abs(MLPRegressor(loss, huber_delta=0.1, random_state=0, **settings).fit(X, y).predict(X) - X[:, 0]).mean()
        for loss in ("huber", "absolute_error", "squared_error")
    }
    assert max(error["huber"], error["absolute_error"]) < 0.2 < error["squared_error"]


@pytest.mark.filterwarnings(FEW_EPOCHS)
@pytest.mark.parametrize("solver", ("rmsprop", "adagrad", "rprop", "quickprop", "adamw", fastmlp.AdamW(0.05)), ids=str)
@pytest.mark.parametrize("activation", ("gelu", "leaky_relu"))
def test_classifier_learns_with_further_solvers_and_activations(iris, solver, activation):
    clf = MLPClassifier(
        (10,), activation, solver=solver, learning_rate_init=0.02, max_iter=60, random_state=0, dropout=0.05
    )
    assert clf.fit(*iris).score(*iris) > 0.85


@pytest.mark.filterwarnings(FEW_EPOCHS)
def test_class_weight_equals_sample_weight_per_class(iris, rng):
    X, y = iris[0], iris[1] == 0
    rows = np.r_[np.flatnonzero(~y), np.flatnonzero(y)[:5]]
    X, y, weights = X[rows], y[rows], rng.uniform(0.5, 2.0, len(rows))
    few = {"hidden_layer_sizes": (), "max_iter": 15, "learning_rate_init": 0.02, "random_state": 0, "alpha": 0.0}
    plain, weighted = (MLPClassifier(**few, class_weight=w).fit(X, y) for w in (None, "balanced"))
    assert weighted.predict(X).sum() > plain.predict(X).sum()
    for given in (None, weights):  # but for alpha, which sample_weight scales
        by_name = MLPClassifier(**few, class_weight={True: 10.0, False: 0.5}).fit(X, y, given)
        as_weights = MLPClassifier(**few).fit(X, y, np.where(y, 10.0, 0.5) * (1.0 if given is None else given))
        np.testing.assert_array_equal(by_name.predict_proba(X), as_weights.predict_proba(X))


def test_label_smoothing_lowers_the_largest_probability(iris):
    X, y = iris
    few = {"solver": "lbfgs", "hidden_layer_sizes": (8,), "max_iter": 500, "random_state": 0, "tol": 1e-5}
    sure, smooth = (MLPClassifier(**few, label_smoothing=s).fit(X, y).predict_proba(X).max() for s in (0.0, 0.2))
    assert smooth < 0.95 < sure


BAD_DATA = [
    (MLPClassifier, [[0.0], [1.0]], [0.5, 1.5], "Unknown label type: continuous"),
    (MLPClassifier, [[0.0], [1.0]], [[0, 1], [2, 0]], "several columns of classes"),
    (MLPRegressor, [[0.0], [1.0]], [0, 1e300], "y must fit into float32, but it holds 1e.300 at .1, 0., which is too"),
    (MLPRegressor, [[0.0], [1e300]], [0, 1], r"non-finite parameter weights.* X holds 1e.300, which is beyond float32"),
    (MLPRegressor, [[0.0], [1.0]], [0], "inconsistent"),
    (lambda: MLPRegressor((20,)), [[0.0], [1.0]], [0, 1], r"name the other one, MLPRegressor.hidden_layer_sizes=.20"),
]


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("cls, X, y, message", BAD_DATA)
def test_invalid_data_raise(cls, X, y, message):
    with pytest.raises(ValueError, match=message):
        cls().fit(X, y)
    with pytest.raises(ValueError, match="sample_weight must be at least 0, but holds -1"):
        MLPClassifier().fit([[0.0], [1.0]], [0, 1], sample_weight=[1, -1])


def test_warnings_point_to_the_users_line():
    with pytest.warns(ConvergenceWarning) as found:
        GridSearchCV(MLPClassifier(max_iter=1), {}, cv=2).fit(np.eye(8), [0, 1] * 4)
    assert {warning.filename for warning in found} == {__file__}


def test_divergence_raises_without_a_warning(diabetes):
    """Divergence raises ValueError, as in scikit-learn, without a warning in addition."""
    X, y = diabetes
    with pytest.raises(ValueError, match=r"^Solver produced non-finite parameter weights.* lower learning_rate_init"):
        MLPRegressor(solver="sgd", learning_rate_init=1e6, random_state=0).fit(X, y)


def test_estimators_import_scikit_learn_on_first_use(fresh_python):
    done = fresh_python(
        "import sys, fastmlp; assert 'sklearn' not in sys.modules; print(fastmlp.MLPClassifier().alpha)"
    )
    assert (done.stdout.strip(), done.stderr) == ("0.0001", "")


def test_missing_scikit_learn_names_the_install_command(fresh_python):
    done = fresh_python("import sys; sys.modules['sklearn'] = None\nimport fastmlp\nfastmlp.MLPRegressor")
    assert "pip install 'fastmlp[sklearn]' (in a checkout: pip install '.[sklearn]')" in done.stderr.splitlines()[-1]


# ---- probabilities


@pytest.fixture(scope="module")
def far_apart():
    """(a classifier of two classes with logits up to some hundred, its inputs)"""
    rng = np.random.default_rng(0)
    X = np.linspace(-40.0, 40.0, 161)[:, None] * [[1.0, 0.3]]
    clf = MLPClassifier((4,), activation="identity", max_iter=2, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        clf.fit(X, rng.permutation(161) % 2)
    clf.net_.params[:] = 0.0
    clf.coefs_[0][0], clf.coefs_[1][:] = 1.0, 0.25
    return clf, X


def test_small_binary_probabilities_keep_their_precision(far_apart):
    """The logits include values whose sigmoid is 1 in float32, and 1 in scikit-learn's float64."""
    clf, X = far_apart
    p, log_p = clf.predict_proba(X), clf.predict_log_proba(X)
    assert p.min() > 0.0
    assert np.isfinite(log_p).all()
    rounded = 1.0 / (1.0 + np.exp(-X @ clf.coefs_[0].astype(float) @ clf.coefs_[1].astype(float)))  # as scikit-learn's
    np.testing.assert_allclose(p, np.hstack([1.0 - rounded, rounded]), atol=1e-15)
    np.testing.assert_allclose(log_p, np.log(p), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-15)
    assert (np.diff(p[X[:, 0] >= 0, 0]) < 0).all()
    assert len(np.unique(p[-40:, 1])) >= len(np.unique(rounded[-40:]))
    np.testing.assert_array_equal(clf.predict(X), clf.classes_[p.argmax(axis=1)])
    small = clf.predict_proba(X.astype(np.float32))
    assert small.dtype == np.float32
    assert small.min() > 0.0
    tiny = X[X[:, 0] > 17] / 2
    assert (np.diff(clf.predict_proba(tiny)[:, 1]) > 0).all(), "their order is kept"


@pytest.mark.filterwarnings(FEW_EPOCHS)
@pytest.mark.parametrize("kind", ("two", "three", "labels"))
def test_log_probabilities_equal_logarithms_of_probabilities(kind, iris):
    X, y = iris
    y = {"two": y > 0, "three": y, "labels": np.c_[y > 0, y > 1].astype(int)}[kind]
    clf = MLPClassifier((8,), max_iter=20, random_state=0).fit(X, y)
    p = clf.predict_proba(X)
    np.testing.assert_allclose(clf.predict_log_proba(X), np.log(p), rtol=1e-9)
    found = (p > 0.5).astype(int) if kind == "labels" else clf.classes_[p.argmax(axis=1)]
    np.testing.assert_array_equal(clf.predict(X), found)
    far = clf.predict_log_proba(1e4 * X)
    assert np.isfinite(far).all()
    assert (far <= 0).all()
    if kind != "labels":
        np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)


def test_a_fit_that_is_refused_leaves_the_estimator_as_it_was(iris):
    X, y = iris
    model = MLPClassifier(hidden_layer_sizes=(4,), max_iter=1, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
        before = model.predict(X)
        for bad in ({"validation_data": (X, y[:3])}, {"sample_weight": np.ones(3)}):
            with pytest.raises(ValueError, match=r"length|inconsistent|shape|sample"):
                model.fit(X[:, :2], np.array(["a", "b"])[y % 2], **bad)
        np.testing.assert_array_equal(model.predict(X), before)
