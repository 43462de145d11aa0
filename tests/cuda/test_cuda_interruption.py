"""Ctrl-C during a fit on a GPU: the fit ends after the kernel call; a second Ctrl-C undoes the call."""

import signal

import numpy as np
import pytest
from cuda_cases import Place, assert_follows, follow, reference_of, shorten_calls

from fastmlp import MLP, SGD, Adam, OptimizerState, Population

PLACES = ("block", "layers")


def make(n_nets=1, **settings):
    arguments = {"hidden_activation": "tanh", "device": "cuda", "dtype": "float64", "random_state": 0} | settings
    return MLP((3, 5, 2), **arguments) if n_nets == 1 else Population((3, 5, 2), n_nets, **arguments)


FIT = {"epochs": 6, "optimizer": SGD(0.1), "shuffle": False, "verbose": 0}


@pytest.fixture
def samples(rng):
    return rng.normal(size=(18, 3)), rng.normal(size=(18, 2))


@pytest.fixture
def during_call(cuda, ctrl_c, monkeypatch):
    """Return during_call(n, times): Ctrl-C comes in the middle of kernel call number n, after an update."""
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")  # so that every launch is seen
    shorten_calls(monkeypatch)
    from fastmlp.kernels.cuda.build import compiled_module

    call, updates = compiled_module.Kernel.__call__, []

    def interrupt(n, times=1):
        def interrupted(kernel, *arguments, **settings):
            call(kernel, *arguments, **settings)
            if kernel.name in ("update", "train_nets"):
                updates.append(kernel)
                for _ in range(times * (len(updates) == n)):
                    signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(compiled_module.Kernel, "__call__", interrupted)

    return interrupt


@pytest.mark.parametrize("name", PLACES)
def test_a_fit_ends_after_the_call(during_call, monkeypatch, name, samples):
    """The step is finished; the net can predict and be trained further."""
    place, net, (X, y) = Place(name, monkeypatch), make(), samples
    reference = reference_of(net.network, net.params)
    during_call(4)
    history = net.fit(X, y, **FIT)
    assert (history.stopped_by, history.epochs) == ("interrupt", 4)
    np.testing.assert_allclose(history.loss, follow(reference, X, y, SGD(0.1), epochs=4), rtol=1e-9)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=1e-9)
    assert_follows(net, X, y, epochs=2, optimizer=SGD(0.1))
    place.check()


@pytest.mark.parametrize("name", PLACES)
def test_a_second_ctrl_c_undoes_the_call(during_call, monkeypatch, name, samples):
    place, net, state = Place(name, monkeypatch), make(), OptimizerState()
    reference = reference_of(net.network, net.params)
    during_call(4, times=2)
    with pytest.raises(KeyboardInterrupt):
        net.fit(*samples, optimizer_state=state, **FIT)
    assert (net.history.stopped_by, net.history.epochs) == ("interrupt", 3)
    follow(reference, *samples, SGD(0.1), epochs=3)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)
    assert state.array is None, "it may be that of another step"
    place.check()


@pytest.mark.parametrize("name", PLACES)
def test_an_exception_undoes_the_call(cuda, monkeypatch, name, samples):
    place = Place(name, monkeypatch)
    from fastmlp.kernels.cuda import backend

    shorten_calls(monkeypatch)
    train, calls = backend.train, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise RuntimeError("the card is gone")
        train(*arguments)

    monkeypatch.setattr(backend, "train", failing)
    net, state = make(), OptimizerState()
    with pytest.raises(RuntimeError, match="the card is gone"):
        net.fit(*samples, optimizer_state=state, **FIT)
    assert net.history.epochs == 5
    assert state.array is None, "it may be that of another step"
    reference = reference_of(net.network, make().params)
    follow(reference, *samples, SGD(0.1), epochs=5)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)
    place.check()


@pytest.mark.parametrize("name", ["block", "batched"])
def test_interrupted_early_stopping_keeps_each_nets_best_parameters(cuda, ctrl_c, monkeypatch, name, rng):
    place, shown = Place(name, monkeypatch), []

    def show(self, done, loss, find_best=None):
        shown.append(done)
        if len(shown) == 6:
            signal.raise_signal(signal.SIGINT)

    shorten_calls(monkeypatch)
    monkeypatch.setattr("fastmlp.console.progress_bar.Progress.show", show)
    X, y = rng.normal(size=(24, 3)), rng.normal(size=(24, 2))
    nets, others = make(4), make(4)
    fit = {"batch_size": 6, "optimizer": Adam(0.2), "validation_data": (X[12:], y[12:]), "verbose": 0}
    result = nets.fit(X[:12], y[:12], epochs=1000, early_stopping=1000, **fit | {"verbose": 1})
    assert (result.interrupted, set(result.stopped_by)) == (True, {"interrupt"})
    assert (result.best_epoch + 1 < result.epochs).any(), "or the last would be the best"
    first = others.params.copy()
    for best in set(result.best_epoch):
        others.params, others.fits = first, 0
        others.fit(X[:12], y[:12], epochs=int(best) + 1, **fit)
        of_them = result.best_epoch == best
        np.testing.assert_allclose(nets.params[of_them], others.params[of_them], rtol=1e-9)
        losses = others.evaluate(X[12:], y[12:])["loss"]
        np.testing.assert_allclose(result.best_value[of_them], losses[of_them], rtol=1e-9)
    place.check()


# Launch after which Ctrl-C comes, and steps that the nets have taken at the end. Of nets one after another, two
# are done, and the third ends after its step.
POPULATIONS = {"block": (2, [2, 2, 2, 2]), "batched": (2, [2, 2, 2, 2]), "layers": (16, [6, 6, 4, 0])}


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_population_ends_after_the_call(during_call, monkeypatch, name, samples):
    """Every net keeps the parameters it had reached; the nets can predict and be trained further."""
    place, (n_launches, steps), (X, y), nets = Place(name, monkeypatch), POPULATIONS[name], samples, make(4)
    references = [reference_of(nets.network, params) for params in nets.params]
    during_call(n_launches)
    result = nets.fit(X, y, **FIT)
    assert result.interrupted
    assert result.epochs.tolist() == steps
    assert result.stopped_by.tolist() == ["epochs" if n_epochs == 6 else "interrupt" for n_epochs in steps]
    losses = [follow(reference, X, y, SGD(0.1), epochs=n) for reference, n in zip(references, steps, strict=True)]
    np.testing.assert_allclose(result.loss, [loss[-1] if len(loss) else np.nan for loss in losses], rtol=1e-9)
    np.testing.assert_allclose(nets.params, [reference.params for reference in references], rtol=1e-10)
    np.testing.assert_allclose(nets.predict(X), [reference.predict(X) for reference in references], rtol=1e-9)
    assert not nets.fit(X, y, **FIT).interrupted
    place.check()
