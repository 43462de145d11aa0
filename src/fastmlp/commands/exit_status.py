"""Exit status of the `fastmlp` command, and how it ends: warnings, errors and Ctrl-C as sentences on the terminal."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

FAILED, INTERRUPTED = 1, 130  # exit statuses; 130 is what shells give to a command that Ctrl-C ended
TOO_LARGE = "the table or the net is too large for this machine's memory"
REMEDY = "take fewer rows or columns, smaller hidden layers, fewer epochs or fewer nets"


def console() -> Console:
    from rich.console import Console

    return Console(highlight=False)


def say(text: str) -> None:
    """Print one line to stderr."""
    typer.echo(f"fastmlp: {' '.join(text.split())}", err=True)


@contextmanager
def errors_as_sentences() -> Iterator[None]:
    """Context manager: prints warnings, expected errors and Ctrl-C as one sentence each on stderr.

    The exit status is 1 after an error and 130 after Ctrl-C.
    """

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        say(str(message))

    with warnings.catch_warnings():
        warnings.showwarning = show
        try:
            yield
        except (typer.Exit, BrokenPipeError):  # first, since typer.Exit is a RuntimeError
            raise
        except KeyboardInterrupt as interrupt:
            say(str(interrupt) or "Interrupted.")
            raise typer.Exit(INTERRUPTED) from None
        except MemoryError as error:
            say(_memory_sentence(error))
            raise typer.Exit(FAILED) from None
        except OSError as error:
            say(_system_sentence(error))
            raise typer.Exit(FAILED) from None
        except (ValueError, RuntimeError, ImportError) as error:
            say(str(error) or type(error).__name__)
            raise typer.Exit(FAILED) from None


def _memory_sentence(error: MemoryError) -> str:
    """Return a sentence for a MemoryError: NumPy's has the shape and dtype of the array, Python's has no message."""
    shape, dtype = getattr(error, "shape", None), getattr(error, "dtype", None)
    if shape is not None and dtype is not None:
        wanted = math.prod(shape) * dtype.itemsize / 2**30
        return f"There was no memory for an array of {wanted:,.1f} GiB, so {TOO_LARGE}: {REMEDY}."
    return str(error) or f"There was no memory left, so {TOO_LARGE}: {REMEDY}."


def _system_sentence(error: OSError) -> str:
    """Return a sentence for an OSError: its message if this package raised it, else one with its reason and file."""
    if not error.strerror:
        return str(error) or type(error).__name__
    reason = f"{error.strerror[:1].lower()}{error.strerror[1:]}"
    if error.filename is None:
        return f"The operating system refused to go on: {reason}."
    return f"{str(error.filename)!r} cannot be read or written: {reason}; check the path and its permissions."
