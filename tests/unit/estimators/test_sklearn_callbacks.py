"""scikit-learn's own callbacks, which version 1.9 has: tasks of fits and epochs, in searches, too."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from toy_data import blobs

from fastmlp import MLPClassifier, MLPRegressor, TabularMLPClassifier, TabularMLPRegressor

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = blobs(0, n=60)
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0}
TABLE = pd.DataFrame(X, columns=[f"column {k}" for k in range(X.shape[1])])
MODELS = {
    "classifier": MLPClassifier(**SMALL),
    "regressor": MLPRegressor(**SMALL),
    "lbfgs": MLPClassifier(**SMALL, solver="lbfgs"),
    "table of classes": TabularMLPClassifier(**SMALL, n_nets=1),
    "table of numbers": TabularMLPRegressor(**SMALL, n_nets=1),
}


class Recorder:
    """A callback that records what it is told, and may end the fit."""

    def __init__(self, stop_at=None):
        self.stop_at, self.told, self.scores = stop_at, [], []

    def setup(self, estimator, context):
        self.told.append("setup")

    def teardown(self, estimator, context):
        self.told.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.told.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.told.append(f"end {context.task_name}")
        if fitted_estimator is not None and X is not None:
            self.scores.append(fitted_estimator.score(X, y))
        return context.task_name in ("epoch", "iteration") and context.task_id == self.stop_at


def test_every_epoch_is_a_task():
    recorder = Recorder()
    clf = MLPClassifier(**SMALL).set_callbacks(recorder).fit(X, y)
    assert recorder.told == ["setup", "begin fit", *["begin epoch", "end epoch"] * 5, "end fit", "teardown"]
    assert len(recorder.scores) == 6
    assert recorder.scores[-1] == recorder.scores[-2] == clf.score(X, y)


def test_callbacks_change_no_bit_of_training():
    plain, observed = MLPClassifier(**SMALL).fit(X, y), MLPClassifier(**SMALL).set_callbacks(Recorder()).fit(X, y)
    np.testing.assert_array_equal(plain.net_.params, observed.net_.params)


@pytest.mark.parametrize("more", ({}, {"tol": 10.0, "n_iter_no_change": 1, "max_iter": 50}))
def test_tasks_that_began_end(more):
    """Also where the stopping rule ends the fit after an epoch, when the next one has begun as a task."""
    recorder = Recorder()
    MLPClassifier(**{**SMALL, **more}).set_callbacks(recorder).fit(X, y)
    for name in ("fit", "epoch"):
        assert recorder.told.count(f"begin {name}") == recorder.told.count(f"end {name}")


def test_a_callback_may_end_the_fit():
    clf = MLPClassifier(**SMALL).set_callbacks(Recorder(stop_at=2)).fit(X, y)
    assert clf.n_iter_ == 3


@pytest.mark.parametrize(
    "model",
    (MODELS["lbfgs"], MODELS["table of classes"], TabularMLPRegressor(**SMALL, n_nets=1, n_folds=2)),
    ids=("lbfgs", "table", "folds"),
)
def test_a_callback_may_end_a_training(model):
    """Of nets that are trained one after another, the training of each."""
    recorder = Recorder(stop_at=1)
    fitted = clone(model).set_callbacks(recorder).fit(TABLE, y)
    assert fitted.n_iter_ == 2
    n_trainings = max(1, recorder.told.count("begin training"))
    assert sum(told in ("end epoch", "end iteration") for told in recorder.told) == 2 * n_trainings


def test_several_nets_that_are_trained_together_have_no_epochs():
    for model in (MLPClassifier(**SMALL, n_nets=3), TabularMLPClassifier(**SMALL, n_nets=2)):
        recorder = Recorder()
        fitted = model.set_callbacks(recorder).fit(X, y)
        assert [told for told in recorder.told if "training" not in told] == [
            "setup",
            "begin fit",
            "end fit",
            "teardown",
        ]
        assert recorder.scores == [fitted.score(X, y)]


def test_iterations_of_lbfgs_are_tasks():
    recorder = Recorder()
    MLPClassifier(**SMALL, solver="lbfgs").set_callbacks(recorder).fit(X, y)
    assert recorder.told.count("begin iteration") == recorder.told.count("end iteration") == 5
    assert len(set(recorder.scores)) > 1, "each iteration has parameters of its own"


@pytest.mark.parametrize(
    "more, n_trainings",
    (({}, 1), ({"n_folds": 2}, 2), ({"refit": True}, 2), ({"n_nets": 2, "eval_metric": "accuracy"}, 2)),
)
def test_each_training_of_a_tabular_estimator_is_a_task(more, n_trainings):
    recorder = Recorder()
    fitted = TabularMLPClassifier(**{**SMALL, "n_nets": 1, **more}).set_callbacks(recorder).fit(TABLE, y)
    assert recorder.told.count("begin training") == recorder.told.count("end training") == n_trainings
    n_epochs = recorder.told.count("end epoch")
    assert recorder.told.count("begin epoch") >= n_epochs > n_trainings
    assert recorder.scores[-1] == fitted.score(TABLE, y)
    assert len(recorder.scores) == n_epochs + 1


def test_a_table_is_scored_without_the_temperature_of_an_earlier_fit():
    seen = []

    class Temperature(Recorder):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
            seen.extend([fitted_estimator.temperature_] if context.task_name == "epoch" else [])

    clf = TabularMLPClassifier(**SMALL, n_nets=1).fit(TABLE, y)
    clf.temperature_ = 2.0
    clf.set_callbacks(Temperature()).fit(TABLE, y)
    assert seen == [1.0] * 5


def test_partial_fit_is_a_task_of_one_epoch_and_tears_down():
    recorder = Recorder()
    MLPClassifier(**SMALL).set_callbacks(recorder).partial_fit(X, y, classes=np.unique(y))
    assert recorder.told == ["setup", "begin fit", "begin epoch", "end epoch", "end fit", "teardown"]


def test_an_interrupted_callback_is_not_told_twice():
    """scikit-learn's ProgressBar fails in its thread if a task ends twice."""

    class Interrupts(Recorder):
        def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
            self.told.append(f"end {context.task_name} {context.task_id}")
            if context.task_id == 2 and self.told.count("end epoch 2") == 1:
                raise KeyboardInterrupt

    recorder = Interrupts()
    with pytest.warns(UserWarning, match="interrupted"):
        MLPClassifier(**SMALL).set_callbacks(recorder).fit(X, y)
    assert recorder.told.count("end epoch 2") == 1
    assert recorder.told[-2:] == ["end fit 0", "teardown"]


