"""The wall time of a fit, the part of it that was compiling, and how both are said."""

from __future__ import annotations

import time

from ..kernels.jit.compile_time import waited

FEWEST, SHARE = 0.01, 0.05  # seconds, and share of the whole, from which compiling is told apart
COMPILES = 0.2  # seconds that the quickest kernel takes to compile; those that lie on the disk are loaded in less


class Stopwatch:
    """`watch.read()`: (seconds since it was made, those of them in which this thread waited for kernels)."""

    def __init__(self) -> None:
        self._start, self._waited = time.perf_counter(), waited()

    def read(self) -> tuple[float, float]:
        return time.perf_counter() - self._start, waited() - self._waited


def is_worth_telling(compile_seconds: float, seconds: float) -> bool:
    """Whether a fit of so many seconds should say how many of them were compiling."""
    return compile_seconds >= max(FEWEST, SHARE * seconds)


def told_time(seconds: float, compile_seconds: float, form: str = ".3g") -> str:
    """The time of training and, where it is worth telling, that of compiling.

    seconds : both together

    >>> told_time(0.25, 0.0), told_time(13.7, 12.1)
    ('0.25 s', '1.6 s, after 12.1 s of compiling, once for this kind of net')
    """
    if not is_worth_telling(compile_seconds, seconds):
        return f"{seconds:{form}} s"
    training, kernels = f"{seconds - compile_seconds:{form}} s", f"{compile_seconds:{form}} s"
    if compile_seconds < COMPILES:
        return f"{training}, after {kernels} of loading kernels"
    return f"{training}, after {kernels} of compiling, once for this kind of net"
