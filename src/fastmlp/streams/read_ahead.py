"""Reading ahead: a second thread computes the next item of an iterator while the present one is in use.

What it gains is in bench/log/streams.md#first-epoch.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from ..kernels.system import interrupts

END = object()


def read_ahead(items: Generator[Any, None, None]) -> Generator[Any, None, None]:
    """Yield the items of a generator, of which each is computed while the one before it is in use.

    An exception of the generator is raised where its item would be. If the caller stops early, the generator is closed.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="fastmlp-reader")

    def begin() -> Future:
        with interrupts.deferred():  # a pool interrupted while it starts a thread would not wait for it
            return pool.submit(next, items, END)

    try:
        result = begin()
        while (item := result.result()) is not END:
            result = begin()
            yield item
    finally:
        with interrupts.deferred():
            pool.shutdown(cancel_futures=True)
        items.close()
