"""Ctrl-C in a population's fit with early stopping: each net ends with its best parameters so far."""

import signal

import numpy as np
import pytest

import fastmlp.console.progress_bar
import fastmlp.fit.hooks.of_lanes
import fastmlp.fit.nets
from fastmlp import MLP, Population
from fastmlp.callbacks import EarlyStopping

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 2)).astype(np.float32)
Y = (X[:, 0] * X[:, 1] > 0).astype(np.float32)
HELD = X[40:], Y[40:]


@pytest.fixture
def interrupt(monkeypatch):
    """Ctrl-C after a few kernel calls, while nets are training."""
    calls = []

    def show(self, done, loss, find_best=None):
        calls.append(done)
        if len(calls) == 4:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(fastmlp.console.progress_bar.Progress, "show", show)
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL", 1e5)
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "CALL_SECONDS", (0.0, 1e9))
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "1")


@pytest.mark.parametrize("monitor", ["validation_loss", "validation_accuracy", "accuracy"])
@pytest.mark.parametrize("sizes", [(2, 4, 1), (2, 90, 70, 1)], ids=["lanes", "one by one"])
def test_interrupted_early_stopping_keeps_each_nets_best_parameters(sizes, monitor, interrupt, tmp_path):
    pop = Population(sizes, 5, loss="binary_cross_entropy", random_state=0, device="cpu")
    first = pop.params.copy()
    settings = {"batch_size": 8, "optimizer": "adam", "validation_data": HELD, "verbose": 0}
    rule = EarlyStopping(10**6, monitor)
    result = pop.fit(X[:40], Y[:40], epochs=10**6, early_stopping=rule, **settings)
    assert result.interrupted
    assert set(result.stopped_by) == {"interrupt"}
    begun = result.epochs > 0
    assert begun.any()
    assert (result.best_epoch[begun] >= 0).all()
    assert (result.best_epoch[~begun] == -1).all()
    for k in range(5):
        net = MLP(sizes, loss="binary_cross_entropy", random_state=int(pop.seeds[k]), device="cpu")
        values = None
        if begun[k]:
            history = net.fit(X[:40], Y[:40], epochs=int(result.best_epoch[k]) + 1, **settings)
            values = history.record(monitor)
            sign = -1 if monitor.endswith("accuracy") else 1
            assert np.argmin(sign * values.round(6)) == len(values) - 1
            np.testing.assert_allclose(result.best_value[k], values[-1], rtol=1e-4)
        np.testing.assert_allclose(pop.params[k], net.params if begun[k] else first[k], rtol=2e-3, atol=2e-4)
    pop.save(tmp_path / "nets.safetensors")
    np.testing.assert_array_equal(fastmlp.load(tmp_path / "nets.safetensors").params, pop.params)


@pytest.mark.parametrize("batch_size", [None, 8])
@pytest.mark.parametrize("sizes", [(2, 4, 1), (2, 12, 1)], ids=["unrolled", "loops"])
def test_interrupted_nets_have_the_loss_of_their_last_epoch(sizes, batch_size, interrupt, monkeypatch):
    """Also between the epochs whose losses are recorded or checked."""
    monkeypatch.setattr(fastmlp.population_result.recorded_epochs, "MAX_RECORDS", 2)
    settings = {"loss": "binary_cross_entropy", "dtype": "float64", "device": "cpu"}
    fit = {"batch_size": batch_size, "optimizer": "adam", "verbose": 0}
    pop = Population(sizes, 24, random_state=0, **settings)
    result = pop.fit(X, Y, epochs=10**6 + 1, **fit)
    assert set(result.stopped_by) == {"interrupt"}
    begun = np.flatnonzero(result.epochs)
    assert (result.epochs[begun] > 1).all()
    assert not np.isin(result.epochs[begun], result.record_epochs).any(), "of which the losses were known before"
    for k in begun:
        net = MLP(sizes, random_state=int(pop.seeds[k]), **settings)
        history = net.fit(X, Y, epochs=int(result.epochs[k]), **fit)
        assert result.loss[k] == pytest.approx(history.loss[-1], rel=1e-6)
        assert result.accuracy[k] == pytest.approx(history.accuracy[-1])
