"""The device flag: what each name gives on a machine without CUDA kernels, and why."""

import os
import re

import pytest

from fastmlp import MLP, devices
from fastmlp.devices import backend, check_name, n_threads_available, resolve


def test_table():
    by_name = {device.name: device for device in devices()}
    assert list(by_name) == ["cpu", "cuda", *(f"cuda:{k}" for k in range(1, len(by_name) - 1))]
    assert by_name["cpu"].available
    assert by_name["cpu"].reason == ""
    assert "thread" in by_name["cpu"].description
    for device in by_name.values():
        assert device.available == (device.reason == ""), "what is not available says why"


def test_cpu_is_given_when_asked_for():
    net = MLP((2, 1), device="cpu")
    assert net.device.name == "cpu"
    assert str(net.device) == "cpu (asked for)"


@pytest.mark.parametrize("name", ("cuda", "cuda:0", "cuda:1"))
def test_cuda_raises_with_the_reason(name):
    cuda = devices()[1]
    if cuda.available:
        pytest.skip("this machine has CUDA")
    with pytest.raises(RuntimeError, match=re.escape(f"device={name!r} cannot be had: {cuda.reason}")):
        MLP((2, 1), device=name)


def test_auto_falls_back_and_says_why():
    cuda = devices()[1]
    if cuda.available:
        pytest.skip("this machine has CUDA")
    device = MLP((2, 1)).device
    assert device.name == "cpu"
    assert cuda.reason in device.reason


@pytest.mark.parametrize(
    "name, near",
    [("cudda", "cuda"), ("cpu ", "cpu"), ("cpu:0", "cpu"), ("cuda:x", "cuda"), ("Auto", "auto"), (None, ""), (0, "")],
)
def test_unknown_name(name, near):
    with pytest.raises(ValueError, match=f"Unknown device {name!r}.*{near}.*Choose from: auto, cpu, cuda"):
        MLP((2, 1), device=name)


def test_kind_of_a_name():
    assert [check_name(name) for name in ("auto", "cpu", "cuda", "cuda:3")] == ["auto", "cpu", "cuda", "cuda"]


def test_backend():
    assert backend(resolve("cpu")).__name__ == "fastmlp.kernels.cpu.backend"


def test_number_of_threads(monkeypatch):
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
    for nonsense in ("", "0", "-2", "many"):
        monkeypatch.setenv("FASTMLP_NUM_THREADS", nonsense)
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
        assert n_threads_available() == mine


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_process_looks_again(fresh_python):
    """What a GPU's driver has begun does not work there."""
    done = fresh_python(
        "import os, fastmlp\nfrom fastmlp.devices import _find_cuda\nfastmlp.devices()\n"
        "assert _find_cuda.cache_info().currsize == 1\nchild = os.fork()\n"
        "if child == 0: os._exit(_find_cuda.cache_info().currsize)\nassert os.waitpid(child, 0)[1] == 0"
    )
    assert done.returncode == 0, done.stderr
