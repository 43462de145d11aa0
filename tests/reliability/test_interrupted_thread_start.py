"""SIGINT while a thread is being started: no thread still trains when the call that started it has ended.

`ThreadPoolExecutor` waits only for the threads whose start it has seen the end of.
"""

import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

from fastmlp import Population
from fastmlp.fit import fits_on_threads
from fastmlp.streams.read_ahead import read_ahead

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="os.kill has no SIGINT there, it ends the process")


@pytest.fixture
def interrupt_first_start(ctrl_c, monkeypatch):
    """SIGINT comes to the main thread while it waits for the first thread of a pool to start."""
    start, started = threading.Thread.start, []

    def interrupted_start(self):
        start(self)
        if self.name.startswith(("ThreadPoolExecutor", "fastmlp-reader")) and not started:
            started.append(self)
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(threading.Thread, "start", interrupted_start)
    yield
    assert started
    assert not started[0].is_alive()


@pytest.mark.usefixtures("ctrl_c")
def test_nets_one_by_one(rng, monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "2")
    start, started = fits_on_threads.start_new_thread, []

    def interrupted_start(function, arguments):
        started.append(start(function, arguments))
        if len(started) == 1:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(fits_on_threads, "start_new_thread", interrupted_start)
    X = rng.normal(size=(60, 2)).astype(np.float32)
    pop = Population((2, 90, 70, 1), 8, random_state=0, device="cpu")
    result = pop.fit(X, X[:, 0], epochs=10**6, batch_size=8, verbose=0)
    assert result.interrupted
    assert len(started) == 2
    params = pop.params.copy()
    time.sleep(0.2)
    np.testing.assert_array_equal(pop.params, params)
    assert not sys._current_frames().keys() & started, "all threads have ended"


def test_reading_ahead(interrupt_first_start):
    closed = []

    def items():
        try:
            for k in range(5):
                time.sleep(0.1)
                yield k
        finally:
            closed.append(True)

    with pytest.raises(KeyboardInterrupt):
        list(read_ahead(items()))
    assert closed
