"""Ctrl-C during a fit on a GPU, where one kernel call has many launches and takes almost all of the time."""

import os
import signal
import sys
import threading

import numpy as np
import pytest
from cuda_cases import Place, follow_sgd, reference_of

import fastmlp.console.progress_bar
import fastmlp.population_training.kernel_calls
import fastmlp.training.call_autotune
from fastmlp import MLP, SGD, Adam, DivergenceWarning, OptimizerState, Population
from fastmlp.kernels.structs import LAST_LOSS, POWER1, POWER2

pytestmark = pytest.mark.thinned(2)


def samples(rng, n):
    return rng.normal(size=(n, 3)), rng.normal(size=(n, 2))


def make(**settings):
    return MLP((3, 5, 2), hidden_activation="tanh", device="cuda", random_state=0, **settings)


@pytest.fixture
def one_step_per_call(monkeypatch):
    monkeypatch.setattr(fastmlp.training.call_autotune, "FIRST_CALL", 1)
    monkeypatch.setattr(fastmlp.training.call_autotune, "SHORT_CALL", 0.0)


@pytest.mark.parametrize("name", ["block", "layers"])
def test_interruption_between_calls_keeps_the_parameters(cuda, one_step_per_call, monkeypatch, name, rng):
    """The parameters reached so far are copied to the host, and the net can be trained further."""
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


@pytest.mark.thinned(4)
@pytest.mark.parametrize("optimizer, n_calls", [(Adam(0.1), 3), (SGD(1e300), 1)], ids=["3rd call", "to infinity"])
@pytest.mark.parametrize("name", ["block", "layers"])
def test_interrupted_call_is_undone(cuda, one_step_per_call, monkeypatch, name, optimizer, n_calls, rng):
    """An interrupt after an update but before the call returns restores the state from before the call."""
    place = Place(name, monkeypatch)
    from fastmlp.kernels.cuda import backend
    from fastmlp.kernels.cuda.build import compiled_module

    before, train, call = [], backend.train, compiled_module.Kernel.__call__

    def noted(*arguments):
        train_state = arguments[5]
        before.append([train_state.params.get(), train_state.state.get(), train_state.scalars.copy()])
        train(*arguments)

    def interrupted(kernel, *arguments, **settings):
        call(kernel, *arguments, **settings)
        if kernel.name in ("update", "train_nets") and len(before) == n_calls:
            raise KeyboardInterrupt

    monkeypatch.setattr(backend, "train", noted)
    monkeypatch.setattr(compiled_module.Kernel, "__call__", interrupted)
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


@pytest.mark.parametrize("name", ["block", "layers"])
def test_a_fit_whose_call_was_interrupted_goes_on_from_its_checkpoint(
    cuda, one_step_per_call, monkeypatch, tmp_path, name, rng
):
    """With one batch per epoch each call begins at one, so that the undone call's state is saved."""
    Place(name, monkeypatch)
    from fastmlp.kernels.cuda.build import compiled_module

    call, n_updates = compiled_module.Kernel.__call__, 0

    def interrupted(kernel, *arguments, **settings):
        nonlocal n_updates
        call(kernel, *arguments, **settings)
        n_updates += kernel.name in ("update", "train_nets")
        if n_updates == 3:
            raise KeyboardInterrupt

    X, y = samples(rng, 18)
    settings = {"epochs": 6, "batch_size": 18, "optimizer": Adam(0.1), "verbose": 0}
    whole = make(dtype="float64")
    whole.fit(X, y, **settings)
    with monkeypatch.context() as patches:
        patches.setattr(compiled_module.Kernel, "__call__", interrupted)
        history = make(dtype="float64").fit(X, y, **settings, checkpoint=tmp_path / "c")
    assert (history.stopped_by, history.epochs) == ("interrupt", 2)
    net = make(dtype="float64")
    history = net.fit(X, y, **settings, checkpoint=tmp_path / "c", resume=True)
    assert (history.epochs_before, history.epochs) == (2, 6)
    np.testing.assert_array_equal(net.params, whole.params)


@pytest.mark.parametrize("name", ["block", "layers"])
def test_interrupted_replay_is_completed(cuda, monkeypatch, name, rng):
    """The replay up to the best epoch is completed even if it is interrupted."""
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")  # so that every launch is seen
    place = Place(name, monkeypatch)
    from fastmlp.kernels.cuda import backend
    from fastmlp.kernels.cuda.build import compiled_module

    calls, interruptions, train, call = [], [], backend.train, compiled_module.Kernel.__call__

    def noted(*arguments):
        calls.append(arguments[-2])
        train(*arguments)

    def interrupted(kernel, *arguments, **settings):
        call(kernel, *arguments, **settings)
        goes_back = len(calls) > 1 and calls[-1] <= calls[-2]
        if interrupts and goes_back and not interruptions and kernel.name in ("update", "train_nets"):
            interruptions.append(len(calls))
            raise KeyboardInterrupt

    monkeypatch.setattr(backend, "train", noted)
    monkeypatch.setattr(compiled_module.Kernel, "__call__", interrupted)
    X, y = samples(rng, 18)
    found = []
    for interrupts in (False, True):
        calls.clear()
        net = make(dtype="float64")
        history = net.fit(
            X,
            y,
            epochs=60,
            batch_size=6,
            optimizer=Adam(0.02),
            schedule=lambda steps, n: 1.0 + (steps > 60) * 50.0,
            early_stopping=5,
            verbose=0,
        )
        found.append((net.params.copy(), history.best_epoch, history.epochs, history.loss.tolist()))
        assert history.stopped_by == ("interrupt" if interrupts else "early_stopping")
    assert interruptions
    np.testing.assert_array_equal(found[1][0], found[0][0])
    assert found[1][1:] == found[0][1:]
    place.check()


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


