"""Estimators of a single net: validation, early stopping, partial_fit, warm_start, interruption, records."""

import signal
import warnings

import numpy as np
import pytest
from sklearn import neural_network as theirs
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import r2_score

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.kernels.cpu import backend

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


def test_reaching_max_iter_warns(classes):
    with pytest.warns(ConvergenceWarning, match="max_iter=3 before it converged"):
        clf = MLPClassifier(**SMALL, max_iter=3).fit(*classes)
    assert (clf.n_iter_, clf.t_, len(clf.loss_curve_)) == (3, 720, 3)
    with pytest.warns(ConvergenceWarning, match="lbfgs ended before it converged, after 3 iterations"):
        MLPClassifier(**SMALL, max_iter=3, solver="lbfgs").fit(*classes)


def test_converged_fit_does_not_warn(classes):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        clf = MLPClassifier(**SMALL, tol=0.05, n_iter_no_change=2).fit(*classes)
    assert clf.n_iter_ < 200
    assert clf.best_loss_ == min(clf.loss_curve_)


def test_early_stopping_records_the_best_score(classes):
    clf = MLPClassifier(**SMALL, early_stopping=True, n_iter_no_change=3, max_iter=300).fit(*classes)
    assert clf.n_iter_ < 300
    assert clf.best_validation_score_ == max(clf.validation_scores_)
    assert len(clf.validation_scores_) == len(clf.validation_loss_curve_) == clf.n_iter_
    assert clf.best_loss_ is None
    assert clf.t_ == clf.n_iter_ * 216


@pytest.mark.parametrize("cls", (MLPClassifier, MLPRegressor))
def test_validation_scores_equal_the_score_on_validation_data(cls, classes, numbers):
    X, y = classes if cls is MLPClassifier else numbers
    held_out = X[180:], y[180:]
    est = cls(**SMALL, max_iter=12).fit(X[:180], y[:180], validation_data=held_out)
    assert est.validation_scores_[-1] == pytest.approx(est.score(*held_out), abs=1e-6)
    assert est.best_validation_score_ is None
    stopped = cls(**SMALL, early_stopping=True, n_iter_no_change=2, max_iter=300, tol=0.01)
    stopped.fit(X[:180], y[:180], validation_data=held_out)
    assert stopped.score(*held_out) == pytest.approx(stopped.best_validation_score_, abs=1e-6)
    assert stopped.t_ == 180 * stopped.n_iter_


def test_validation_loss_curve_is_on_the_scale_of_the_loss_curve(numbers):
    X, y = numbers
    est = MLPRegressor(**SMALL, max_iter=20).fit(X, y, validation_data=(X, y))
    assert est.validation_loss_curve_[-1] == pytest.approx(0.5 * np.mean((est.predict(X) - y) ** 2), rel=1e-4)


def test_validation_scores_are_weighted(classes, numbers, rng):
    weights = rng.uniform(0.1, 3.0, 240)
    for cls, data in ((MLPClassifier, classes), (MLPRegressor, numbers)):
        est = cls(**SMALL, max_iter=5).fit(*data, validation_data=(*data, weights))
        assert est.validation_scores_[-1] == pytest.approx(est.score(*data, weights), abs=1e-5)


def test_validation_scores_of_other_tasks_and_losses(rng, numbers):
    """Scores that a kernel does not compute: several labels, several outputs, other losses."""
    X, y = make_multilabel_classification(n_samples=100, n_classes=3, random_state=0)
    clf = MLPClassifier(**SMALL, max_iter=4).fit(X, y, validation_data=(X, y))
    assert clf.validation_scores_[-1] == clf.score(X, y)
    X, y = numbers
    for loss, Y in (("squared_error", np.c_[y, X[:, 0]]), ("huber", y)):
        reg = MLPRegressor(loss, **SMALL, max_iter=4).fit(X, Y, validation_data=(X, Y))
        assert reg.validation_scores_[-1] == pytest.approx(r2_score(Y, reg.predict(X)), abs=1e-6)


def test_early_stopping_holds_out_the_same_rows_as_scikit_learn(classes):
    X, y = classes
    settings = {**SMALL, "early_stopping": True, "max_iter": 2, "validation_fraction": 0.25}
    for data in ((X, y), (X, y > 0)):
        ours, expected = (cls(**settings).fit(*data) for cls in (MLPClassifier, theirs.MLPClassifier))
        np.testing.assert_allclose(ours.validation_scores_, expected.validation_scores_, atol=0.1)
        assert ours.t_ == expected.t_


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


def test_partial_fit_after_fit_equals_scikit_learn(classes):
    settings = SMALL | {
        "shuffle": False,
        "max_iter": 4,
        "epsilon": 1e-14,
        "alpha": 0.0,
    }  # theirs differs in short batches
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