def test_callbacks_get_the_weights_of_samples():
    weights = []

    class Weights(Recorder):
        def on_fit_task_begin(self, estimator, context, *, metadata=None):
            weights.append(metadata)

    given = np.linspace(0.1, 1.0, len(X))
    for model in (MLPClassifier(**SMALL), MODELS["table of classes"]):
        clone(model).set_callbacks(Weights()).fit(X, y)
        assert set(map(str, weights)) == {"None"}
        weights.clear()
        clone(model).set_callbacks(Weights()).fit(X, y, sample_weight=given)
        assert all(metadata["sample_weight"] is given for metadata in weights)
        weights.clear()


def test_an_error_tears_down():
    recorder = Recorder()
    with pytest.raises(ValueError, match="alpha"):
        MLPClassifier(**SMALL, alpha=-1).set_callbacks(recorder).fit(X, y)
    assert recorder.told == [], "the fit had not begun"

    def fail(epoch, history):
        raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        MLPClassifier(**SMALL, callbacks=fail).set_callbacks(recorder).fit(X, y)
    assert recorder.told[-1] == "teardown"


def test_clones_and_pipelines_have_callbacks():
    recorder = Recorder()
    clone(MLPClassifier(**SMALL).set_callbacks(recorder)).fit(X, y)
    assert recorder.told.count("end epoch") == 5
    recorder.told.clear()
    make_pipeline(StandardScaler(), MLPClassifier(**SMALL).set_callbacks(recorder)).fit(X, y)
    assert recorder.told.count("end epoch") == 5


def monitored(model, how):
    """Fit the model with a ScoringMonitor, alone, in a Pipeline or in a search, and return the rows of the log."""
    monitor = callback.ScoringMonitor(scoring="accuracy" if is_classifier(model) else "r2")
    model = clone(model).set_callbacks(monitor)
    if how == "Pipeline":
        model = make_pipeline(StandardScaler().set_output(transform="pandas"), model)
    elif how == "GridSearchCV":
        model = GridSearchCV(model, {"max_iter": [2, 3]}, cv=2)
    model.fit(TABLE, y)
    return monitor.get_logs().data_as_pandas


