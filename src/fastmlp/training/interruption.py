"""Ctrl-C during a fit: `fit` returns early and records the interruption; callers that need complete fits check here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

Record = TypeVar("Record")


def was_interrupted(record: Any) -> bool:
    """Return whether Ctrl-C ended the fit that a History or PopulationResult is of."""
    interrupted = getattr(record, "interrupted", None)  # of a PopulationResult, where stopped_by is an array
    return bool(interrupted) if interrupted is not None else record.stopped_by == "interrupt"


def require_complete(record: Record) -> Record:
    """Return the History or PopulationResult of a fit unchanged, if the fit was not interrupted.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C ended the fit, so that the caller ends, too.
    """
    if was_interrupted(record):
        raise KeyboardInterrupt
    return record


@contextmanager
def interrupt_message(sentence: str) -> Iterator[None]:
    """Context manager that gives a KeyboardInterrupt without a message this sentence as its message."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(str(interrupt) or sentence) from None
