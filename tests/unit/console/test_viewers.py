"""Who sees what is shown."""

import io
import sys
from types import SimpleNamespace

import pytest
from terminals import Terminal

from fastmlp.console.viewers import NOTEBOOK, NOWHERE, TERMINAL, NotebookText, output_target


class ZMQInteractiveShell:
    execution_count = 3


class Shell(ZMQInteractiveShell):
    """As some hosts of notebooks have it."""


class TerminalInteractiveShell:
    pass


def in_shell(patch, shell, stream):
    patch.setattr(sys, "stderr", stream)
    patch.setitem(sys.modules, "IPython", None if shell is None else SimpleNamespace(get_ipython=lambda: shell))


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
)
def test_who_watches(shell, stream, expected, monkeypatch):
    with monkeypatch.context() as patch:
        in_shell(patch, shell, stream)
        found = output_target()
    assert found == expected


def test_a_text_in_a_notebook_is_one_output_that_changes(monkeypatch):
    shown, shell = [], ZMQInteractiveShell()
    with monkeypatch.context() as patch:
        in_shell(patch, shell, io.StringIO())
        display = lambda data, raw, display_id, update: shown.append((data, display_id, update))
        patch.setitem(sys.modules, "IPython.display", SimpleNamespace(display=display))
        text = NotebookText()
        text.write("one")
        text.write("two")
        assert text.is_in_current_cell
        shell.execution_count += 1
        assert not text.is_in_current_cell
    assert [data for data, _, _ in shown] == [{"text/plain": "one"}, {"text/plain": "two"}]
    assert [update for _, _, update in shown] == [False, True]
    assert shown[0][1] == shown[1][1]