# ---- populations in step


@pytest.fixture
def interrupt_after(cuda, monkeypatch):
    """Return interrupt_after(name, n): KeyboardInterrupt is raised after the n-th launch of that kernel."""
    from fastmlp.kernels.cuda.build import compiled_module

    call, launched = compiled_module.Kernel.__call__, []

    def interrupt(name, n):
        def interrupted(kernel, *arguments, **settings):
            call(kernel, *arguments, **settings)
            launched.extend([name] * (kernel.name == name))
            if len(launched) == n:
                raise KeyboardInterrupt

        monkeypatch.setattr(compiled_module.Kernel, "__call__", interrupted)

    return interrupt


@pytest.fixture
def batched_nets(cuda, monkeypatch):
    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")  # so that every launch is seen
    place = Place("batched", monkeypatch)
    yield
    place.check()


@pytest.mark.parametrize("kernel, n, epochs", [("swap_slots", 1, 1), ("update", 5, 2), ("finish", 4, 4)])
def test_interruption_reports_losses_of_the_last_whole_epoch(batched_nets, interrupt_after, kernel, n, epochs, rng):
    """Each net keeps its own losses, also while another net moves to the slot of the first, which has diverged."""
    X, y = samples(rng, 24)
    pop = Population((3, 5, 2), 4, hidden_activation="tanh", device="cuda", dtype="float64", random_state=0)
    references = [reference_of(pop.network, params) for params in pop.params[1:]]
    interrupt_after(kernel, n)
    with pytest.warns(DivergenceWarning, match="1 of 4 nets"):
        result = pop.fit(
            X,
            y,
            epochs=9,
            batch_size=12,
            optimizer=SGD(np.array([1e300, 0.1, 0.1, 0.1])),
            shuffle=False,
            converged=1e-9,
            verbose=0,
        )
    assert result.interrupted
    assert result.epochs.tolist() == [0] + 3 * [epochs]
    losses = [follow_sgd(reference, X, y, 0.1, epochs=epochs, batch_size=12)[-1] for reference in references]
    np.testing.assert_allclose(result.loss[1:], losses, rtol=1e-9)


@pytest.mark.full
def test_interrupted_diverged_nets_are_reset(batched_nets, interrupt_after, rng):
    """A net that has diverged within the interrupted epoch is reset, though its loss is not known yet."""
    X, y = samples(rng, 24)
    pop = Population((3, 5, 2), 4, device="cuda", dtype="float64", random_state=0)
    start = pop.params.copy()
    interrupt_after("update", 3)
    rates = np.array([1e-3, 1e300, 1e-3, 1e-3])
    with pytest.warns(DivergenceWarning, match="1 of 4 nets"):
        result = pop.fit(X, y, epochs=9, batch_size=6, optimizer=SGD(rates), verbose=0)
    assert result.interrupted
    assert np.isfinite(pop.params).all()
    np.testing.assert_array_equal((pop.params == start).all(axis=1), rates > 1)


@pytest.mark.parametrize("name", ["block", "batched"])
def test_interrupted_early_stopping_keeps_each_nets_best_parameters(cuda, monkeypatch, name, rng):
    """With early stopping, an interrupt leaves each net at its best epoch so far."""
    place, shown = Place(name, monkeypatch), []

    def show(self, done, loss, find_best=None):
        shown.append(done)
        if len(shown) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(fastmlp.population_training.kernel_calls, "FIRST_CALL_OF_DEVICE", 1)
    monkeypatch.setattr(fastmlp.population_training.kernel_calls, "CALL_SECONDS", (0.0, 1e9))
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


# ---- the signal itself


