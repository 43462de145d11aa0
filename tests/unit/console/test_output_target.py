"""Viewers: whether progress is shown on a terminal, in a notebook, or not at all."""

import io
import sys
from types import SimpleNamespace

import pytest
from fake_terminal import Terminal, notebook_texts

from fastmlp.console.output_target import NOTEBOOK, NOWHERE, TERMINAL, NotebookText, output_target


class ZMQInteractiveShell:
    execution_count = 3


class Shell(ZMQInteractiveShell):
    """A subclass of the notebook shell, as some notebook hosts have."""


class TerminalInteractiveShell:
    pass


@pytest.mark.parametrize(
    "shell, stream, expected",
    [
        (None, Terminal(), TERMINAL),
        (None, io.StringIO(), NOWHERE),
        (None, None, NOWHERE),
        (TerminalInteractiveShell(), Terminal(), TERMINAL),
        (TerminalInteractiveShell(), io.StringIO(), NOWHERE),
        (ZMQInteractiveShell(), io.StringIO(), NOTEBOOK),
        (Shell(), io.StringIO(), NOTEBOOK),
    ],
    ids=lambda value: type(value).__name__,
)
def test_the_target_follows_from_shell_and_stream(shell, stream, expected, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", stream)
        patch.setitem(sys.modules, "IPython", None if shell is None else SimpleNamespace(get_ipython=lambda: shell))
        found = output_target()
    assert found == expected


def test_notebook_text_updates_one_output(monkeypatch):
    shell = ZMQInteractiveShell()
    with monkeypatch.context() as patch:
        texts, text = notebook_texts(patch, shell), NotebookText()
        text.write("one")
        text.write("two")
        assert text.is_in_current_cell
        shell.execution_count += 1
        assert not text.is_in_current_cell
    assert list(texts.values()) == [["one", "two"]]
