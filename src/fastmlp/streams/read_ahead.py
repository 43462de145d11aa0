"""Reading ahead: a second thread computes the next item of an iterator while the present one is in use.

What it gains is in bench/log/streams.md#first-epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any

from ..kernels.system import interrupts

END = object()


class ReadAhead:
    """Thread that computes one value at a time, ahead of its use. As a context, it ends at the end of the block."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="fastmlp-reader")

    def begin(self, function: Callable[..., Any], *arguments: Any) -> Callable[[], Any]:
        """Start computing a value; return a function that waits for it, and raises what the computation has raised.

        Where no thread can be started any more, as after the end of the main thread, that function computes the value.
        """
        try:
            with interrupts.deferred():  # a pool interrupted while it starts a thread would not wait for it
                return self._pool.submit(function, *arguments).result
        except RuntimeError:
            return partial(function, *arguments)

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *_: object) -> None:
        with interrupts.deferred():
            self._pool.shutdown(cancel_futures=True)


def read_ahead(items: Generator[Any, None, None]) -> Generator[Any, None, None]:
    """Yield the items of a generator, which must not share buffers.

    An exception of the generator is raised where its item would be. If the caller stops early, the generator is closed.
    """
    with closing(items), ReadAhead() as reader:
        result = reader.begin(next, items, END)
        while (item := result()) is not END:
            result = reader.begin(next, items, END)
            yield item
