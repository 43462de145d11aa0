"""Callbacks in fits: callbacks with `epochs_ahead`, and weighted validation data."""

import numpy as np
import pytest
from executor_cases import InPlace
from toy_data import XOR_X, XOR_Y

from fastmlp import MLP, Population
from fastmlp.fit import slices_on_workers


class Patient:
    """A callback that asks for a call every n epochs."""

    def __init__(self, n):
        self.n, self.calls = n, []

    def epochs_ahead(self):
        return self.n

    def __call__(self, epoch, history):
        self.calls.append((epoch, history.epochs))


def test_callback_with_epochs_ahead_is_called_every_n_epochs(rng):
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    patient = Patient(4)
    net, other = MLP((2, 3, 1), random_state=0), MLP((2, 3, 1), random_state=0)
    history = net.fit(X, y, epochs=10, batch_size=8, callbacks=patient)
    assert patient.calls == [(3, 4), (7, 8), (9, 10)]
    assert history.epochs == 10
    other.fit(X, y, epochs=10, batch_size=8)
    np.testing.assert_array_equal(net.params, other.params)


def test_most_frequent_callback_decides_the_length_of_calls(rng):
    X, y = rng.normal(size=(40, 2)), rng.normal(size=40)
    patient, other = Patient(4), lambda epoch, history: None
    MLP((2, 3, 1), random_state=0).fit(X, y, epochs=3, batch_size=8, callbacks=[patient, other])
    assert patient.calls == [(0, 1), (1, 2), (2, 3)]


def test_a_callback_is_not_called_more_often_because_of_validation(rng):
    X, y, patient = rng.normal(size=(40, 2)), rng.normal(size=40), Patient(4)
    MLP((2, 3, 1), random_state=0).fit(X, y, epochs=6, batch_size=8, callbacks=patient, validation_data=(X, y))
    assert patient.calls == [(3, 4), (5, 6)]


@pytest.mark.parametrize("n_nets", (1, 40))
def test_validation_data_may_be_weighted(n_nets, rng):
    """Both for a single net and for a population in lanes."""
    X, y, weights = rng.normal(size=(30, 2)), rng.integers(2, size=30), rng.uniform(0, 2, 30)
    settings = {"loss": "binary_cross_entropy", "random_state": 0}
    fit = {"epochs": 3, "validation_data": (X, y, weights), "early_stopping": 50}
    if n_nets == 1:
        net = MLP((2, 3, 1), **settings)
        found = net.fit(X, y, **fit).validation_loss[-1]
    else:
        nets = Population((2, 3, 1), n_nets, **settings)
        found, net = nets.fit(X, y, **fit).best_value[7], nets.net(7)
    assert found == pytest.approx(net.evaluate(X, y, sample_weight=weights)["loss"], rel=1e-5)


@pytest.mark.parametrize("executor", [None, InPlace], ids=["here", "on workers"])
def test_histories_of_a_population_have_the_number_of_their_net(executor, monkeypatch):
    monkeypatch.setattr(slices_on_workers, "FIRST_SECONDS", 1e-9)  # a net each
    seen = []
    pop = Population((2, 3, 1), 3, random_state=0, device="cpu")
    look = lambda epoch, history: seen.append((history.net_number, epoch))
    pop.fit(XOR_X, XOR_Y, epochs=2, callbacks=look, executor=executor and executor(), verbose=0)
    assert seen == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1)]
    assert pop.net(0).fit(XOR_X, XOR_Y, epochs=1, verbose=0).net_number is None
