"""Ctrl-C during a fit: `fit` keeps what was reached and says so in its record; whoever needs whole fits asks here."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Record = TypeVar("Record")


def uninterrupted(record: Record) -> Record:
    """The History or PopulationResult of a fit that was not interrupted.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C ended the fit: what comes after it should end too.
    """
    interrupted = getattr(record, "interrupted", None)  # of a PopulationResult, where stopped_by is an array
    if interrupted if interrupted is not None else record.stopped_by == "interrupt":  # type: ignore[attr-defined]
        raise KeyboardInterrupt
    return record


@contextmanager
def interruption_says(sentence: str) -> Iterator[None]:
    """Ctrl-C inside of it goes on as a KeyboardInterrupt with this sentence, unless it has one already."""
    try:
        yield
    except KeyboardInterrupt as interrupt:
        raise KeyboardInterrupt(str(interrupt) or sentence) from None
