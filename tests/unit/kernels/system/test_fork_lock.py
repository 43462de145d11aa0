"""Fork lock: held while a process forks. tests/reliability/test_fork.py forks while other threads hold locks."""

import os
import threading

from fastmlp.kernels.system import fork_lock


class Hooks:
    def __init__(self, monkeypatch):
        monkeypatch.setattr(os, "register_at_fork", lambda **hooks: self.__dict__.update(hooks), raising=False)


def test_lock_is_held_during_a_fork(monkeypatch):
    hooks, lock = Hooks(monkeypatch), threading.Lock()
    assert fork_lock.hold_while_forking(lock) is lock
    for after in (hooks.after_in_parent, hooks.after_in_child):
        hooks.before()
        assert not lock.acquire(blocking=False)
        after()
        assert lock.acquire(blocking=False)
        lock.release()


def test_lock_not_acquired_in_time_is_free_in_the_child(monkeypatch):
    monkeypatch.setattr(fork_lock, "PATIENCE", 0.01)
    hooks, lock = Hooks(monkeypatch), threading.Lock()
    fork_lock.hold_while_forking(lock)
    lock.acquire()
    hooks.before()
    hooks.after_in_parent()  # releases nothing
    assert lock.locked()
    hooks.before()
    hooks.after_in_child()
    assert lock.acquire(blocking=False)
