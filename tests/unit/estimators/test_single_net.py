"""Estimators of a single net: validation, partial_fit, warm_start, class weights, callbacks, interruption, threads."""

import signal
import warnings

import numpy as np
import pytest
from sklearn import neural_network as theirs
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from toy_data import blobs

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.kernels.cpu import backend
from fastmlp.nets.objective import Objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
SMALL = {"hidden_layer_sizes": (8,), "random_state": 0, "learning_rate_init": 0.02}


@pytest.fixture
def classes(rng):
    X = rng.normal(size=(240, 4)).astype(np.float32)
    return X, (X[:, 0] * X[:, 1] > 0).astype(int) + (X[:, 2] > 1)


@pytest.fixture
def numbers(rng):
    X = rng.normal(size=(240, 4)).astype(np.float32)
    return X, X[:, 0] + np.sin(X[:, 1])


# ---- validation


@pytest.mark.parametrize("weighted", (False, True))
@pytest.mark.parametrize("kind", ("classes", "numbers", "labels", "several numbers", "huber"))
def test_validation_scores_equal_the_score_on_validation_data(kind, weighted, classes, numbers, rng):
    """Of the last three kinds no kernel computes the score."""
    X, y = classes if kind == "classes" else numbers
    if kind == "labels":
        X, y = make_multilabel_classification(n_samples=240, n_classes=3, random_state=0)
    elif kind == "several numbers":
        y = np.c_[y, X[:, 0]]
    cls, settings = MLPClassifier if kind in ("classes", "labels") else MLPRegressor, SMALL
    if kind == "huber":
        settings = SMALL | {"loss": "huber"}
    held_out = X[180:], y[180:], rng.uniform(0.1, 3.0, 60) if weighted else None
    est = cls(**settings, max_iter=12).fit(X[:180], y[:180], validation_data=held_out if weighted else held_out[:2])
    assert est.validation_scores_[-1] == pytest.approx(est.score(*held_out), abs=1e-5)
    assert est.best_validation_score_ is None
    if kind == "numbers" and not weighted:  # on the scale of the loss curve
        loss = 0.5 * np.mean((est.predict(held_out[0]) - held_out[1]) ** 2)
        assert est.validation_loss_curve_[-1] == pytest.approx(loss, rel=1e-4)
    est = cls(**settings, early_stopping=True, n_iter_no_change=2, max_iter=300, tol=0.01)
    est.fit(X[:180], y[:180], validation_data=held_out if weighted else held_out[:2])
    assert est.score(*held_out) == pytest.approx(est.best_validation_score_, abs=1e-5)
    assert est.t_ == 180 * est.n_iter_ < 180 * 300
    assert len(est.validation_scores_) == len(est.validation_loss_curve_) == est.n_iter_


@pytest.mark.parametrize("cls, y", ((MLPClassifier, "ones"), (MLPClassifier, "labels"), (MLPRegressor, "two")))
def test_early_stopping_on_a_frame_gives_no_feature_name_warning(cls, y, rng):
    """Held-out samples are arrays without column names, and no metric must warn of that."""
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    targets = {"ones": np.ones(60), "labels": (X.to_numpy() > 0).astype(int), "two": X.to_numpy()}[y]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        est = cls(**SMALL, early_stopping=True, max_iter=5, validation_fraction=0.3).fit(X, targets)
        est.predict(X)
    assert len(est.validation_scores_) == 5


def test_validation_data_that_cannot_be_used_are_refused(classes):
    with pytest.raises(ValueError, match="leaves 1 to validate on"):
        MLPRegressor(early_stopping=True).fit(np.arange(5.0)[:, None], np.arange(5.0))
    with pytest.raises(ValueError, match=r"validation_data must be \(X, y\)"):
        MLPRegressor().fit([[0.0], [1.0]], [0, 1], validation_data=3)
    with pytest.raises(ValueError, match="y has the classes"):
        MLPClassifier(**SMALL).fit(*classes, validation_data=(classes[0], classes[1].astype(str)))


# ---- further fits


@pytest.mark.parametrize("solver, learning_rate", (("adam", "constant"), ("sgd", "invscaling"), ("sgd", "adaptive")))
def test_repeated_partial_fit_equals_one_fit(classes, solver, learning_rate):
    """The optimiser's state and the learning rate continue; shuffling starts from random_state in each call."""
    X, y = classes
    settings = SMALL | {"shuffle": False, "solver": solver, "learning_rate": learning_rate, "dtype": "float64"}
    if learning_rate == "adaptive":  # lowered after each second epoch that does not gain 10
        settings |= {"n_iter_no_change": 1, "tol": 10.0}
    whole = MLPClassifier(**settings, max_iter=6).fit(X, y)
    parts = MLPClassifier(**settings)
    for _ in range(6):
        parts.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_allclose(parts.net_.params, whole.net_.params, rtol=1e-10)
    assert (parts.t_, parts.n_iter_, len(parts.loss_curve_)) == (whole.t_, 1, 6)
    curve = parts.loss_curve_
    assert curve[-1] == parts.loss_
    assert parts.partial_fit(X, y).loss_curve_ is curve, "copying the curve would make each call longer"
    assert parts.fit(X, y).loss_curve_ is not curve


