"""What a thread has waited for, and who is told."""

import threading
import time

import pytest

from fastmlp.kernels.jit import call, compile_time, object_cache
from fastmlp.kernels.jit.compile_time import announced, counted, wait_for_others, waited


@pytest.fixture
def told(monkeypatch):
    told = []
    monkeypatch.setattr(compile_time, "listeners", [told.append])
    return told


def test_waiting_is_counted_once_and_by_thread():
    before, of_another = waited(), []
    with counted(), counted():
        time.sleep(0.01)
        thread = threading.Thread(target=lambda: of_another.append(waited()))
        thread.start()
        thread.join()
    assert 0.01 <= waited() - before < 0.02 + 1.0
    once = waited()
    assert of_another == [0.0]
    with counted():
        pass
    assert waited() - once < 0.01
    wait_for_others(2.0)
    assert waited() - once >= 2.0
    wait_for_others(-2.0)


def test_an_error_ends_both(told):
    with pytest.raises(KeyError), counted(), announced():
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

    before = waited()
    assert call.load_function("a kernel that nobody has", compiled) == 4
    assert made == [(True,)], "told before it is compiled"
    assert told == [True, False]
    after_compiling = waited()
    assert after_compiling > before
    assert call.load_function("a kernel that nobody has", compiled) == 4
    assert len(made) == 1
    assert told == [True, False]
    assert waited() > after_compiling
