"""How the `fastmlp` command ends: warnings, errors and Ctrl-C as sentences on the terminal, and its exit status."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand

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
        except (MemoryError, OSError, ValueError, RuntimeError, ImportError) as error:
            say(_sentence(error))
            raise typer.Exit(FAILED) from None


class Command(TyperCommand):
    """Command whose errors are sentences."""

    def invoke(self, ctx: Any) -> Any:
        with errors_as_sentences():
            return super().invoke(ctx)


def _sentence(error: Exception) -> str:
    """Return the message of an error of this package; of others, one with the file and reason, or with the memory."""
    if isinstance(error, OSError) and error.strerror:
        reason = f"{error.strerror[:1].lower()}{error.strerror[1:]}"
        if error.filename is None:
            return f"The operating system refused to go on: {reason}."
        return f"{str(error.filename)!r} cannot be read or written: {reason}; check the path and its permissions."
    if isinstance(error, MemoryError) and (not str(error) or hasattr(error, "shape")):  # NumPy's has the shape
        return f"There was no memory left, so {TOO_LARGE}: {REMEDY}."
    return str(error) or type(error).__name__
