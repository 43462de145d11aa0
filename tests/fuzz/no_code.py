"""Refusal of code: while a file is read, Python may unpickle no class, start no program and open no connection.

Python reports these events to a hook (sys.addaudithook), which cannot be removed, and does nothing outside `refused`.
"""

import sys
from contextlib import contextmanager

PREFIXES = "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.", "socket."
_found: list[str] = []
_is_on = [False]


def _hook(event, arguments):
    if _is_on[0] and (event == "pickle.find_class" or event.startswith(PREFIXES)):
        _found.append(f"{event} {arguments!r:.300}")
        raise RuntimeError(f"A file that is read has led to code: {_found[-1]}")


sys.addaudithook(_hook)


@contextmanager
def refused():
    """Context in which code ends with an AssertionError, also where the code under test catches the first error."""
    _found.clear()
    _is_on[0] = True
    try:
        yield
    finally:
        _is_on[0] = False
    assert not _found, _found
