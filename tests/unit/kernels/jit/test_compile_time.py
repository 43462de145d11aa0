"""What a thread has waited for, and who is told."""

import threading
import time

import pytest

from fastmlp.kernels.jit import call, compile_time, object_cache
from fastmlp.kernels.jit.compile_time import add_wait, compile_seconds, notify_listeners, timed


@pytest.fixture
def told(monkeypatch):
    told = []
    monkeypatch.setattr(compile_time, "listeners", [told.append])
    return told


def test_waiting_is_counted_once_and_by_thread():
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
    add_wait(2.0)
    assert compile_seconds() - once >= 2.0
    add_wait(-2.0)


def test_an_error_ends_both(told):
    with pytest.raises(KeyError), timed(), notify_listeners():
        raise KeyError
    assert told == [True, False]
    assert compile_time._here.depth == 0


def test_a_kernel_that_is_not_on_the_disk_is_announced(told, monkeypatch, tmp_path):
    """And one that is there is only loaded: nobody is told, and the time counts."""
    monkeypatch.setattr(object_cache, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(call, "_address", len)
    made = []

    def compiled():
        made.append(tuple(told))
        return b"code"

    before = compile_seconds()
    assert call.load_function("a kernel that nobody has", compiled) == 4
    assert made == [(True,)], "told before it is compiled"
    assert told == [True, False]
    after_compiling = compile_seconds()
    assert after_compiling > before
    assert call.load_function("a kernel that nobody has", compiled) == 4
    assert len(made) == 1
    assert told == [True, False]
    assert compile_seconds() > after_compiling