@pytest.fixture
def signal_after(cuda, ctrl_c, monkeypatch):
    """Return signal_after(n): a thread sends SIGINT to this process after the n-th launch that changes parameters.

    The main thread waits in the fit until the signal is sent. At a random moment, the signal would often come during a
    finaliser or a callback, from which Python raises no exception: with the emulator, almost all code is of this kind.
    """
    if sys.platform == "win32":
        pytest.skip("os.kill has no SIGINT there, it ends the process")
    from fastmlp.kernels.cuda.build import compiled_module

    monkeypatch.setenv("FASTMLP_CUDA_GRAPHS", "0")  # so that every launch is seen
    call, senders = compiled_module.Kernel.__call__, []

    def interrupt(n):
        launched, sent, moved = threading.Event(), threading.Event(), []

        def send():
            launched.wait()
            if len(moved) == n:
                os.kill(os.getpid(), signal.SIGINT)
            sent.set()

        def recording_call(kernel, *arguments, **settings):
            call(kernel, *arguments, **settings)
            moved.extend([kernel.name] * (kernel.name in ("update", "train_nets")))
            if len(moved) == n and not launched.is_set():
                launched.set()
                sent.wait()

        senders.append((threading.Thread(target=send), launched))
        senders[-1][0].start()
        monkeypatch.setattr(compiled_module.Kernel, "__call__", recording_call)

    yield interrupt
    for thread, launched in senders:
        launched.set()
        thread.join()


def interrupted_fit(net, X, y):
    try:
        return net.fit(X, y, epochs=6, optimizer=SGD(0.1), shuffle=False, verbose=0)
    except KeyboardInterrupt:  # would end the whole run of tests
        pytest.fail("the interruption got through")


@pytest.mark.parametrize("name", ["block", "layers"])
def test_signal_ends_a_fit_after_the_last_whole_step(cuda, one_step_per_call, signal_after, monkeypatch, name, rng):
    """The interrupted step is undone, and all earlier steps are kept; the net can predict and be trained further."""
    place = Place(name, monkeypatch)
    X, y = samples(rng, 18)
    net = make(dtype="float64")
    reference = reference_of(net.network, net.params)
    signal_after(4)
    history = interrupted_fit(net, X, y)
    assert (history.stopped_by, history.epochs) == ("interrupt", 3)
    np.testing.assert_allclose(history.loss, follow_sgd(reference, X, y, 0.1, epochs=3), rtol=1e-9)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)
    np.testing.assert_allclose(net.predict(X), reference.predict(X), rtol=1e-9)
    history = net.fit(X, y, epochs=2, optimizer=SGD(0.1), shuffle=False, verbose=0)
    assert (history.stopped_by, history.epochs) == ("epochs", 2)
    follow_sgd(reference, X, y, 0.1, epochs=2)
    np.testing.assert_allclose(net.params, reference.params, rtol=1e-10)
    place.check()


# After which launch, steps that each net's parameters have taken by then, and the epochs that count, which nets in step
# have before the epoch's end is noted. Nets one after another: two are done, the third's step is undone.
SIGNALS = {
    "block": (4, [4, 4, 4, 4], [4, 4, 4, 4]),
    "batched": (4, [4, 4, 4, 4], [3, 3, 3, 3]),
    "layers": (16, [6, 6, 3, 0], [6, 6, 3, 0]),
}


@pytest.mark.parametrize("name", SIGNALS)
def test_signal_ends_a_population_fit_after_the_last_whole_step(
    cuda, one_step_per_call, signal_after, monkeypatch, name, rng
):
    """Every net keeps the parameters it had reached; the nets can predict and be trained further."""
    place, (n_launches, steps, epochs) = Place(name, monkeypatch), SIGNALS[name]
    monkeypatch.setattr(fastmlp.population_training.kernel_calls, "FIRST_CALL_OF_DEVICE", 1)  # an epoch a call
    monkeypatch.setattr(fastmlp.population_training.kernel_calls, "CALL_SECONDS", (0.0, 1e9))
    X, y = samples(rng, 18)
    pop = Population((3, 5, 2), 4, hidden_activation="tanh", device="cuda", dtype="float64", random_state=0)
    references = [reference_of(pop.network, params) for params in pop.params]
    signal_after(n_launches)
    result = interrupted_fit(pop, X, y)
    assert result.interrupted
    assert result.epochs.tolist() == epochs
    assert result.stopped_by.tolist() == ["epochs" if n_epochs == 6 else "interrupt" for n_epochs in epochs]
    losses = [follow_sgd(reference, X, y, 0.1, epochs=n) for reference, n in zip(references, steps, strict=True)]
    expected = [loss[n - 1] if n else np.nan for loss, n in zip(losses, epochs, strict=True)]
    np.testing.assert_allclose(result.loss, expected, rtol=1e-9)
    np.testing.assert_allclose(pop.params, [reference.params for reference in references], rtol=1e-10)
    np.testing.assert_allclose(pop.predict(X), [reference.predict(X) for reference in references], rtol=1e-9)
    result = pop.fit(X, y, epochs=2, optimizer=SGD(0.1), shuffle=False, verbose=0)
    assert not result.interrupted
    for reference in references:
        follow_sgd(reference, X, y, 0.1, epochs=2)
    np.testing.assert_allclose(pop.params, [reference.params for reference in references], rtol=1e-10)
    place.check()
