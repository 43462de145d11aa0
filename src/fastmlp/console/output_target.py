"""Detects where a program shows its output: in a terminal, in a notebook, or nowhere."""

from __future__ import annotations

import os
import sys
from shutil import get_terminal_size
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


class OutputLine:
    """Line of text that can be overwritten: on a terminal, or in the output of a notebook cell, without widgets."""

    def __init__(self) -> None:
        self.stays = output_target() == NOTEBOOK
        self.cell = getattr(_shell(), "execution_count", None)
        self._id, self._shown, self._is_displayed = os.urandom(16).hex(), "", False

    def write(self, text: str) -> None:
        """Overwrite the line; on a terminal with as much of the text as fits, or with spaces where it is empty."""
        if self.stays:
            from IPython.display import display

            display({"text/plain": text}, raw=True, display_id=self._id, update=self._is_displayed)
        else:
            text = text[: get_terminal_size().columns - 1]
            sys.stderr.write(f"\r{' ' * len(self._shown)}\r{text}")
            sys.stderr.flush()
        self._shown, self._is_displayed = text, True

    @property
    def is_in_current_cell(self) -> bool:
        return self.cell == getattr(_shell(), "execution_count", None)
