"""Detects where a program shows its output: in a terminal, in a notebook, or nowhere."""

from __future__ import annotations

import sys
from typing import Any

TERMINAL, NOTEBOOK, NOWHERE = "terminal", "notebook", ""


def output_target() -> str:
    """Return TERMINAL if standard error is a terminal, NOTEBOOK in a Jupyter kernel, else NOWHERE."""
    if sys.stderr is not None and sys.stderr.isatty():
        return TERMINAL
    return NOTEBOOK if any(cls.__name__ == "ZMQInteractiveShell" for cls in type(_shell()).__mro__) else NOWHERE


def _shell() -> Any:
    ipython = sys.modules.get("IPython")
    return ipython.get_ipython() if ipython else None


class NotebookText:
    """Line of text in the output of a notebook cell, which can be overwritten. It is plain text, without widgets."""

    def __init__(self) -> None:
        from uuid import uuid4  # here: a process without a notebook does without it

        self.cell = getattr(_shell(), "execution_count", None)
        self._id = uuid4().hex
        self._is_displayed = False

    def write(self, text: str) -> None:
        from IPython.display import display

        display({"text/plain": text}, raw=True, display_id=self._id, update=self._is_displayed)
        self._is_displayed = True

    @property
    def is_in_current_cell(self) -> bool:
        return self.cell == getattr(_shell(), "execution_count", None)
