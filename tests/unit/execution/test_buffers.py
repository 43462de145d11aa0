"""Reuse of buffers, auto-tuning and threads by the next fit or evaluation of the same shapes."""

import gc
import os
import time
import weakref
from _thread import _count

import numpy as np
import pytest

from fastmlp import MLP, OptimizerState, Population
from fastmlp.execution.buffer_cache import BufferCache, buffers
from fastmlp.kernels.cpu import backend

DATA = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2


@pytest.fixture(autouse=True)
def no_buffers():
    buffers.released.clear()


def buffers_left(use="a net"):
    return buffers.released[use][1]


def one_fit(hidden=50, X=DATA[0], **settings):
    net = MLP((3, hidden, 2), random_state=0)
    net.fit(X, DATA[1], **({"epochs": 3, "batch_size": 16} | settings))
    return net.params.copy()


@pytest.mark.filterwarnings("ignore:The loss or the parameters stopped")
@pytest.mark.parametrize("hidden", (5, 50, 300))
@pytest.mark.parametrize("shuffle", (False, True))
def test_fit_reuses_buffers_of_an_equal_fit(hidden, shuffle):
    """Training in reused buffers gives the same bits, whatever the buffers hold."""
    first = one_fit(hidden, shuffle=shuffle)
    left = buffers_left()
    one_fit(hidden, X=np.full_like(DATA[0], 3.0e38), shuffle=shuffle)  # leaves infinities
    assert buffers_left() is left
    np.testing.assert_array_equal(one_fit(hidden, shuffle=shuffle), first)
    one_fit(hidden, shuffle=shuffle, batch_size=8)
    assert buffers_left() is not left


def test_optimizer_state_given_by_the_user_is_not_reused():
    state = OptimizerState()
    one_fit(optimizer_state=state)
    kept = state.array.copy()
    one_fit()
    np.testing.assert_array_equal(state.array, kept)


def some_nets(n_rows, X=DATA[0], **settings):
    pop = Population((3, 2, 2), 40, random_state=0, loss="softmax_cross_entropy")
    return pop.fit(X[:n_rows], DATA[1][:n_rows], epochs=9, **({"batch_size": 5, "optimizer": "adam"} | settings))


@pytest.mark.filterwarnings("ignore:The loss of", "ignore:overflow")
@pytest.mark.parametrize("shuffle", (False, True))
@pytest.mark.parametrize("batch_size", (4, 7))
def test_population_reuses_buffers_of_an_equal_fit(batch_size, shuffle):
    """Training in reused buffers gives the same bits, whatever the buffers hold, on fewer samples too."""
    settings = {"batch_size": batch_size, "shuffle": shuffle}
    first = [some_nets(n, **settings) for n in (7, 3)]
    for n, result in zip((7, 3), first, strict=True):
        some_nets(7, X=np.full_like(DATA[0], 3.0e38), **settings)  # leaves infinities
        again = some_nets(n, **settings)
        for name in ("loss", "accuracy", "records", "epochs", "converged"):
            np.testing.assert_array_equal(getattr(again, name), getattr(result, name))
    left = buffers_left("a population")
    some_nets(3, X=DATA[0][::-1].copy(), **settings)
    assert buffers_left("a population") is left
    some_nets(3, optimizer="sgd", **settings)
    assert buffers_left("a population") is not left


def test_nested_fit_has_separate_buffers():
    alone, within = one_fit(), []
    outer = one_fit(callbacks=lambda epoch, history: within.append(one_fit()))
    for params in (outer, *within):
        np.testing.assert_array_equal(params, alone)


@pytest.mark.parametrize("validation", (None, DATA))
def test_buffers_keep_no_net_and_no_data_alive(validation):
    net, X = MLP((3, 50, 2), loss="softmax_cross_entropy", random_state=0), DATA[0].copy()
    net.fit(X, DATA[1], epochs=2, validation_data=validation, verbose=0)
    gone = [weakref.ref(array) for array in (net.padded_params, X)]
    del net, X
    gc.collect()
    assert [ref() for ref in gone] == [None, None]


def test_thread_teams_are_reused_but_those_of_an_exception_end():
    """After an exception, threads may be in any state."""
    cache, before = BufferCache(), _count()
    with cache.borrow_team(backend, 2) as team, cache.borrow_team(backend, 2) as within:
        assert within is not team
    with cache.borrow_team(backend, 2) as again:
        assert again in (team, within)
    cache.forget()
    with pytest.raises(KeyboardInterrupt), cache.borrow_team(backend, 3) as team:
        raise KeyboardInterrupt
    with cache.borrow_team(backend, 3) as another:
        assert another is not team
    cache.forget()
    del team, within, again, another
    until = time.monotonic() + 10
    while _count() > before and time.monotonic() < until:
        time.sleep(0.01)
    assert _count() == before


FORKED = """
import os, warnings
from _thread import _count
import numpy as np, fastmlp
warnings.simplefilter("ignore")  # that a process with threads forks
X = np.random.default_rng(0).random((400, 64), np.float32)

def used():
    net = fastmlp.MLP((64, 300, 300, 2), random_state=0, device="cpu")
    net.fit(X, np.arange(400) % 2, epochs=2, batch_size=200)
    return net.params, net.predict(X)

def same():
    return all((a == b).all() for a, b in zip(used(), expected))

before = _count()
expected = used()
n_threads = _count()
assert n_threads > before, "threads are kept"
assert same()
assert _count() == n_threads, "and used again"
child = os.fork()
if child == 0:
    os._exit(0 if same() else 1)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert same()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_fits_and_predictions_work_after_a_fork(fresh_python, monkeypatch):
    """They work in parent and child, although the child has none of the cached threads."""
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    done = fresh_python(FORKED)
    assert done.returncode == 0, done.stderr
