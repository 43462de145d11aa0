"""Sizes of tasks: how many nets a worker of an executor trains in one task, so that it takes some seconds."""

from __future__ import annotations

from ..execution.thresholds import NET_STEP_WORK
from ..kernels.structs import LANES
from .task import FitTask

TASK_SECONDS = 2.0  # of a task; a worker that is killed loses no more
SHORTEST = 0.25  # seconds below which a task is not cut so that each worker gets one
FIRST_SECONDS = 0.5  # of the first tasks, whose time is estimated
# Multiply-adds per second and thread by which the first tasks are estimated: fewer than any net has, so that these
# tasks are short.
FIRST_RATE = 1e9
MOST_BYTES = 8_000_000  # of a task's parameters and own samples; Dask warns of tasks of more than 10 MB
MOST_BYTES_THERE = 32 * MOST_BYTES  # of them on its worker, where each net has its own copy of a shared row


class TaskSizes:
    """Sizes of the tasks of one fit, by the time that finished tasks have taken.

    task : FitTask     of all nets
    epochs : largest number of epochs per net
    net_bytes : bytes that a task has for each net
    bytes_there : bytes that a worker has for each net; by default no more
    """

    def __init__(self, task: FitTask, epochs: int, net_bytes: int, bytes_there: int = 0):
        samples = epochs * task.rows.n_samples
        work = samples * (task.network.layout.products + NET_STEP_WORK)
        self.net_seconds = work / FIRST_RATE  # of a net on a task's threads
        self._seconds = FIRST_SECONDS
        self._step = LANES if task.family == "population_simd" else 1  # lanes are filled
        self._most = max(1, min(MOST_BYTES // max(1, net_bytes), MOST_BYTES_THERE // max(1, bytes_there)))

    def take(self, n_nets: int, seconds: float) -> None:
        """Take the time of a finished task."""
        measured = max(seconds, 1e-6) / n_nets
        first = self._seconds == FIRST_SECONDS
        self.net_seconds = measured if first else 0.5 * (self.net_seconds + measured)
        self._seconds = TASK_SECONDS

    def next(self, n_left: int, n_slots: int) -> int:
        """Return the number of nets of the next task, of n_left nets that are left, for n_slots tasks at a time."""
        wanted = self._seconds / self.net_seconds
        equal_share = max(n_left / n_slots, SHORTEST / self.net_seconds)
        n = min(wanted, equal_share, self._most)
        return min(n_left, max(1, -(-int(n) // self._step)) * self._step)