def test_partial_fit_after_fit_equals_scikit_learn(classes):
    settings = SMALL | {"shuffle": False, "max_iter": 4, "epsilon": 1e-14, "alpha": 0.0}  # differs in short batches
    ours, expected = MLPClassifier(**settings, dtype="float64"), theirs.MLPClassifier(**settings)
    X, y = classes[0].astype(float), classes[1]
    for est in (ours, expected):
        est.fit(X, y)
        for rows in (slice(100), slice(100, 240), slice(50)):
            est.partial_fit(X[rows], y[rows])
    np.testing.assert_allclose(ours.loss_curve_, expected.loss_curve_, rtol=1e-3)
    for a, b in zip(ours.coefs_, expected.coefs_, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert ours.t_ == expected.t_


@pytest.mark.parametrize(
    ("settings", "match"),
    (
        ({"early_stopping": True}, "partial_fit does not support early_stopping=True"),
        ({"class_weight": "balanced"}, "class_weight='balanced' is not supported by partial_fit.*as a dict"),
        ({"class_weight": "nonsense"}, r"'class_weight' parameter .* must be .* 'dict'.* Got 'nonsense'"),
        ({"class_weight": {2: "5"}}, r"class_weight\[2\] must be a number in \[0, inf\), but it is '5'\.$"),
    ),
    ids=str,
)
def test_settings_that_partial_fit_does_not_support_are_refused(settings, match, classes):
    with pytest.raises(ValueError, match=match):
        MLPClassifier(**SMALL, **settings).partial_fit(*classes, classes=[0, 1, 2])


def test_partial_fit_checks_its_classes(classes):
    X, y = classes
    clf = MLPClassifier(**SMALL, class_weight={2: 5.0})
    with pytest.raises(ValueError, match="classes must list all labels in the first call"):
        clf.partial_fit(X, y)
    clf.partial_fit(X[:5], y[:5], classes=[0, 1, 2, 3])
    assert clf.predict_proba(X).shape == (240, 4)
    few = y < 2
    assert np.isfinite(clf.partial_fit(X[few], y[few]).loss_), "of the class with a weight there is no sample"
    with pytest.raises(ValueError, match="y has the classes"):
        clf.partial_fit(X[:2], [0, 9])
    with pytest.raises(ValueError, match=r"classes are .* since the first call"):
        clf.partial_fit(X[:2], [0, 1], classes=[0, 1])
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")


@pytest.mark.parametrize("n_classes", [3, 12, 20])
def test_text_is_not_taken_for_classes_that_are_numbers(n_classes):
    """NumPy would compare texts: "10" comes before "2"."""
    X, y = np.random.default_rng(0).normal(size=(240, 4)), np.arange(240) % n_classes
    clf = MLPClassifier(**SMALL, max_iter=1).partial_fit(X, y, classes=np.arange(n_classes))
    before = clf.net_.params.copy()
    with pytest.raises(ValueError, match="y has the classes"):
        clf.partial_fit(X, y.astype(str))
    np.testing.assert_array_equal(clf.net_.params, before)


@pytest.mark.parametrize("solver", ("adam", "lbfgs"))
def test_warm_start_continues_training(classes, solver):
    X, y = classes
    clf = MLPClassifier(**SMALL, solver=solver, max_iter=5, warm_start=True).fit(X, y)
    first, few = clf.loss_, y < 2
    assert clf.fit(X, y).loss_ < first
    if solver == "adam":
        assert (len(clf.loss_curve_), clf.n_iter_, clf.t_) == (10, 5, 2400)
        assert len(clf.fit(X, y, validation_data=(X[few], y[few])).validation_scores_) == 5
    with pytest.raises(ValueError, match=r"net of layers \(4, 8, 3\), but the settings and data ask for \(4, 9, 3\)"):
        clf.set_params(hidden_layer_sizes=9).fit(X, y)
    cold = MLPClassifier(**SMALL, solver=solver, max_iter=5).fit(X, y)
    assert cold.fit(X, y).loss_ == first


# ---- callbacks, output


def test_callbacks_get_the_net_and_can_stop(classes):
    seen = []

    def record_epoch(epoch, history):
        seen.append((epoch, history.epochs, float(history.net.params[0])))
        return epoch == 4

    clf = MLPClassifier(**SMALL, callbacks=record_epoch).fit(*classes)
    assert [row[:2] for row in seen] == [(k, k + 1) for k in range(5)]
    assert len({row[2] for row in seen}) == clf.n_iter_ == 5


# ---- interruption


@pytest.mark.parametrize("early_stopping", (False, True))
def test_interruption_keeps_trained_epochs_or_the_best_validation_score(classes, early_stopping):
    def interrupt(epoch, history):
        if epoch == 40:
            signal.raise_signal(signal.SIGINT)

    settings = SMALL | {"early_stopping": early_stopping, "n_iter_no_change": 1000, "learning_rate_init": 0.1}
    at_best = "; the net is as it was at its best validation score" if early_stopping else ""
    with pytest.warns(UserWarning, match=f"interrupted in epoch 42{at_best}"):
        clf = MLPClassifier(**settings, callbacks=interrupt).fit(*classes)
    assert clf.n_iter_ == len(clf.loss_curve_) == 41
    kept = 40
    if early_stopping:
        assert len(clf.validation_scores_) == len(clf.validation_loss_curve_) == 41
        kept = int(np.argmax(clf.validation_scores_))
        assert kept < 40, "the best epoch must not be the last for this test"
        assert clf.best_validation_score_ == clf.validation_scores_[kept]
    alike = MLPClassifier(**settings, max_iter=kept + 1).fit(*classes)
    np.testing.assert_array_equal(clf.net_.params, alike.net_.params)


def test_interruption_before_the_first_epoch_warns_and_predicts(classes, monkeypatch):
    monkeypatch.setattr(backend, "train", lambda *_: signal.raise_signal(signal.SIGINT))
    with pytest.warns(UserWarning, match="interrupted in epoch 1; the net is as far as it had come"):
        clf = MLPClassifier(**SMALL).fit(*classes)
    assert (clf.n_iter_, clf.loss_curve_, np.isnan(clf.loss_)) == (0, [], True)
    assert np.isfinite(clf.predict_proba(classes[0])).all()


def test_divergence_with_early_stopping_keeps_the_best_epoch():
    X, y = blobs(0, n=60)
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


def test_loss_has_the_same_bits_for_any_number_of_threads(rng, monkeypatch):
    """Early stopping depends on the loss, so that other bits could end a fit at another epoch."""
    X = rng.normal(size=(1500, 20))
    y = rng.integers(0, 3, 1500)
    curves, params = [], []
    for n_threads in (1, 2, 3):
        monkeypatch.setattr(fastmlp.execution.dispatch, "n_threads_available", lambda n=n_threads: n)
        clf = MLPClassifier((64, 64), batch_size=1000, max_iter=4, random_state=0, early_stopping=True).fit(X, y)
        curves.append([clf.loss_curve_, clf.validation_loss_curve_, clf.loss_])
        params.append(clf.net_.params)
    assert curves[0] == curves[1] == curves[2]
    assert all((other == params[0]).all() for other in params)


# ---- solver="lbfgs": SciPy's L-BFGS-B on the objective of a net over all samples

LBFGS = {"hidden_layer_sizes": (4,), "activation": "tanh", "solver": "lbfgs", "random_state": 0}


@pytest.fixture
def sine(rng):
    X = rng.normal(size=(60, 3))
    return X, np.sin(X[:, 0])


def test_the_gradient_falls_to_the_tolerance(sine):
    def gradient(tol):
        model = MLPRegressor(**LBFGS, alpha=0.06, max_iter=2000, tol=tol).fit(*sine)
        return abs(model.net_.loss_and_gradient(*sine)[1]).max()

    assert gradient(1e-7) < 1e-4 < gradient(1e-2)


@pytest.mark.parametrize(("limit", "n_iterations"), [({"max_iter": 3}, 3), ({"max_fun": 5}, 5)])
def test_iterations_and_evaluations_have_a_limit(sine, limit, n_iterations, capsys):
    with pytest.warns(ConvergenceWarning, match="lbfgs ended before it converged, after .* iterations and"):
        model = MLPRegressor(**LBFGS, **limit, tol=0.0, verbose=True).fit(*sine)
    assert 0 < model.n_iter_ <= n_iterations
    assert capsys.readouterr().out.count("Iteration") == model.n_iter_


@pytest.mark.parametrize("n_evaluations", [1, 8])
def test_ctrl_c_ends_with_an_iteration(n_evaluations, sine, monkeypatch):
    evaluate, calls = Objective.__call__, []

    def interrupted(self, params):
        calls.append(params)
        if len(calls) == n_evaluations:
            signal.raise_signal(signal.SIGINT)
        return evaluate(self, params)

    monkeypatch.setattr(Objective, "__call__", interrupted)
    with pytest.warns(UserWarning, match="lbfgs was interrupted in iteration") as caught:
        model = MLPRegressor(**LBFGS).fit(*sine)
    n = model.n_iter_
    assert n >= 1
    assert str(caught[0].message).endswith(
        f"in iteration {n + 1}; the net has the parameters that iteration {n} has found."
    )
    assert n_evaluations <= len(calls) < n_evaluations + 4
    monkeypatch.undo()
    with pytest.warns(ConvergenceWarning):
        alike = MLPRegressor(**LBFGS, max_iter=n).fit(*sine)
    np.testing.assert_array_equal(model.net_.params, alike.net_.params)
    assert model.loss_ == alike.loss_


def test_settings_that_lbfgs_does_not_use_are_named(sine):
    settings = LBFGS | {"max_iter": 1000, "tol": 0.1}
    model = MLPRegressor(**settings, dropout=0.2, callbacks=lambda epoch, history: False)
    with pytest.warns(UserWarning, match="does not use callbacks and validation_data and dropout: it has no epochs"):
        model.fit(*sine, validation_data=sine)
    # of a setting of scikit-learn nothing is said, as there
    MLPRegressor(**settings, early_stopping=True).fit(*sine)
