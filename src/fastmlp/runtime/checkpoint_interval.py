"""Checkpoint of a fit: its file, the interval between two, and a timer that says when one is due.

Loggers take the same intervals for their rows. persistence/checkpoint_files.py writes the file.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from math import inf, isfinite
from numbers import Integral
from typing import Any, NamedTuple

from ..errors import checked_count, shown

DEFAULT = "5 min"
SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}  # of the units of a duration
DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")


class Interval(NamedTuple):
    """An interval between checkpoints or rows of a log. One of the two numbers is None."""

    epochs: int | None
    seconds: float | None


def as_interval(value: Any) -> Interval:
    """Return an interval, as users give it, as an Interval.

    value : a whole number of epochs, or a duration with its unit, "s", "min" or "h"

    Raises
    ------
    ValueError
        If it is neither.

    >>> as_interval(10), as_interval("5 min")
    (Interval(epochs=10, seconds=None), Interval(epochs=None, seconds=300.0))
    """
    if isinstance(value, Integral) and not isinstance(value, bool):
        return Interval(checked_count("every", value), None)
    duration = DURATION.fullmatch(value) if isinstance(value, str) else None
    if duration is not None and duration[2] in SECONDS:
        seconds = float(duration[1]) * SECONDS[duration[2]]
        if seconds > 0 and isfinite(seconds):
            return Interval(None, seconds)
    raise ValueError(
        "every must be a number of epochs, such as 10, or a duration above 0 in s, min or h, such as '30 s', '5 min' "
        f"or '2 h', but it is {shown(value)}."
    )


@dataclass(frozen=True)
class Checkpoint:
    """File to which a fit writes its whole state at intervals, at its end and after Ctrl-C.

    The file before is kept as `FILE.previous`.

    Parameters
    ----------
    path : str or path
        The file.
    every : int or str, default "5 min"
        Interval between checkpoints: a number of epochs, or a duration in s, min or h, such as "30 s".
    resume : bool, default False
        Whether to go on from the file: the fit ends with the same bits as without the interruption, or goes on to a
        larger number of epochs. Where there is no file, the fit starts anew.

    Raises
    ------
    ValueError
        If the path is none, or the interval is invalid.

    Examples
    --------
    >>> Checkpoint("run.ckpt", every="30 s")
    Checkpoint(path='run.ckpt', every='30 s', resume=False)
    """

    path: str | os.PathLike
    every: int | str = DEFAULT
    resume: bool = False

    def __post_init__(self):
        if not isinstance(self.path, (str, os.PathLike)):
            raise ValueError(
                f"checkpoint must be the path of a file, or a fastmlp.Checkpoint, but it is {shown(self.path)}."
            )
        as_interval(self.every)


def as_checkpoint(value: Any) -> Checkpoint | None:
    """Return fit's checkpoint argument, a path, a Checkpoint or None, as a Checkpoint or None."""
    return value if value is None or isinstance(value, Checkpoint) else Checkpoint(value)


class Timer:
    """Says when the next checkpoint is due. It starts, and restarts, with the epochs done so far."""

    def __init__(self, interval: Interval):
        self.interval = interval
        self.restart(0)

    def restart(self, epochs_done: int) -> None:
        self._epoch, self._started = epochs_done, time.monotonic()

    def is_due(self, epochs_done: int) -> bool:
        if self.interval.epochs is not None:
            return epochs_done - self._epoch >= self.interval.epochs
        return self.seconds_left() <= 0.0

    def seconds_left(self) -> float:
        """Return the seconds until a checkpoint is due; infinity if epochs are counted."""
        seconds = self.interval.seconds
        return inf if seconds is None else self._started + seconds - time.monotonic()

    def epochs_left(self, epochs_done: int) -> int | None:
        """Return the number of epochs, at least 1, until a checkpoint is due; None if a time decides."""
        if self.interval.epochs is None:
            return None
        return max(1, self._epoch + self.interval.epochs - epochs_done)
