"""Terminals and notebooks that are none."""

import io
import sys
from types import SimpleNamespace

from fastmlp.console import progress_bar


class Terminal(io.StringIO):
    """Text stream that claims to be a terminal."""

    def isatty(self):
        return True


def show_at_once(monkeypatch):
    """Let bars appear, and change, at once."""
    monkeypatch.setattr(progress_bar, "SHOW_AFTER", 0.0)
    monkeypatch.setattr(progress_bar, "CELL_EVERY", 0.0)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def notebook_texts(monkeypatch, shell=None):
    """Return a dictionary that gets the successive texts of a notebook cell's outputs, by display id."""
    texts = {}
    shell = shell or type("ZMQInteractiveShell", (), {"execution_count": 1})()

    def display(data, raw, display_id, update):
        assert raw
        assert update == (display_id in texts)
        texts.setdefault(display_id, []).append(data["text/plain"])

    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    return texts
