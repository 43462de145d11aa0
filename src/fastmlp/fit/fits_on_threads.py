"""Fits on several threads of this process: they end together, and the calling thread shows their progress."""

from __future__ import annotations

from _thread import start_new_thread
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from ..interface.user_warnings import KeptWarnings
from ..kernels.jit.compile_time import add_wait, compile_seconds
from ..runtime.ctrl_c import StopFlag, ending_with

SHOW_EVERY = 0.02  # seconds between updates of the progress bar


def run_on_threads(work: Callable[[], None], n_threads: int, stop: StopFlag, show: Callable[[], Any]) -> None:
    """Call a function once on each of n_threads threads, and wait until all calls have ended.

    work : function that trains one net after another, and returns soon after `stop` is set
    stop : ends the fits of the threads; set after an error
    show : shows the progress; called by this thread

    Warnings of fits are issued by this thread, at the user's line, and time in which the threads have waited for
    kernels counts as this thread's.

    Raises
    ------
    BaseException
        That of the first call that fails, or a second Ctrl-C.
    """
    kept, errors = KeptWarnings(), list[BaseException]()
    waits = [0.0]  # seconds for which each thread has waited for kernels
    ended, wake, n_begun = list[None](), SimpleQueue[None](), 0

    def call() -> None:
        before = compile_seconds()
        try:
            with kept.of_this_thread(), ending_with(stop):
                work()
        except BaseException as error:
            errors.append(error)
            stop.set()
        finally:
            waits.append(compile_seconds() - before)
            ended.append(None)
            wake.put(None)

    def wait(show: Callable[[], Any]) -> None:
        while len(ended) < n_begun:
            with suppress(Empty):
                wake.get(timeout=SHOW_EVERY)  # a second Ctrl-C may come after it has taken an item
            show()

    try:
        for _ in range(n_threads):
            start_new_thread(call, ())  # a pool of concurrent.futures keeps the process from ending
            n_begun += 1
        wait(show)
        show()  # what ended last
    except BaseException:  # all threads must have ended before the caller uses the nets
        stop.set()
        wait(lambda: None)
        raise
    finally:
        add_wait(max(waits))
        kept.issue()
    if errors:
        raise errors[0]
