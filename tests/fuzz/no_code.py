"""Refusal of code: while a file is read, Python may not compile or run text, start a program or open a connection.

Python reports these events to a hook (sys.addaudithook), which cannot be removed, and does nothing outside `refused`.
Modules that are imported late run code, of files that are installed; classes of the standard library and of Numba are
made by code that these generate, and the module `ast` compiles text to a tree, which runs nothing.
"""

import sys
from contextlib import contextmanager
from pathlib import Path

import llvmlite
import numba

PREFIXES = "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.startfile", "subprocess.", "socket."
STANDARD = Path(sys.modules["os"].__file__).parent
GENERATORS = tuple(
    str(place)
    for place in (
        STANDARD / "ast.py",
        STANDARD / "dataclasses.py",
        STANDARD / "collections" / "__init__.py",
        Path(numba.__file__).parent,
        Path(llvmlite.__file__).parent,
    )
)
_found: list[str] = []
_is_on = [False]


def _is_of_import():
    """Return whether a module is being imported, by the frames of this thread."""
    frame = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _hook(event, arguments):
    if not _is_on[0]:
        return
    if event == "exec" or event == "compile":
        is_code = not (sys._getframe(1).f_code.co_filename.startswith(GENERATORS) or _is_of_import())
    else:
        is_code = event == "pickle.find_class" or event.startswith(PREFIXES)
    if is_code:
        text = f"{event} {arguments!r:.300}"
        _found.append(text)
        raise RuntimeError(f"A file that is read has led to code: {text}")


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
