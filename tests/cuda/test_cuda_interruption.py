"""Ctrl-C during a fit on a GPU: the fit ends after the kernel call; a second Ctrl-C undoes the call."""

import signal

import numpy as np
import pytest
from cuda_cases import Place, follow_sgd, reference_of

import fastmlp.console.progress_bar
import fastmlp.fit.hooks.of_lanes
import fastmlp.fit.hooks.tuned_calls
from fastmlp import MLP, SGD, Adam, OptimizerState, Population

pytestmark = pytest.mark.thinned(2)


def samples(rng, n):
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 2))


def make(**settings):
    return MLP((3, 5, 2), hidden_activation="tanh", device="cuda", random_state=0, **settings)


@pytest.fixture
def one_step_per_call(monkeypatch):
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "FIRST_CALL", 1)
    monkeypatch.setattr(fastmlp.fit.hooks.tuned_calls, "SHORT_CALL", 0.0)


@pytest.fixture
def during_call(cuda, monkeypatch):
    """Return during_call(n, act): a function is called in the middle of kernel call number n, after an update."""
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")  # so that every launch is seen
    from fastmlp.kernels.cuda.build import compiled_module

    call, updates = compiled_module.Kernel.__call__, []

    def interrupt(n, act):
        def interrupted(kernel, *arguments, **settings):
            call(kernel, *arguments, **settings)
            if kernel.name in ("update", "train_nets"):
                updates.append(kernel)
                if len(updates) == n:
                    act()

        monkeypatch.setattr(compiled_module.Kernel, "__call__", interrupted)

    return interrupt


def ctrl_c_once():
    signal.raise_signal(signal.SIGINT)


def ctrl_c_twice():
    signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("name", ["block", "layers"])
def test_a_fit_ends_after_the_call(one_step_per_call, during_call, ctrl_c, monkeypatch, name, rng):
    """The step is finished; the net can predict and be trained further."""
    place = Place(name, monkeypatch)
    X, y = samples(rng, 18)
    net = make(dtype="float64")
    reference = reference_of(net.network, net.params)
    during_call(4, ctrl_c_once)
    history = net.fit(X, y, epochs=6, optimizer=SGD(0.1), shuffle=False, verbose=0)
    assert (history.stopped_by, history.epochs) == ("interrupt", 4)
    np.testing.assert_allclose(history.loss, follow_sgd(reference, X, y, 0.1, epochs=4), rtol=1e-9)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=1e-9)
    assert net.fit(X, y, epochs=2, optimizer=SGD(0.1), shuffle=False, verbose=0).epochs == 2
    follow_sgd(reference, X, y, 0.1, epochs=2)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)
    place.check()


@pytest.mark.parametrize("name", ["block", "layers"])
def test_a_second_ctrl_c_undoes_the_call(one_step_per_call, during_call, ctrl_c, monkeypatch, name, rng):
    place = Place(name, monkeypatch)
    X, y = samples(rng, 18)
    net, state = make(dtype="float64"), OptimizerState()
    reference = reference_of(net.network, net.params)
    during_call(4, ctrl_c_twice)
    with pytest.raises(KeyboardInterrupt):
        net.fit(X, y, epochs=6, optimizer=SGD(0.1), shuffle=False, optimizer_state=state, verbose=0)
    assert (net.history.stopped_by, net.history.epochs) == ("interrupt", 3)
    follow_sgd(reference, X, y, 0.1, epochs=3)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)
    assert state.array is None, "it may be that of another step"
    place.check()


@pytest.mark.parametrize("name", ["block", "layers"])
def test_an_interrupted_fit_goes_on_from_its_checkpoint(
    one_step_per_call, during_call, ctrl_c, monkeypatch, tmp_path, name, rng
):
    Place(name, monkeypatch)
    X, y = samples(rng, 18)
    settings = {"epochs": 6, "batch_size": 18, "optimizer": Adam(0.1), "verbose": 0}
    whole = make(dtype="float64")
    whole.fit(X, y, **settings)
    during_call(3, ctrl_c_once)
    history = make(dtype="float64").fit(X, y, **settings, checkpoint=tmp_path / "c")
    assert (history.stopped_by, history.epochs) == ("interrupt", 3)
    net = make(dtype="float64")
    history = net.fit(X, y, **settings, checkpoint=tmp_path / "c", resume=True)
    assert (history.epochs_before, history.epochs) == (3, 6)
    np.testing.assert_array_equal(net.params, whole.params)