@pytest.mark.thinned(2)
@pytest.mark.parametrize("how", ("alone", "Pipeline", "GridSearchCV"))
@pytest.mark.parametrize("name", MODELS)
def test_scikit_learns_scoring_monitor(name, how):
    """Also of data frames, whose names of columns each score needs: a warning would be an error here."""
    log = monitored(MODELS[name], how)
    inner, fits = log[log.task_name != "fit"], log[log.task_name == "fit"]
    assert len(fits) == (5 if how == "GridSearchCV" else 1)
    assert len(inner) in (range(12, 14) if how == "GridSearchCV" else (5,))
    assert set(inner.task_name) == {"iteration" if name == "lbfgs" else "epoch"}
    scores = log["accuracy" if "accuracy" in log else "r2"]
    assert np.isfinite(scores).all()
    assert how == "GridSearchCV" or fits.estimator_name.item() == type(MODELS[name]).__name__


@pytest.mark.thinned(2)
@pytest.mark.parametrize("how", ("alone", "Pipeline", "GridSearchCV"))
@pytest.mark.parametrize("name", MODELS)
def test_scikit_learns_progress_bar(name, how, capsys):
    """Set on the outermost estimator, it has a bar for each fit inside, and each one reaches its end."""
    pytest.importorskip("rich", reason="scikit-learn's ProgressBar needs rich")
    model, kind = clone(MODELS[name]), type(MODELS[name]).__name__
    if how == "Pipeline":
        model = make_pipeline(StandardScaler(), model)
    elif how == "GridSearchCV":
        model = GridSearchCV(model, {"max_iter": [2, 3]}, cv=2)
    model.set_callbacks(callback.ProgressBar(max_propagation_depth=None)).fit(TABLE, y)
    shown = capsys.readouterr().out
    bars = [line for line in shown.splitlines() if f"{kind} - fit" in line]
    assert len(bars) == (5 if how == "GridSearchCV" else 1), shown
    assert shown.count("- training #0") == (len(bars) if "table" in name else 0), shown


@pytest.mark.full
def test_nets_on_rows_from_disk_are_tasks_of_their_own(tmp_path):
    rows = np.random.default_rng(0).normal(size=(60_000, 3))
    frame = pd.DataFrame(rows, columns=list("abc")).assign(kind=np.where(rows[:, 0] > 0, "yes", "no"))
    frame.to_csv(tmp_path / "table.csv", index=False)
    recorder, model = Recorder(), TabularMLPClassifier(**SMALL | {"max_iter": 1}, n_nets=2)
    model.set_callbacks(recorder).fit(str(tmp_path / "table.csv"), "kind", memory_limit="2MB")
    assert recorder.told.count("begin training") == model.net_.n_nets == 2


@pytest.mark.full
def test_scores_of_a_search_in_other_processes():
    monitor = callback.ScoringMonitor(scoring="accuracy")
    search = GridSearchCV(MLPClassifier(**SMALL).set_callbacks(monitor), {"max_iter": [2, 3]}, cv=2, n_jobs=2)
    search.fit(X, y)
    names = monitor.get_logs().data_as_pandas.task_name
    assert (names == "fit").sum() == 5
    assert (names == "epoch").sum() in (12, 13)


def test_what_scikit_learn_does_not_do():
    """A change there changes the guide: a Pipeline and a search give callbacks of their own no fitted estimator."""
    for model in (make_pipeline(MLPClassifier(**SMALL)), GridSearchCV(MLPClassifier(**SMALL), {"alpha": [0.1]}, cv=2)):
        monitor = callback.ScoringMonitor(scoring="accuracy")
        model.set_callbacks(monitor).fit(X, y)
        with pytest.raises(ValueError, match="No logs to retrieve"):
            monitor.get_logs()
    pytest.importorskip("rich", reason="scikit-learn's ProgressBar needs rich")
    inner = MLPClassifier(**SMALL).set_callbacks(callback.ProgressBar())
    with pytest.raises(TypeError, match="Register them directly on the meta-estimator"):
        make_pipeline(inner).fit(X, y)
