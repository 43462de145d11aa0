"""Fits on several threads of this process: they end together, and the calling thread shows their progress."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, local
from typing import Any

from ..kernels.jit import interrupts
from ..kernels.jit.compile_time import add_wait, compile_seconds
from ..user_warnings import KeptWarnings

SHOW_EVERY = 0.02  # seconds between updates of the progress bar


def run_on_threads(work: Callable[[], None], n_threads: int, stop: Event, show: Callable[[], Any]) -> None:
    """Call a function once on each of n_threads threads, and wait until all calls have ended.

    work : function that trains one net after another, and returns soon after `stop` is set
    stop : set after Ctrl-C, which comes to the main thread alone, and after an error
    show : shows the progress; called by this thread

    Warnings of fits are issued by this thread, at the user's line, and time in which the threads have waited for
    kernels counts as this thread's.

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C.
    Exception
        That of the first call that fails.
    """
    from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait  # takes longer than this module

    kept = KeptWarnings()
    waits = [0.0]  # seconds for which each thread has waited for kernels

    def call() -> None:
        before = compile_seconds()
        try:
            with kept.of_this_thread():
                work()
        finally:
            waits.append(compile_seconds() - before)

    try:
        with ThreadPoolExecutor(n_threads) as pool:
            try:
                with interrupts.deferred():  # a pool interrupted while it starts a thread would not wait for it
                    futures = [pool.submit(call) for _ in range(n_threads)]
                while (done := wait(futures, SHOW_EVERY, FIRST_EXCEPTION)).not_done:
                    for future in done.done:
                        future.result()
                    show()
                for future in futures:
                    future.result()
                show()
            except BaseException:
                with interrupts.deferred():  # all threads must have ended before the caller uses the nets
                    stop.set()
                    pool.shutdown()
                raise
    finally:
        add_wait(max(waits))
        kept.issue()


_here = local()  # `stop`: the event that ends the fits of this thread


def stop_of_fits() -> Event | None:
    """Return the event that ends the fits of this thread as Ctrl-C would; None in a thread that has none."""
    return getattr(_here, "stop", None)


@contextmanager
def ending_with(stop: Event) -> Iterator[None]:
    """Context in which fits of this thread end as if interrupted once an event is set."""
    before, _here.stop = stop_of_fits(), stop
    try:
        yield
    finally:
        _here.stop = before
