"""scikit-learn's own callbacks, which version 1.9 has: tasks of fits and epochs, in searches, too."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from toy_data import blobs

from fastmlp import MLPClassifier, MLPRegressor

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9 has no callbacks")
pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = blobs(0, n=60)
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0}


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
        return context.task_name == "epoch" and context.task_id == self.stop_at


@pytest.mark.quick
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


def test_several_nets_and_lbfgs_are_one_task():
    for model in (MLPClassifier(**SMALL, n_nets=3), MLPRegressor(**SMALL, solver="lbfgs")):
        recorder = Recorder()
        model.set_callbacks(recorder).fit(X, y)
        assert recorder.told == ["setup", "begin fit", "end fit", "teardown"]


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


def test_scikit_learns_scoring_monitor():
    monitor = callback.ScoringMonitor(scoring="accuracy")
    MLPClassifier(**SMALL).set_callbacks(monitor).fit(X, y)
    rows = monitor.get_logs().data
    assert sorted(row["task_name"] for row in rows) == ["epoch"] * 5 + ["fit"]
    assert all(0.0 <= row["accuracy"] <= 1.0 for row in rows)
