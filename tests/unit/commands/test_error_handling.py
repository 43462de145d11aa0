"""Errors on the terminal: each failure of a command prints one line and sets the exit code."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import typer

from fastmlp.commands.error_handling import FAILED, INTERRUPTED, errors_as_sentences


def too_much_memory():
    np.zeros((1 << 20, 1 << 24))


def raises(error):
    def fail():
        raise error

    return fail


@pytest.mark.parametrize(
    ("fail", "status", "message"),
    [
        (raises(ValueError("two\n words")), FAILED, "two words"),
        (raises(KeyboardInterrupt), INTERRUPTED, "Interrupted."),
        (raises(KeyboardInterrupt("Interrupted after 3 epochs.")), INTERRUPTED, "Interrupted after 3 epochs."),
        (raises(FileNotFoundError("There is no file 'x'.")), FAILED, "There is no file 'x'."),
        (raises(OSError(28, "No space left on device")), FAILED, "refused to go on: no space left on device."),
        (raises(PermissionError(13, "Permission denied", "m.safetensors")), FAILED, "'m.safetensors' cannot be read"),
        (raises(MemoryError()), FAILED, "There was no memory left, so the table or the net is too large"),
        (raises(MemoryError("The GPU has no room.")), FAILED, "The GPU has no room."),
        (too_much_memory, FAILED, "There was no memory left, so the table or the net is too large"),
        (
            lambda: Path("no-such-folder/file").read_text(),
            FAILED,
            "'no-such-folder/file' cannot be read or written: no such file",
        ),
    ],
)
def test_errors_print_one_line_and_set_the_exit_code(capsys, fail, status, message):
    with pytest.raises(typer.Exit) as caught, errors_as_sentences():
        fail()
    assert caught.value.exit_code == status
    line = capsys.readouterr().err
    assert line.startswith("fastmlp: ")
    assert message in line
    assert line.count("\n") == 1
    for words in ("Errno", "Unable to allocate", "Traceback"):
        assert words not in line


@pytest.mark.filterwarnings("default")
def test_warnings_print_one_line_and_the_command_continues(capsys):
    with errors_as_sentences():
        warnings.warn("beware", stacklevel=1)
        print("done")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("done\n", "fastmlp: beware\n")


def test_unexpected_exceptions_propagate():
    with pytest.raises(KeyError), errors_as_sentences():
        raise KeyError("a bug")
