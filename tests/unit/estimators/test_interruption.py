"""Fits of estimators that Ctrl-C ends: the warning, and which nets predict afterwards."""

import signal
from functools import partial

import numpy as np
import pytest
from interrupted_fits import interrupt_populations
from sklearn.base import clone

import fastmlp
from fastmlp import TabularMLPClassifier, TabularMLPRegressor
from fastmlp.table_training import model as model_of_tables

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
N_NETS = 40  # more than the lanes of two threads: some nets have not begun when the fit is interrupted
SMALL = {"hidden_layer_sizes": (4,), "random_state": 0}
ENSEMBLES = [
    TabularMLPClassifier(**SMALL, n_nets=N_NETS, dropout=0.0),
    TabularMLPRegressor(**SMALL, n_nets=N_NETS, dropout=0.0),
]
WARNING = (
    rf"0 of {N_NETS} nets had come to their end, and (\d+) had not begun. .* mean of the (\d+) nets that had begun"
)


def is_classifier(model):
    return hasattr(model, "predict_proba")


@pytest.fixture
def data(rng):
    X = rng.normal(size=(60, 3))
    return X, 2.0 * X[:, 0]


def interrupted(model, data, monkeypatch, match):
    """Return the model after an interrupted fit, which must warn once."""
    X, y = data
    interrupt_populations(monkeypatch)
    with pytest.warns(UserWarning, match=match) as caught:
        model.fit(X, (y > 0).astype(int) if is_classifier(model) else y)
    monkeypatch.undo()
    assert len(caught) == 1
    assert caught[0].filename == __file__
    return model


@pytest.fixture(params=ENSEMBLES, ids=lambda model: type(model).__name__)
def ensemble(request, data, monkeypatch):
    """An ensemble of which some nets had begun when its fit was interrupted."""
    return interrupted(clone(request.param), data, monkeypatch, WARNING)


def mean_of_nets(model, X):
    """Return the mean prediction of the nets, each converted to a single net."""
    X = model.encoded_samples(X, model.predict(X))[0]
    outputs = np.mean([net.predict(X) for net in model.net_], axis=0)
    return outputs if is_classifier(model) else outputs[:, 0] * model._std + model._mean


def test_nets_that_had_not_begun_do_not_predict(ensemble, data, tmp_path):
    X, result = data[0], ensemble.net_.result
    assert 0 < ensemble.net_.n_nets == result.n_nets == len(ensemble.net_.seeds) < N_NETS
    assert (result.epochs > 0).all()
    predict = ensemble.predict_proba if is_classifier(ensemble) else ensemble.predict
    if isinstance(ensemble, TabularMLPClassifier):
        ensemble.temperature_ = 1.0  # probabilities as the nets have them
    np.testing.assert_allclose(predict(X), mean_of_nets(ensemble, X), rtol=1e-5, atol=1e-5)
    assert ensemble.n_iter_ == result.epochs.max()
    assert ensemble.history_ is result
    assert np.isfinite(result.best_value).all()
    assert result.records.shape[1] == ensemble.net_.n_nets
    ensemble.save(tmp_path / "model")
    again = fastmlp.load(tmp_path / "model")
    assert (again.net_.n_nets, again.history_.interrupted) == (ensemble.net_.n_nets, True)
    np.testing.assert_array_equal(again.predict(X), ensemble.predict(X))


BEST, LAST = r"as it was at its best validation loss, [\d.e-]+.$", "as far as it had come.$"


@pytest.mark.parametrize(("share", "state"), [(0.2, BEST), (0.0, LAST)])
@pytest.mark.parametrize("cls", [TabularMLPClassifier, TabularMLPRegressor])
def test_interrupted_single_net_of_a_table_warns(cls, share, state, data, monkeypatch):
    def interrupt(epoch, history):
        if epoch == 2:
            signal.raise_signal(signal.SIGINT)

    X, y = data
    fit = partial(model_of_tables.fit_nets, callbacks=[interrupt])
    monkeypatch.setattr(model_of_tables, "fit_nets", fit)
    model = cls(**SMALL, n_nets=1, validation_fraction=share)
    with pytest.warns(UserWarning, match=f"interrupted in epoch 4; the net is {state}"):
        model.fit(X, (y > 0).astype(int) if cls is TabularMLPClassifier else y)
    assert len(model.loss_curve_) == model.n_iter_ == 3
