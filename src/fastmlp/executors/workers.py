"""Workers of an executor: how they get arrays, how many tasks run at a time, and what is lost with one of them.

An executor is any object whose `submit` returns futures as concurrent.futures has them. What threads and processes of
this machine do better is in subclasses of Workers here, for a Dask cluster in executor_kinds.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, CancelledError, Future
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from ..runtime.temporary_folder import TemporaryFolder
from ..runtime.thread_count import n_processors, threads_setting

UNKNOWN_SLOTS = 8  # tasks that are taken to run at a time where an executor does not say how many workers it has

MOST_MAPPED = 16  # arrays that a worker keeps mapped: those of a fit are X, y and weights, and as many held-out ones


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
        slots = (self.slots or {}).get(host_of(worker.address), worker.state.nthreads)
        return max(1, n_processors() // slots)


class MappedArray(NamedTuple):
    """Array in a file, as a task names it."""

    path: str


@lru_cache(MOST_MAPPED)
def _mapped(path: str) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="c")
    return array


def as_array(shared: Any) -> np.ndarray:
    """Return the array of what a task names, or the array itself where the executor has brought it.

    An array in a file is mapped once in each process. Writes to it would stay in this process.
    """
    return _mapped(shared.path) if isinstance(shared, MappedArray) else shared


class Workers:
    """Workers of an executor of which nothing is known: arrays travel with each task, which has one thread."""

    def __init__(self, executor: Any):
        self.executor = executor
        self._shared: dict[Any, tuple[np.ndarray, Any]] = {}  # arrays, and what tasks name each by

    # ---- arrays

    def share(self, array: np.ndarray) -> Any:
        """Return what a task names an array by. An array that was shared before is not sent again."""
        key = array.dtype, array.shape, array.__array_interface__["data"]
        if key not in self._shared:
            self._shared[key] = array, self._send(array)
        return self._shared[key][1]

    def _send(self, array: np.ndarray) -> Any:
        return array

    def close(self) -> None:
        """Release the shared arrays."""
        self._shared.clear()

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


class ThreadWorkers(Workers):
    """Threads of this process, which share its memory."""

    @property
    def threads(self) -> Threads:
        return Threads(threads_setting() or max(1, n_processors() // self.n_slots))


class ProcessWorkers(ThreadWorkers):
    """Processes of this machine, which map the same files."""

    _folder: TemporaryFolder | None = None

    def _send(self, array: np.ndarray) -> MappedArray:
        """Write an array to a new file in the folder for temporary files.

        Raises
        ------
        OSError
            If it cannot be written; the message says where, and what to do.
        """
        if self._folder is None:
            self._folder = TemporaryFolder("fastmlp-arrays-", why="Data for worker processes are written to files")
        path = self._folder.path / f"{len(self._shared)}.npy"
        try:
            np.save(path, array, allow_pickle=False)
        except OSError as error:
            raise OSError(
                f"The data for worker processes cannot be written to {str(self._folder.path)!r}: "
                f"{error.strerror or error}. Choose a folder with more room by the environment variable TMPDIR."
            ) from None
        return MappedArray(str(path))

    def close(self) -> None:
        """Release the arrays, and delete their files; processes that have mapped one keep its pages meanwhile."""
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


def host_of(address: str) -> str:
    """Return the host in a worker's address, such as tcp://10.0.0.1:4000."""
    return address.rpartition("://")[2].rpartition(":")[0]
