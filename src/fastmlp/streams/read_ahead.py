"""Reading ahead: a second thread computes the next item of an iterator while the present one is in use.

bench/log/README.md#first-epoch
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

END = object()


def read_ahead(items: Generator[Any, None, None]) -> Iterator[Any]:
    """Yield the items of a generator, each of which must stay as it is while the next one is computed.

    An exception of the generator is raised where its item would be. If the caller stops early, the generator is closed.
    """
    with closing(items), ThreadPoolExecutor(1, thread_name_prefix="fastmlp-reader") as reader:
        coming = reader.submit(next, items, END)
        while (item := coming.result()) is not END:
            coming = reader.submit(next, items, END)
            yield item
