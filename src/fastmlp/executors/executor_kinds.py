"""Kinds of executors, and the workers of each."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from ..errors import shown
from .dask_workers import DaskWorkers
from .workers import LokyWorkers, ProcessWorkers, ThreadWorkers, Workers

# Name of a package, or of a part of a module's path, of the executor's class or of a base class -> its workers.
KINDS: dict[str, type[Workers]] = {
    "distributed": DaskWorkers,
    "loky": LokyWorkers,
    "concurrent.futures.process": ProcessWorkers,
}


@contextmanager
def workers_of(executor: Any) -> Iterator[Workers]:
    """Context with the workers of an executor, whose shared arrays are released at its end.

    executor : object with `submit`, a Dask client, or the Workers of an outer context, which keep their arrays

    Raises
    ------
    ValueError
        If the executor has no `submit`.
    """
    if isinstance(executor, Workers):
        yield executor
        return
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        raise ValueError(
            "executor must have a method submit(function, *arguments) that returns a future, such as "
            "concurrent.futures.ProcessPoolExecutor() or client.get_executor() of a Dask client, but it is "
            f"{shown(executor)}."
        )
    modules = [cls.__module__ for cls in type(executor).__mro__]
    names = {*modules, *(part for module in modules for part in module.split("."))}
    kind = next((kind for name, kind in KINDS.items() if name in names), Workers)
    if isinstance(executor, ThreadPoolExecutor):
        kind = ThreadWorkers
    workers = kind(executor)
    try:
        yield workers
    finally:
        workers.close()
