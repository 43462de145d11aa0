"""Kernel calls that train a population's nets together, some epochs each: how many, and what is saved between two."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..console.nets_progress import BestScore
from ..console.progress_bar import Progress
from ..execution.work import products
from ..kernels.structs import SuspendedNets
from ..training.time_limit import CallSizes, OutOfTime
from .checkpoint_saver import PopulationSaver
from .task_and_outcome import PopulationOutcome, PopulationTask

MOST_EPOCHS = 2**40  # per kernel call; on a CPU, epochs of a call count across nets that follow each other in a lane
CALL_SECONDS = (0.1, 0.3)  # range of a call's duration: a call cannot be interrupted and shows no progress
FIRST_CALL = 2e8  # multiply-adds of the first call on a CPU, over all lanes of a block
FULL_DEVICE = 10_000  # nets up to which an epoch takes a GPU as long as for one net
# Multiply-adds of the first call on a GPU, over all nets: milliseconds on a large GPU, 0.1 seconds on a small one.
FIRST_CALL_OF_DEVICE = 1e10


class CallSaver:
    """Saver of the nets that a run trains, asked between its calls.

    suspended : function that returns the run's nets in training
    waiting : SuspendedNets     nets that go on after these
    """

    def __init__(self, saver: PopulationSaver, suspended: Callable[[], SuspendedNets], waiting: SuspendedNets):
        self._saver, self._suspended, self._waiting = saver, suspended, waiting

    def most_epochs(self) -> int:
        """Return the number of epochs that the next call may have."""
        return self._saver.timer.epochs_left(self._saver.epochs) or MOST_EPOCHS

    def after_call(self, n_epochs: int) -> None:
        """Write the state if it is due after a call of n_epochs epochs."""
        self._saver.epochs += n_epochs
        if self._saver.timer.is_due(self._saver.epochs):
            self.save()

    def save(self) -> None:
        nets, waiting = self._suspended(), self._waiting
        parts = [part for part in (nets, waiting) if len(part.net_index)]
        self._saver.save(SuspendedNets.joined(parts) if parts else None)
        self._saver.timer.restart(self._saver.epochs)


def first_call_epochs(task: PopulationTask, lanes: int, n_members: int) -> int:
    """Return the number of epochs of the first kernel call."""
    n_nets, work = lanes, FIRST_CALL
    if not task.device.is_host:  # a GPU trains all nets at once, and few nets take as long as many
        n_nets, work = max(n_members, FULL_DEVICE), FIRST_CALL_OF_DEVICE
    return max(1, int(work / (n_nets * products(task.network, task.data.n_samples))))


def call_until_finished(
    task: PopulationTask,
    outcome: PopulationOutcome,
    run: Any,
    train: Callable[[int], None],
    n_members: int,
    n_epochs: int,
    progress: Progress,
    saver: CallSaver | None = None,
) -> None:
    """Call the kernel until every net is finished, and adapt the number of epochs to the duration of the last call.

    run : PopulationRun of the task's device
    train : function that trains the nets in training for a number of epochs
    n_members : int     number of nets to train
    n_epochs : int     epochs of the first call
    """
    n_calls, finished_before, limit = 0, progress.done, task.time_limit
    sizes = None if limit is None else CallSizes(limit, 1)
    find_best = (lambda: BestScore.of(outcome.best_value)) if task.monitor == "validation_loss" else None
    while True:
        began = time.perf_counter()
        if saver is not None:
            n_epochs = min(n_epochs, saver.most_epochs())
        n_call = n_epochs if sizes is None else min(n_epochs, sizes.next(0))
        if not n_call:
            raise OutOfTime
        train(n_call)
        if sizes is not None:
            sizes.record(n_call)
        seconds, n_calls = time.perf_counter() - began, n_calls + 1
        progress.show(finished_before + run.n_finished, float("nan"), find_best)
        if task.watch is not None:
            task.watch.look(outcome)
        if saver is not None:  # also where all nets are finished: restarts may follow, each in one call
            saver.after_call(n_call)
        if run.n_finished == n_members:
            return run.collect()
        if n_calls > 1 and seconds < CALL_SECONDS[0]:  # the first call may include compiling
            n_epochs = min(2 * n_epochs, MOST_EPOCHS)
        elif n_calls > 1 and seconds > CALL_SECONDS[1]:
            n_epochs = max(1, n_epochs // 2)
