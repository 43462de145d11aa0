"""Kinds of executors, and the workers of each. Here are those of a Dask cluster: arrays are scattered to them, and
results of lost workers are computed again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from ..errors import shown
from .workers import LokyWorkers, ProcessWorkers, Threads, ThreadWorkers, Workers, host_of

COUNT_EVERY = 1.0  # seconds between two counts of a cluster's workers


class DaskWorkers(Workers):
    """Workers of a Dask cluster: arrays are scattered to all of them, and Dask replaces lost workers' tasks."""

    def __init__(self, executor: Any):
        client = executor if hasattr(executor, "scatter") else executor._client
        super().__init__(executor if executor is not client else client.get_executor())
        self._client = client
        self._counted, self._slots = float("-inf"), dict[str, int]()
        self._keys: dict[Future, str] = {}

    def _send(self, array: np.ndarray) -> Any:
        return _ask(lambda: self._client.scatter([array], broadcast=True, hash=False)[0])

    def _count(self) -> dict[str, int]:
        """Return the number of tasks that run at a time by host; workers may come and go."""
        if time.monotonic() - self._counted >= COUNT_EVERY:
            slots: dict[str, int] = {}
            for address, n in _ask(self._client.nthreads).items():
                slots[host_of(address)] = slots.get(host_of(address), 0) + n
            self._counted, self._slots = time.monotonic(), slots
        return self._slots

    @property
    def n_slots(self) -> int:
        return max(1, sum(self._count().values()))

    @property
    def threads(self) -> Threads:
        return Threads(None, self._count())

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        """Submit a task to the client, with the options of its executor, and return a future of concurrent.futures.

        The executor's own future is never done if its worker is lost after the end of the task and before the client
        has the result, and the task cannot be done again: the error ends in a callback of the event loop.
        """
        key = f"fastmlp-{os.urandom(12).hex()}"
        options = {**getattr(self.executor, "_kwargs", {}), "key": key, "pure": False}
        if getattr(self.executor, "_shutdown", False):
            raise RuntimeError("cannot schedule new futures after shutdown")
        there, here = self._client.submit(function, *arguments, **options), Future[Any]()
        self._keys[here] = key

        def end(here: Future) -> None:
            self._keys.pop(here, None)
            if here.cancelled() and there.status != "cancelled":  # a lost scheduler cancels all of its client's futures
                there.cancel()

        here.add_done_callback(end)
        self._client.loop.add_callback(copy_result, there, here)
        return here

    def cancel(self, futures: list[Future]) -> list[Future]:
        running: set[str] = set()
        with suppress(OSError):  # the scheduler may be what was lost
            running.update(*self._client.processing().values())
        return [future for future in futures if self._keys.get(future) in running or not future.cancel()]

    def is_loss(self, error: BaseException) -> bool:
        return isinstance(error, CancelledError) or type(error).__name__ in ("CancelledError", "FutureCancelledError")

    def losses_of(self, error: BaseException) -> int:
        return error.allowed_failures + 1 if type(error).__name__ == "KilledWorker" else 0  # type: ignore[attr-defined]

    def replace(self, error: BaseException) -> None:
        """Scatter the arrays again that are lost: the only worker that had them may be the one that was lost."""
        for key, (array, name) in self._shared.items():
            if name.status != "finished":
                self._shared[key] = array, self._send(array)


async def copy_result(there: Any, here: Future) -> None:
    """Wait for a future of Dask, and end a future of concurrent.futures as it ends; this runs on the client's loop."""
    error: BaseException | None = None
    try:
        result = await there._result()  # comes again if it was lost with its worker
    except BaseException as task_error:  # of the task, or that its result is lost
        error = task_error
    if there.cancelled():
        here.cancel()
        here.set_running_or_notify_cancel()  # wakes up those who wait
    elif here.set_running_or_notify_cancel():  # nobody has cancelled it
        here.set_result(result) if error is None else here.set_exception(error)


def _ask(question: Callable[[], Any]) -> Any:
    """Return the answer of a Dask client.

    Raises
    ------
    RuntimeError
        If the cluster has no workers.
    ConnectionError
        If its scheduler does not answer.
    """
    try:
        return question()
    except Exception as error:
        if type(error).__name__ == "TimeoutError":  # that of asyncio is another class in Python 3.10
            raise RuntimeError(
                "The Dask cluster has no workers that could take the data. Start some, such as by `dask worker` with "
                "the address of the scheduler, and fit again."
            ) from error
        if isinstance(error, OSError):
            raise ConnectionError(
                f"The scheduler of the Dask cluster does not answer any more: {error} Start it and its workers again, "
                "and fit with a new client."
            ) from error
        raise


# ---- workers of each kind

# Name of a package, or of a part of a module's path, of the executor's class or of a base class -> its workers.
KINDS: dict[str, type[Workers]] = {
    "distributed": DaskWorkers,
    "loky": LokyWorkers,
    "concurrent.futures.process": ProcessWorkers,
}


@contextmanager
def workers_of(executor: Any) -> Iterator[Workers]:
    """Context with the workers of an executor, whose shared arrays are released at its end.

    executor : object with `submit`, or a Dask client

    Raises
    ------
    ValueError
        If the executor has no `submit`.
    """
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
