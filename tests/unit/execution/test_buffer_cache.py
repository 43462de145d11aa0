"""`BufferCache`: buffers and thread teams that a fit releases to the next fit of its thread."""

import gc
import time
import weakref
from _thread import _count
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastmlp import MLP
from fastmlp.execution.buffer_cache import MOST_BYTES, BufferCache
from fastmlp.kernels.cpu import backend
from fastmlp.kernels.cpu.threads.thread_team import ThreadTeam

DATA = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32), np.arange(40) % 2


@pytest.fixture
def buffers():
    cache = BufferCache()
    yield cache
    cache.forget()


def test_released_buffers_are_acquired_once_by_the_same_key(buffers):
    buffers.release("a net", (1, "x"), "plan", 10)
    assert buffers.acquire("nets", (1, "x")) is None
    assert buffers.acquire("a net", (1, "x")) == "plan"
    assert buffers.acquire("a net", (1, "x")) is None
    buffers.release("a net", (1, "x"), "plan", 10)
    assert buffers.acquire("a net", (2, "x")) is None
    assert buffers.acquire("a net", (1, "x")) is None, "acquiring with another key discards the released buffers"


def test_large_buffers_are_not_cached(buffers):
    buffers.release("a net", (), "plan", MOST_BYTES + 1)
    assert buffers.acquire("a net", ()) is None


def test_each_thread_has_its_own_cache(buffers):
    buffers.release("a net", (), "plan", 10)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(buffers.acquire, "a net", ()).result() is None
    assert buffers.acquire("a net", ()) == "plan"


def test_released_thread_teams_are_reused(buffers):
    with buffers.borrow_team(backend, 2) as team:
        assert isinstance(team, ThreadTeam)
        with buffers.borrow_team(backend, 2) as within, buffers.borrow_team(backend, 3) as larger:
            assert within is not team
            assert larger.n_ranks == 3
    with buffers.borrow_team(backend, 2) as again, buffers.borrow_team(backend, 3) as also:
        assert again in (team, within)
        assert also is larger


def test_exception_ends_the_borrowed_thread_team(buffers):
    """After an exception, threads may be in any state and must not be reused."""
    before = _count()
    with pytest.raises(KeyboardInterrupt), buffers.borrow_team(backend, 3) as team:
        raise KeyboardInterrupt
    for _ in range(1000):
        if _count() == before:
            break
        time.sleep(0.01)
    assert _count() == before
    with buffers.borrow_team(backend, 3) as another:
        assert another is not team


@pytest.mark.parametrize("validation", (None, DATA))
def test_released_buffers_keep_no_net_and_no_data_alive(validation):
    net = MLP((3, 50, 2), loss="softmax_cross_entropy", random_state=0)
    X = DATA[0].copy()
    net.fit(X, DATA[1], epochs=2, validation_data=validation, verbose=0)
    gone = [weakref.ref(array) for array in (net.padded_params, X)]
    del net, X
    gc.collect()
    assert [ref() for ref in gone] == [None, None]
