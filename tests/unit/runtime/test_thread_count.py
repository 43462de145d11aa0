"""The number of CPU threads by environment variables."""

import os

import pytest

from fastmlp import MLP, devices
from fastmlp.runtime.thread_count import n_processors, n_threads_available


@pytest.mark.parametrize(
    "ours, openmp, expected",
    [
        (None, None, 0),
        (None, "1,2", 1),
        (None, "100000", 0),
        (None, "many", 0),  # another program's business
        ("3", "1", 3),
        ("", None, 0),
        (" ", None, 0),
    ],
)
def test_thread_count_follows_environment_variables(ours, openmp, expected, monkeypatch):
    """expected : 0 for the number of processors"""
    for name, value in (("FASTMLP_NUM_THREADS", ours), ("OMP_NUM_THREADS", openmp)):
        monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
    assert n_threads_available() == (expected or n_processors())
    assert 1 <= n_processors() <= os.cpu_count()


@pytest.mark.parametrize("nonsense", ["0", "-2", "abc", "1.5", "2,4", "1025", "9" * 5000, "²"])
def test_invalid_thread_count_in_the_environment_raises(nonsense, monkeypatch):
    monkeypatch.setenv("FASTMLP_NUM_THREADS", nonsense)
    with pytest.raises(ValueError, match="FASTMLP_NUM_THREADS must be a whole number from 1 to 1024, but"):
        n_threads_available()
    fit = lambda *sizes: MLP(sizes).fit([[0.0] * sizes[0]] * 2, [1.0, 0.0], epochs=1)
    for attempt in (devices, lambda: fit(200, 300, 1), lambda: fit(2, 3, 1)):
        with pytest.raises(ValueError, match="Correct or unset it"):
            attempt()