def test_partial_fit_checks_its_classes(classes):
    X, y = classes
    with pytest.raises(ValueError, match="classes must list all labels in the first call"):
        MLPClassifier().partial_fit(X, y)
    clf = MLPClassifier(**SMALL).partial_fit(X[:5], y[:5], classes=[0, 1, 2, 3])
    assert clf.predict_proba(X).shape == (240, 4)
    with pytest.raises(ValueError, match="y has the classes"):
        clf.partial_fit(X[:2], [0, 9])
    with pytest.raises(ValueError, match=r"classes are .* since the first call"):
        clf.partial_fit(X[:2], [0, 1], classes=[0, 1])
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")
    with pytest.raises(ValueError, match="partial_fit does not support early_stopping=True"):
        MLPClassifier(early_stopping=True).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match="partial_fit does not support schedule: it cannot know how many calls follow"):
        MLPClassifier(schedule="cosine").partial_fit(X, y, classes=[0, 1, 2])


@pytest.mark.parametrize("n_classes", [3, 12, 20])
def test_text_is_not_taken_for_classes_that_are_numbers(n_classes):
    """NumPy would compare texts: "10" comes before "2"."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(240, 4)), np.arange(240) % n_classes
    clf = MLPClassifier(**SMALL, max_iter=1).partial_fit(X, y, classes=np.arange(n_classes))
    before = clf.net_.params.copy()
    with pytest.raises(ValueError, match="y has the classes"):
        clf.partial_fit(X, y.astype(str))
    np.testing.assert_array_equal(clf.net_.params, before)
    with pytest.raises(ValueError, match="y has the classes"):
        MLPClassifier(**SMALL).fit(X, y, validation_data=(X, y.astype(str)))


@pytest.mark.parametrize("solver", ("adam", "lbfgs"))
def test_warm_start_continues_training(numbers, solver):
    X, y = numbers
    est = MLPRegressor(**SMALL, solver=solver, max_iter=5, warm_start=True).fit(X, y)
    first = est.loss_
    est.fit(X, y)
    assert est.loss_ < first
    if solver == "adam":
        assert (len(est.loss_curve_), est.n_iter_, est.t_) == (10, 5, 2400)
    cold = MLPRegressor(**SMALL, solver=solver, max_iter=5).fit(X, y)
    assert cold.fit(X, y).loss_ == first


def test_warm_start_accepts_validation_data_with_fewer_classes(classes):
    X, y = classes
    clf = MLPClassifier(**SMALL, max_iter=2, warm_start=True).fit(X, y)
    few = y < 2
    assert len(clf.fit(X, y, validation_data=(X[few], y[few])).validation_scores_) == 2


def test_warm_start_with_other_classes_or_layers_raises(classes):
    X, y = classes
    clf = MLPClassifier(**SMALL, max_iter=2, warm_start=True).fit(X, y)
    with pytest.raises(ValueError, match="warm_start can only be used where `y` has the same classes"):
        clf.fit(X, y.clip(0, 1))
    with pytest.raises(ValueError, match=r"net of layers \(4, 8, 3\), but the settings and data ask for \(4, 9, 3\)"):
        clf.set_params(hidden_layer_sizes=9).fit(X, y)


def test_callbacks_get_the_net_and_can_stop(classes):
    seen = []

    def record_epoch(epoch, history):
        seen.append((epoch, history.epochs, float(history.net.params[0])))
        return epoch == 4

    clf = MLPClassifier(**SMALL, callbacks=record_epoch).fit(*classes)
    assert [row[:2] for row in seen] == [(k, k + 1) for k in range(5)]
    assert len({row[2] for row in seen}) == 5
    assert clf.n_iter_ == 5


def test_schedule_spans_max_iter_epochs(numbers):
    rates = []

    def falling(steps, n_steps):
        rates.extend(steps / n_steps)
        return 1.0 - steps / n_steps

    MLPRegressor(**SMALL, schedule=falling, max_iter=10, batch_size=120, tol=0.0).fit(*numbers)
    assert rates[0] == 0.0
    assert rates[-1] == 0.95


def test_verbose_output_has_the_form_of_scikit_learns(classes, capsys):
    MLPClassifier(**SMALL, max_iter=2, verbose=True, early_stopping=True).fit(*classes)
    ours = capsys.readouterr().out
    theirs.MLPClassifier(**SMALL, max_iter=2, verbose=True, early_stopping=True).fit(*classes)
    shape = lambda text: [line.split("=")[0].split(":")[0] for line in text.splitlines()]
    assert shape(ours) == shape(capsys.readouterr().out)


def test_interruption_keeps_trained_epochs(classes):
    def interrupt(epoch, history):
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(UserWarning, match="interrupted"):
        clf = MLPClassifier(**SMALL, callbacks=interrupt).fit(*classes)
    assert clf.n_iter_ == len(clf.loss_curve_) == 3
    assert clf.predict(classes[0]).shape == (240,)


def test_interruption_restores_the_best_validation_score(classes):
    def interrupt(epoch, history):
        if epoch == 40:
            signal.raise_signal(signal.SIGINT)

    settings = SMALL | {"early_stopping": True, "n_iter_no_change": 1000, "learning_rate_init": 0.1}
    with pytest.warns(UserWarning, match="interrupted in epoch 42; the net is as it was at its best validation score"):
        clf = MLPClassifier(**settings, callbacks=interrupt).fit(*classes)
    assert len(clf.validation_scores_) == len(clf.validation_loss_curve_) == len(clf.loss_curve_) == clf.n_iter_ == 41
    best = int(np.argmax(clf.validation_scores_))
    assert best < 40, "the best epoch must not be the last for this test"
    assert clf.best_validation_score_ == clf.validation_scores_[best]
    alike = MLPClassifier(**settings, max_iter=best + 1).fit(*classes)
    np.testing.assert_array_equal(clf.net_.params, alike.net_.params)


def test_interruption_before_the_first_epoch_warns_and_predicts(classes, monkeypatch):
    def interrupted(*arguments):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(backend, "train", interrupted)
    with pytest.warns(UserWarning, match="interrupted in epoch 1; the net is as far as it had come"):
        clf = MLPClassifier(**SMALL).fit(*classes)
    assert (clf.n_iter_, clf.loss_curve_, np.isnan(clf.loss_)) == (0, [], True)
    assert np.isfinite(clf.predict_proba(classes[0])).all()


def test_too_small_validation_part_raises():
    with pytest.raises(ValueError, match="leaves 1 to validate on"):
        MLPRegressor(early_stopping=True).fit(np.arange(5.0)[:, None], np.arange(5.0))
    with pytest.raises(ValueError, match=r"validation_data must be \(X, y\)"):
        MLPRegressor().fit([[0.0], [1.0]], [0, 1], validation_data=3)


@pytest.mark.parametrize(
    "cls, y, settings",
    (
        (MLPClassifier, "ones", {}),
        (MLPClassifier, "labels", {}),
        (MLPRegressor, "ones", {}),
        (MLPRegressor, "two", {}),
        (MLPRegressor, "one", {"loss": "absolute_error"}),
    ),
)
def test_early_stopping_on_a_frame_gives_no_feature_name_warning(cls, y, settings, rng):
    """Held-out samples are arrays without column names, and no metric must warn of that."""
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    column = X["a"].to_numpy()
    targets = {"ones": np.ones(60), "labels": (X.to_numpy() > 0).astype(int), "one": column, "two": X.to_numpy()}[y]
    est = cls(**SMALL, early_stopping=True, max_iter=5, validation_fraction=0.3, **settings)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        est.fit(X, targets)
        est.predict(X)
    assert len(est.validation_scores_) == 5
    assert list(est.feature_names_in_) == ["a", "b"]


def test_partial_fit_appends_to_its_curve(classes):
    clf = MLPClassifier(**SMALL).partial_fit(*classes, classes=[0, 1, 2])
    curve, first = clf.loss_curve_, clf.loss_
    clf.partial_fit(*classes)
    assert clf.loss_curve_ is curve, "copying the curve would make each call longer"
    assert curve == [first, clf.loss_]
    clf.fit(*classes)
    assert len(curve) == 2
    assert clf.loss_curve_ is not curve


def test_partial_fit_accepts_class_weight_as_a_dict_only(classes):
    X, y = classes
    with pytest.raises(ValueError, match=r"class_weight=.balanced. is not supported by partial_fit.*as a dict"):
        MLPClassifier(**SMALL, class_weight="balanced").partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"'class_weight' parameter .* must be .* 'dict'.* Got 'nonsense'"):
        MLPClassifier(**SMALL, class_weight="nonsense").partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(ValueError, match=r"class_weight\[2\] must be a number in \[0, inf\), but it is '5'\.$"):
        MLPClassifier(**SMALL, class_weight={2: "5"}).partial_fit(X, y, classes=[0, 1, 2])
    clf = MLPClassifier(**SMALL, class_weight={2: 5.0}).partial_fit(X, y, classes=[0, 1, 2])
    few = y < 2
    clf.partial_fit(X[few], y[few])  # without a sample of the class that is named
    assert np.isfinite(clf.loss_)


def test_class_weight_multiplies_sample_weight(classes):
    X, y = classes
    by_class = MLPClassifier(**SMALL, max_iter=3, class_weight={2: 5.0}).fit(X, y)
    by_sample = MLPClassifier(**SMALL, max_iter=3).fit(X, y, np.where(y == 2, 5.0, 1.0))
    np.testing.assert_allclose(by_class.predict_proba(X), by_sample.predict_proba(X), rtol=1e-3)


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
