"""scikit-learn's own callbacks, which version 1.9 has: tasks of fits and epochs, in searches, too."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from toy_data import blobs

from fastmlp import TabularMLPClassifier, TabularMLPRegressor

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = blobs(0, n=60)
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0}
TABLE = pd.DataFrame(X, columns=[f"column {k}" for k in range(X.shape[1])])
MODELS = {
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


@pytest.mark.parametrize(
    "model", (MODELS["table of classes"], TabularMLPRegressor(**SMALL, n_nets=1, n_folds=2)), ids=("table", "folds")
)
def test_a_callback_may_end_a_training(model):
    """Of nets that are trained one after another, the training of each."""
    recorder = Recorder(stop_at=1)
    fitted = clone(model).set_callbacks(recorder).fit(TABLE, y)
    assert fitted.n_iter_ == 2
    n_trainings = max(1, recorder.told.count("begin training"))
    assert sum(told in ("end epoch", "end iteration") for told in recorder.told) == 2 * n_trainings


def test_several_nets_that_are_trained_together_have_no_epochs():
    for model in (TabularMLPClassifier(**SMALL, n_nets=2),):
        recorder = Recorder()
        fitted = model.set_callbacks(recorder).fit(X, y)
        assert [told for told in recorder.told if "training" not in told] == [
            "setup",
            "begin fit",
            "end fit",
            "teardown",
        ]
        assert recorder.scores == [fitted.score(X, y)]


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


def test_callbacks_get_the_weights_of_samples():
    weights = []

    class Weights(Recorder):
        def on_fit_task_begin(self, estimator, context, *, metadata=None):
            weights.append(metadata)

    given = np.linspace(0.1, 1.0, len(X))
    for model in (MODELS["table of classes"],):
        clone(model).set_callbacks(Weights()).fit(X, y)
        assert set(map(str, weights)) == {"None"}
        weights.clear()
        clone(model).set_callbacks(Weights()).fit(X, y, sample_weight=given)
        assert all(metadata["sample_weight"] is given for metadata in weights)
        weights.clear()


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


@pytest.mark.parametrize("how", ("alone", "Pipeline", "GridSearchCV"))
@pytest.mark.parametrize("name", MODELS)
def test_scikit_learns_scoring_monitor(name, how):
    """Also of data frames, whose names of columns each score needs: a warning would be an error here."""
    log = monitored(MODELS[name], how)
    inner, fits = log[log.task_name != "fit"], log[log.task_name == "fit"]
    assert len(fits) == (5 if how == "GridSearchCV" else 1)
    assert len(inner) in (range(12, 14) if how == "GridSearchCV" else (5,))
    assert set(inner.task_name) == {"epoch"}
    scores = log["accuracy" if "accuracy" in log else "r2"]
    assert np.isfinite(scores).all()
    assert how == "GridSearchCV" or fits.estimator_name.item() == type(MODELS[name]).__name__


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
