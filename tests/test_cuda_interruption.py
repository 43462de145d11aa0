"""Ctrl-C in a fit on a GPU, where a call is many launches and almost all of the time."""

import numpy as np
import pytest
from cuda_cases import Place, follow_sgd, reference_of

import fastmlp.pace
from fastmlp import MLP, SGD, Adam, OptimizerState
from fastmlp.kernels.arguments import LAST_LOSS, POWER1, POWER2


def samples(rng, n):
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 2))


def make(**settings):
    return MLP((3, 5, 2), hidden_activation="tanh", device="cuda", random_state=0, **settings)


@pytest.fixture
def a_step_a_call(monkeypatch):
    monkeypatch.setattr(fastmlp.pace, "FIRST_CALL", 1)
    monkeypatch.setattr(fastmlp.pace, "SHORT_CALL", 0.0)


@pytest.mark.parametrize("name", ["block", "layers"])
def test_interruption_between_calls(cuda, a_step_a_call, monkeypatch, name, rng):
    """What was reached is brought home, and the net can be trained on."""
    place = Place(name, monkeypatch)
    from fastmlp.kernels.cuda import backend

    train, calls = backend.train, []

    def interrupted(*arguments):
        calls.append(arguments[-2:])
        if len(calls) == 8:
            raise KeyboardInterrupt
        train(*arguments)

    monkeypatch.setattr(backend, "train", interrupted)
    X, y = samples(rng, 18)
    net = make(dtype="float64")
    reference = reference_of(net.network, net.params)
    history = net.fit(X, y, epochs=40, batch_size=6, optimizer=SGD(0.1), shuffle=False, verbose=0)
    assert calls[-1] == (7, 1), "a step a call"
    assert (history.stopped_by, history.epochs) == ("interrupt", 2)
    follow_sgd(reference, X, y, 0.1, epochs=2, batch_size=6)
    follow_sgd(reference, X[:6], y[:6], 0.1, epochs=1)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)
    monkeypatch.setattr(backend, "train", train)
    assert net.fit(X, y, epochs=2, verbose=0).epochs == 2
    place.check()


@pytest.mark.parametrize("optimizer, n_calls", [(Adam(0.1), 3), (SGD(1e300), 1)], ids=["3rd call", "to infinity"])
@pytest.mark.parametrize("name", ["block", "layers"])
def test_an_interrupted_call_is_undone(cuda, a_step_a_call, monkeypatch, name, optimizer, n_calls, rng):
    """Once parameters have moved and before the call has said so: all is as it was before it."""
    place = Place(name, monkeypatch)
    from fastmlp.kernels.cuda import backend, module

    before, train, call = [], backend.train, module.Kernel.__call__

    def noted(*arguments):
        memory = arguments[6]
        before.append([memory.params.get(), memory.state.get(), memory.scalars.copy()])
        train(*arguments)

    def interrupted(kernel, *arguments, **settings):
        call(kernel, *arguments, **settings)
        if kernel.name in ("update", "train_nets") and len(before) == n_calls:
            raise KeyboardInterrupt

    monkeypatch.setattr(backend, "train", noted)
    monkeypatch.setattr(module.Kernel, "__call__", interrupted)
    X, y = samples(rng, 18)
    net, state = make(dtype="float64"), OptimizerState()
    history = net.fit(X, y, epochs=9, batch_size=9, optimizer=optimizer, optimizer_state=state, verbose=0)
    assert (history.stopped_by, history.epochs) == ("interrupt", (n_calls - 1) // 2)
    assert len(before) == n_calls
    params, numbers, scalars = before[-1]
    np.testing.assert_array_equal(net.padded_params, params)
    np.testing.assert_array_equal(state.array.reshape(-1), numbers)
    np.testing.assert_array_equal(state.scalars, scalars[0, [POWER1, POWER2, LAST_LOSS]])
    place.check()
