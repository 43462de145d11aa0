"""Workers of an executor: how they get arrays, how many tasks run at a time, and what is lost with one of them.

An executor is any object whose `submit` returns futures as concurrent.futures has them. What an executor is known to do
better is in a subclass of Workers: KINDS.
"""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from typing import Any, NamedTuple

import numpy as np

from ..errors import shown
from ..kernels.system import interrupts
from ..runtime.thread_count import n_processors, threads_setting
from .gpu_of_worker import Numbers
from .shared_arrays import ArrayFolder, MappedArray

UNKNOWN_SLOTS = 8  # tasks that are taken to run at a time where an executor does not say how many workers it has
COUNT_EVERY = 1.0  # seconds between two counts of a cluster's workers
COMPARED = 2**20  # bytes of two arrays that are compared at a time


class Threads(NamedTuple):
    """Number of threads of a task: fixed, or by the tasks that run at a time on the machine where it runs."""

    fixed: int | None
    slots: dict[str, int] | None = None  # tasks at a time by host, of a Dask cluster

    def here(self) -> int:
        """Return the number on this worker: as many processors as there are for each task."""
        if self.fixed is not None:
            return self.fixed
        from distributed import get_worker

        worker = get_worker()
        slots = (self.slots or {}).get(_host(worker.address), worker.state.nthreads)
        return max(1, n_processors() // slots)


@dataclass
class SharedArray:
    """Array that workers have got, and what tasks name it by."""

    array: np.ndarray
    name: Any


def have_same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    """Whether two arrays, which are contiguous, have the same type, shape and bits."""
    if (one.dtype, one.shape) != (other.dtype, other.shape):
        return False
    if _address(one) == _address(other):
        return True
    left, right = (array.reshape(-1).view(np.uint8) for array in (one, other))
    return all(np.array_equal(left[k : k + COMPARED], right[k : k + COMPARED]) for k in range(0, len(left), COMPARED))


class Workers:
    """Workers of an executor of which nothing is known: arrays travel with each task, which has one thread."""

    def __init__(self, executor: Any):
        self.executor = executor
        self.stop = threading.Event()  # set to end what these workers do, as Ctrl-C does ...
        self.leave = threading.Event()  # ... and as a second one
        self._shared: list[SharedArray] = []
        self._known: dict[tuple, tuple[np.ndarray, SharedArray]] = {}  # by address, which the array keeps
        self._lock = threading.Lock()

    # ---- arrays

    def share(self, array: np.ndarray) -> Any:
        """Return what a task names an array by. The bits of an array that was shared before are not sent again."""
        key = _address(array)
        with self._lock:
            if key not in self._known:
                found = next((shared for shared in self._shared if have_same_bits(shared.array, array)), None)
                if found is None:
                    found = SharedArray(array, self._send(array))
                    self._shared.append(found)
                self._known[key] = array, found
            return self._known[key][1].name

    def forget(self, arrays: list[np.ndarray]) -> None:
        """Let go of arrays, whose bits stay shared. They need not be kept where others have the same bits."""
        with self._lock:
            for array in arrays:
                self._known.pop(_address(array), None)

    def _send(self, array: np.ndarray) -> Any:
        return array

    def close(self) -> None:
        """Release the shared arrays."""
        self._shared.clear()
        self._known.clear()

    # ---- tasks

    @property
    def n_slots(self) -> int:
        """Number of tasks that run at a time."""
        return int(getattr(self.executor, "_max_workers", 0) or getattr(self.executor, "num_workers", 0)) or (
            UNKNOWN_SLOTS
        )

    @property
    def threads(self) -> Threads:
        """Threads of a task."""
        return Threads(1)

    @property
    def numbers(self) -> Numbers:
        """Numbers of the workers of each machine, by which they take its GPUs."""
        return Numbers()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Future:
        return self.executor.submit(function, *arguments)

    def cancel(self, futures: list[Future]) -> list[Future]:
        """Cancel tasks that have not begun, and return those that have."""
        return [future for future in futures if not future.cancel()]

    def is_loss(self, error: BaseException) -> bool:
        """Whether an error of a future says that its worker was lost, and not that the task has failed."""
        return isinstance(error, (CancelledError, BrokenExecutor))

    def losses_of(self, error: BaseException) -> int:
        """Return how many workers the executor itself has lost with a task before it gave up; 0 for another error."""
        return 0

    def replace(self, error: BaseException) -> None:
        """Prepare for tasks to be submitted again after a loss.

        Raises
        ------
        BrokenExecutor
            If the executor cannot go on.
        """
        if isinstance(error, BrokenExecutor):
            raise type(error)(f"The executor is broken and takes no more tasks: {error}") from error


def _address(array: np.ndarray) -> tuple:
    return array.__array_interface__["data"][0], array.shape, array.dtype.str


class ThreadWorkers(Workers):
    """Threads of this process, which share its memory."""

    @property
    def threads(self) -> Threads:
        return Threads(threads_setting() or max(1, n_processors() // self.n_slots))


class ProcessWorkers(ThreadWorkers):
    """Processes of this machine, which map the same files."""

    _folder: ArrayFolder | None = None

    def _send(self, array: np.ndarray) -> MappedArray:
        if self._folder is None:
            self._folder = ArrayFolder()
        return self._folder.write(array)

    def close(self) -> None:
        super().close()
        if self._folder is not None:
            self._folder.remove()
            self._folder = None

    def replace(self, error: BaseException) -> None:
        if isinstance(error, BrokenExecutor):
            raise type(error)(
                "A worker process was lost: it was killed, ran out of memory or crashed. A "
                f"{type(self.executor).__name__} cannot go on after that. Make a new one and fit again, or pass "
                "loky.get_reusable_executor() or the executor of a Dask client, which replace lost workers."
            ) from error


class LokyWorkers(ProcessWorkers):
    """Processes of loky, whose reusable executor replaces a broken pool."""

    def replace(self, error: BaseException) -> None:
        if not hasattr(type(self.executor), "get_reusable_executor"):
            return super().replace(error)
        package = type(self.executor).__module__.rpartition(".")[0]  # loky, or the copy in joblib
        self.executor = importlib.import_module(package).get_reusable_executor(reuse=True)


class DaskWorkers(Workers):
    """Workers of a Dask cluster: arrays are scattered to all of them, and Dask replaces lost workers' tasks."""

    def __init__(self, executor: Any):
        client = executor if hasattr(executor, "scatter") else executor._client
        super().__init__(executor if executor is not client else client.get_executor())
        self._client = client
        self._counted, self._slots = float("-inf"), dict[str, int]()
        self._numbers = dict[str, int]()  # of each worker among those of its host, by address
        self._keys: dict[Future, str] = {}

    def _send(self, array: np.ndarray) -> Any:
        return _ask(lambda: self._client.scatter([array], broadcast=True, hash=False)[0])

    def _count(self) -> dict[str, int]:
        """Return the number of tasks that run at a time by host; workers may come and go."""
        if time.monotonic() - self._counted >= COUNT_EVERY:
            slots: dict[str, int] = {}
            n_threads = _ask(self._client.nthreads)
            for address, n in n_threads.items():
                slots[_host(address)] = slots.get(_host(address), 0) + n
            self._numbers = numbered(n_threads, self._numbers)
            self._counted, self._slots = time.monotonic(), slots
        return self._slots

    @property
    def n_slots(self) -> int:
        return max(1, sum(self._count().values()))

    @property
    def threads(self) -> Threads:
        return Threads(None, self._count())

    @property
    def numbers(self) -> Numbers:
        self._count()
        return Numbers(self._numbers)

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
        with self._lock:
            for shared in self._shared:
                if shared.name.status != "finished":
                    shared.name = self._send(shared.array)


async def copy_result(there: Any, here: Future) -> None:
    """Wait for a future of Dask, and end a future of concurrent.futures as it ends; this runs on the client's loop."""
    error: BaseException | None = None
    try:
        result = await there._result()  # comes again if it was lost with its worker
    except BaseException as found:  # of the task, or that its result is lost
        error = found
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


def _host(address: str) -> str:
    """Return the host in a worker's address, such as tcp://10.0.0.1:4000."""
    return address.rpartition("://")[2].rpartition(":")[0]


def numbered(addresses: Iterable[str], known: dict[str, int]) -> dict[str, int]:
    """Return the number of each worker among those of its host, by address.

    known : numbers so far, which stay; a new worker gets the lowest one that no other worker of its host has

    >>> numbered(["tcp://a:5", "tcp://a:7", "tcp://b:1"], {"tcp://a:3": 0, "tcp://a:7": 1})
    {'tcp://a:7': 1, 'tcp://a:5': 0, 'tcp://b:1': 0}
    """
    addresses = sorted(addresses)
    found = {address: number for address, number in known.items() if address in addresses}
    for address in addresses:
        if address not in found:
            taken = {number for other, number in found.items() if _host(other) == _host(address)}
            found[address] = next(number for number in count() if number not in taken)
    return found


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
        with interrupts.deferred():  # Ctrl-C would leave arrays on disk
            workers.close()
