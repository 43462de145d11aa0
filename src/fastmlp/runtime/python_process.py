"""Commands of Python processes that this one starts."""

from __future__ import annotations

import sys


def python_command(program: str, *arguments: str) -> list[str]:
    """Return the command of a Python process that runs a program, and imports from where this process does.

    `python -c` alone would import from the current folder first, where others may have put a file such as numpy.py.

    program : source code
    arguments : sys.argv[1:] of the process
    """
    path = [entry for entry in sys.path if isinstance(entry, str)]
    return [sys.executable, "-c", f"import sys; sys.path[:] = {path!r}\n{program}", *arguments]
