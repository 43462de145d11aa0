"""Compile time per thread, and listeners that are notified of compilation."""

import threading
import time

import pytest

from fastmlp.kernels.jit import call, compile_time, object_cache
from fastmlp.kernels.jit.compile_time import compile_seconds, timed
from fastmlp.kernels.jit.linker import ObjectFile


@pytest.fixture
def notified(monkeypatch):
    notified = []
    monkeypatch.setattr(compile_time, "listeners", [notified.append])
    return notified


def test_compile_time_is_counted_once_and_per_thread():
    before, of_another = compile_seconds(), []
    with timed(), timed():
        time.sleep(0.01)
        thread = threading.Thread(target=lambda: of_another.append(compile_seconds()))
        thread.start()
        thread.join()
    assert 0.01 <= compile_seconds() - before < 0.02 + 1.0
    once = compile_seconds()
    assert of_another == [0.0]
    with timed():
        pass
    assert compile_seconds() - once < 0.01


def test_compilation_is_announced_and_loading_is_not(notified, monkeypatch, tmp_path):
    """A kernel is compiled once: the next time it is in memory. Its time counts."""
    monkeypatch.setattr(object_cache, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(call, "_load", lambda file: len(file.code))
    made, before = [], compile_seconds()

    def compiled():
        made.append(tuple(notified))
        return ObjectFile(b"code")

    for _ in range(2):
        assert call.load_function("a kernel that nobody has", compiled) == 4
    assert made == [(True,)], "listeners must be notified before compilation"
    assert notified == [True, False]
    assert compile_seconds() > before
