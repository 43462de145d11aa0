"""Fork lock: held while a process forks. tests/reliability/test_fork.py forks while other threads hold locks."""

import os
import threading

import pytest

from fastmlp.kernels.system import fork_lock


class Hooks:
    def __init__(self, monkeypatch):
        monkeypatch.setattr(os, "register_at_fork", lambda **hooks: self.__dict__.update(hooks), raising=False)


@pytest.mark.parametrize("kind", [threading.Lock, threading.RLock])
def test_lock_is_held_during_a_fork(kind, monkeypatch):
    hooks, lock = Hooks(monkeypatch), kind()
    assert fork_lock.hold_while_forking(lock) is lock
    for after in ("after_in_parent", "after_in_child"):
        hooks.before()
        found = []
        other = threading.Thread(target=lambda found=found: found.append(lock.acquire(blocking=False)))
        other.start()
        other.join()
        assert found == [False]
        getattr(hooks, after)()
        with lock:
            pass


def test_lock_not_acquired_in_time_is_free_in_the_child(monkeypatch):
    monkeypatch.setattr(fork_lock, "PATIENCE", 0.01)
    hooks, lock = Hooks(monkeypatch), fork_lock.hold_while_forking(threading.RLock())
    begun, end = threading.Event(), threading.Event()

    def hold():
        with lock:
            begun.set()
            end.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait()
    hooks.before()
    hooks.after_in_parent()  # releases nothing
    assert not lock.acquire(blocking=False)
    end.set()
    thread.join()
    lock = fork_lock.hold_while_forking(threading.Lock())
    lock.acquire()
    hooks.before()
    hooks.after_in_child()
    assert lock.acquire(blocking=False)
