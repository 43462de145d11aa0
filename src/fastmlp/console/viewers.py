"""Who sees what a program shows: a person at a terminal, the reader of a notebook, or nobody."""

from __future__ import annotations

import sys
from typing import Any
from uuid import uuid4

TERMINAL, NOTEBOOK, NOBODY = "terminal", "notebook", ""


def watcher() -> str:
    """TERMINAL, NOTEBOOK or NOBODY."""
    if sys.stderr is not None and sys.stderr.isatty():
        return TERMINAL
    return NOTEBOOK if any(cls.__name__ == "ZMQInteractiveShell" for cls in type(_shell()).__mro__) else NOBODY


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


class NotebookText:
    """A line of text in the output of a notebook's cell, which can be written anew. Plain text needs no widgets."""

    def __init__(self) -> None:
        self.cell = getattr(_shell(), "execution_count", None)
        self._id = uuid4().hex
        self._is_there = False

    def write(self, text: str) -> None:
        from IPython.display import display

        display({"text/plain": text}, raw=True, display_id=self._id, update=self._is_there)
        self._is_there = True

    @property
    def is_of_this_cell(self) -> bool:
        return self.cell == getattr(_shell(), "execution_count", None)
