"""Fits on several threads of this process: they end together, and the calling thread shows their progress."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Event, local
from typing import Any

from ..interface.user_warnings import KeptWarnings
from ..kernels.jit.compile_time import add_wait, compile_seconds
from ..kernels.system import interrupts

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
    kept, errors = KeptWarnings(), list[BaseException]()
    waits = [0.0]  # seconds for which each thread has waited for kernels
    running, ended = set[int](), SimpleQueue[None]()

    def call(thread: int) -> None:
        before = compile_seconds()
        try:
            with kept.of_this_thread():
                work()
        except BaseException as error:
            errors.append(error)
            stop.set()
        finally:
            waits.append(compile_seconds() - before)
            running.discard(thread)
            ended.put(None)

    def wait(show: Callable[[], Any]) -> None:
        while running:
            with suppress(Empty):
                ended.get(timeout=SHOW_EVERY)
            show()
        show()

    try:
        with interrupts.deferred():
            for thread in range(n_threads):
                running.add(thread)
                try:
                    start_new_thread(call, (thread,))  # a pool of concurrent.futures keeps the process from ending
                except RuntimeError:  # the system allows no more
                    running.discard(thread)
                    raise
        wait(show)
    except BaseException:
        with interrupts.deferred():  # all threads must have ended before the caller uses the nets
            stop.set()
            wait(lambda: None)
        raise
    finally:
        add_wait(max(waits))
        kept.issue()
    if errors:
        raise errors[0]


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
