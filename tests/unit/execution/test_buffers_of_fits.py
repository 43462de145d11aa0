"""Reuse of buffers, auto-tuning and threads by the next fit of the same shapes."""

import os

import numpy as np
import pytest

import fastmlp.execution.buffer_cache
from fastmlp import MLP, OptimizerState, Population
from fastmlp.execution.buffer_cache import buffers

DATA = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2


def buffers_left(use):
    return buffers.released[use][1]


def one_fit(hidden, X=DATA[0], **settings):
    net = MLP((3, hidden, 2), random_state=0)
    net.fit(X, DATA[1], **({"epochs": 3, "batch_size": 16} | settings))
    return net.params.copy()


@pytest.mark.filterwarnings("ignore:The loss or the parameters stopped")
@pytest.mark.parametrize("hidden", (5, 50, 300))
@pytest.mark.parametrize("shuffle", (False, True))
def test_fit_reuses_buffers_of_an_equal_fit(hidden, shuffle):
    """Training in reused buffers gives the same bits, whatever the buffers hold."""
    buffers.released.clear()
    first = one_fit(hidden, shuffle=shuffle)
    left = buffers_left("a net")
    one_fit(hidden, X=np.full_like(DATA[0], 3.0e38), shuffle=shuffle, batch_size=16)  # leaves infinities
    assert buffers_left("a net") is left
    np.testing.assert_array_equal(one_fit(hidden, shuffle=shuffle), first)
    assert buffers_left("a net") is left
    one_fit(hidden, shuffle=shuffle, batch_size=8)
    assert buffers_left("a net") is not left


@pytest.mark.parametrize("hidden", (5, 50, 300))
@pytest.mark.parametrize("optimizer", ("sgd", "adam", "rprop", "adagrad"))
def test_contents_of_reused_buffers_do_not_change_results(hidden, optimizer):
    buffers.released.clear()
    first = one_fit(hidden, optimizer=optimizer)
    room = buffers_left("a net").scratch
    arrays = [x for x in room.values() if isinstance(x, np.ndarray)]
    # The gradient, the optimiser's state and scalars, and parameters to go back to, which a second call has twice.
    assert len(arrays) in (4, 5)
    for array in arrays:
        array[:] = np.nan
    np.testing.assert_array_equal(one_fit(hidden, optimizer=optimizer), first)
    assert buffers_left("a net").scratch is room


def test_fit_reuses_the_auto_tuning_of_an_equal_fit():
    buffers.released.clear()
    one_fit(50)
    autotuner = buffers_left("a net").scratch["autotuner"]
    n_steps = autotuner.next()[1]
    one_fit(50, epochs=2000)
    assert buffers_left("a net").scratch["autotuner"] is autotuner
    assert autotuner.next()[1] > n_steps


def test_optimizer_state_given_by_the_user_is_not_reused():
    """A fit with `optimizer_state=` leaves its state to the user, not to the next fit."""
    buffers.released.clear()
    state = OptimizerState()
    one_fit(50, optimizer_state=state)
    kept = state.array.copy()
    one_fit(50)
    np.testing.assert_array_equal(state.array, kept)


def some_nets(n_rows, X=DATA[0], **settings):
    pop = Population((3, 2, 2), 40, random_state=0, loss="softmax_cross_entropy")
    return pop.fit(X[:n_rows], DATA[1][:n_rows], epochs=9, **({"batch_size": 5, "optimizer": "adam"} | settings))


@pytest.mark.filterwarnings("ignore:The loss of", "ignore:overflow")
@pytest.mark.parametrize("shuffle", (False, True))
@pytest.mark.parametrize("batch_size", (4, 7))
def test_population_reuses_buffers_of_an_equal_fit(batch_size, shuffle):
    """Training in reused buffers gives the same bits, whatever the buffers hold, on fewer samples too."""
    buffers.released.clear()
    settings = {"batch_size": batch_size, "shuffle": shuffle}
    first = [some_nets(n, **settings) for n in (7, 3)]
    for n, result in zip((7, 3), first, strict=True):
        some_nets(7, X=np.full_like(DATA[0], 3.0e38), **settings)  # leaves infinities
        again = some_nets(n, **settings)
        for name in ("loss", "accuracy", "records", "epochs", "converged"):
            np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
    uses = ["a population"] + ["a population's evaluation"] * (batch_size == 4)  # full batches need none
    left = [buffers_left(use) for use in uses]
    some_nets(3, X=DATA[0][::-1].copy(), **settings)
    assert [buffers_left(use) for use in uses] == left
    some_nets(3, optimizer="sgd", **settings)
    assert buffers_left("a population") is not left[0]


def test_nested_fit_has_separate_buffers():
    alone, within = one_fit(50), []
    outer = one_fit(50, callbacks=lambda epoch, history: within.append(one_fit(50)))
    for params in (outer, *within):
        np.testing.assert_array_equal(params, alone)


def test_large_buffers_are_not_cached(monkeypatch):
    monkeypatch.setattr(fastmlp.execution.buffer_cache, "MOST_BYTES", 1000)
    buffers.released.clear()
    one_fit(50)
    some_nets(7)
    assert not buffers.released.keys() & {"a net", "nets"}


FORKED_AFTER_FITS = """
import os, warnings
from _thread import _count
import numpy as np, fastmlp
warnings.simplefilter("ignore")  # that a process with threads forks
X = np.random.default_rng(0).random((400, 64), np.float32)

def fitted():
    net = fastmlp.MLP((64, 300, 300, 2), random_state=0, device="cpu")
    net.fit(X, np.arange(400) % 2, epochs=2, batch_size=200)
    return net.params

before = _count()
expected = fitted()
assert _count() == before + 1, "a thread is kept"
assert (fitted() == expected).all()
assert _count() == before + 1, "and used again"
child = os.fork()
if child == 0:
    os._exit(0 if (fitted() == expected).all() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert (fitted() == expected).all()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.slow
def test_fits_work_after_a_fork(fresh_python, monkeypatch):
    """Fits work in parent and child, although the child has none of the cached threads."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    done = fresh_python(FORKED_AFTER_FITS)
    assert done.returncode == 0, done.stderr
