"""The number of CPU threads by environment variables."""

import os

import pytest

from fastmlp import MLP, devices
from fastmlp.runtime.thread_count import n_threads_available


def test_thread_count_follows_environment_variables(monkeypatch):
    monkeypatch.delenv("FASTMLP_NUM_THREADS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    mine = n_threads_available()
    assert 1 <= mine <= os.cpu_count()
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    assert n_threads_available() == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "100000")
    assert n_threads_available() == mine
    monkeypatch.setenv("FASTMLP_NUM_THREADS", "3")
    assert n_threads_available() == 3
    for unset in ("", " "):
        monkeypatch.setenv("FASTMLP_NUM_THREADS", unset)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert n_threads_available() == mine
    monkeypatch.setenv("OMP_NUM_THREADS", "many")  # another program's business
    assert n_threads_available() == mine


@pytest.mark.parametrize("nonsense", ["0", "-2", "abc", "1.5", "2,4", "1025", "9" * 5000, "²"])
def test_invalid_thread_count_in_the_environment_raises(nonsense, monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", nonsense)
    with pytest.raises(ValueError, match="FASTMLP_NUM_THREADS must be a whole number from 1 to 1024, but"):
        n_threads_available()
    with pytest.raises(ValueError, match="Correct or unset it"):
        devices()
    with pytest.raises(ValueError, match="Correct or unset it"):
        MLP((200, 300, 1)).fit([[0.0] * 200] * 2, [1.0, 0.0], epochs=1)
    with pytest.raises(ValueError, match="Correct or unset it"):
        MLP((2, 3, 1)).fit([[0.0] * 2] * 2, [1.0, 0.0], epochs=1)