@pytest.mark.full
@pytest.mark.parametrize("name", ["block", "layers"])
def test_exception_leaves_a_consistent_optimizer_state(cuda, one_step_per_call, monkeypatch, name, rng):
    """After an error, optimiser state, step counts and parameters all belong to the same step."""
    place = Place(name, monkeypatch)
    from fastmlp.kernels.cuda import backend

    train, calls = backend.train, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise RuntimeError("the card is gone")
        train(*arguments)

    monkeypatch.setattr(backend, "train", failing)
    X, y = samples(rng, 18)
    (net, state), (other, expected) = ((make(dtype="float64"), OptimizerState()) for _ in range(2))
    settings = {"batch_size": 6, "optimizer": Adam(0.1), "shuffle": False, "verbose": 0}
    with pytest.raises(RuntimeError, match="the card is gone"):
        net.fit(X, y, epochs=9, optimizer_state=state, callbacks=[lambda epoch, history: None], **settings)
    monkeypatch.setattr(backend, "train", train)
    other.fit(X, y, epochs=1, optimizer_state=expected, **settings)
    np.testing.assert_array_equal(net.params, other.params)
    np.testing.assert_array_equal(state.array, expected.array)
    np.testing.assert_array_equal(state.scalars, expected.scalars)
    place.check()


@pytest.mark.parametrize("name", ["block", "batched"])
def test_interrupted_early_stopping_keeps_each_nets_best_parameters(cuda, monkeypatch, name, rng):
    """With early stopping, an interrupt leaves each net at its best epoch so far."""
    place, shown = Place(name, monkeypatch), []

    def show(self, done, loss, find_best=None):
        shown.append(done)
        if len(shown) == 6:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL_OF_DEVICE", 1)
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "CALL_SECONDS", (0.0, 1e9))
    monkeypatch.setattr(fastmlp.console.progress_bar.Progress, "show", show)
    X, y = samples(rng, 24)
    pops = [Population((3, 5, 2), 4, device="cuda", dtype="float64", random_state=0) for _ in range(2)]
    settings = {"batch_size": 6, "optimizer": Adam(0.2), "validation_data": (X[12:], y[12:]), "verbose": 0}
    result = pops[0].fit(X[:12], y[:12], epochs=1000, early_stopping=1000, **settings)
    assert (result.interrupted, set(result.stopped_by)) == (True, {"interrupt"})
    assert (result.best_epoch + 1 < result.epochs).any(), "or the last would be the best"
    first = pops[1].params.copy()
    for k, best in enumerate(result.best_epoch):
        pops[1].params, pops[1].fits = first, 0
        pops[1].fit(X[:12], y[:12], epochs=int(best) + 1, **settings)
        np.testing.assert_allclose(pops[0].params[k], pops[1].params[k], rtol=1e-9)
        loss = pops[1].evaluate(X[12:], y[12:])["loss"][k]
        np.testing.assert_allclose(result.best_value[k], loss, rtol=1e-9)
    place.check()


# Launch after which Ctrl-C comes, and steps that the nets have taken at the end. Of nets one after another, two
# are done, and the third ends after its step.
POPULATIONS = {"block": (2, [2, 2, 2, 2]), "batched": (2, [2, 2, 2, 2]), "layers": (16, [6, 6, 4, 0])}


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_population_ends_after_the_call(one_step_per_call, during_call, ctrl_c, monkeypatch, name, rng):
    """Every net keeps the parameters it had reached; the nets can predict and be trained further."""
    place, (n_launches, steps) = Place(name, monkeypatch), POPULATIONS[name]
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "FIRST_CALL_OF_DEVICE", 1)  # an epoch a call
    monkeypatch.setattr(fastmlp.fit.hooks.of_lanes, "CALL_SECONDS", (0.0, 1e9))
    X, y = samples(rng, 18)
    pop = Population((3, 5, 2), 4, hidden_activation="tanh", device="cuda", dtype="float64", random_state=0)
    references = [reference_of(pop.network, params) for params in pop.params]
    during_call(n_launches, ctrl_c_once)
    result = pop.fit(X, y, epochs=6, optimizer=SGD(0.1), shuffle=False, verbose=0)
    assert result.interrupted
    assert result.epochs.tolist() == steps
    assert result.stopped_by.tolist() == ["epochs" if n_epochs == 6 else "interrupt" for n_epochs in steps]
    losses = [follow_sgd(reference, X, y, 0.1, epochs=n) for reference, n in zip(references, steps, strict=True)]
    np.testing.assert_allclose(result.loss, [loss[-1] if len(loss) else np.nan for loss in losses], rtol=1e-9)
    np.testing.assert_allclose(pop.params, [reference.params for reference in references], rtol=1e-10)
    np.testing.assert_allclose(pop.predict(X), [reference.predict(X) for reference in references], rtol=1e-9)
    assert not pop.fit(X, y, epochs=2, optimizer=SGD(0.1), shuffle=False, verbose=0).interrupted
    place.check()
