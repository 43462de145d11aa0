"""Ctrl-C during a fit: `fit` returns early and records the interruption; callers that need complete fits check here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Record = TypeVar("Record")


def require_complete(record: Record) -> Record:
    """Return the History or PopulationResult of a fit unchanged, if the fit was not interrupted.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C ended the fit, so that the caller ends, too.
    """
    interrupted = getattr(record, "interrupted", None)  # of a PopulationResult, where stopped_by is an array
    if interrupted if interrupted is not None else record.stopped_by == "interrupt":  # type: ignore[attr-defined]
        raise KeyboardInterrupt
    return record


@contextmanager
def interrupt_message(sentence: str) -> Iterator[None]:
    """Context manager that gives a KeyboardInterrupt without a message this sentence as its message."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(str(interrupt) or sentence) from None
