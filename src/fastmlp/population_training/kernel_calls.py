"""Kernel calls that train a population's nets together, some epochs each: how many the next call has."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..console.nets_progress import BestScore, PartProgress
from ..console.progress_bar import Progress
from ..execution.work import products
from ..training.time_limit import CallSizes, OutOfTime
from .checkpoint_saver import CallSaver
from .task_and_outcome import PopulationOutcome, PopulationTask

MOST_EPOCHS = 2**40  # per kernel call; on a CPU, epochs of a call count across nets that follow each other in a lane
CALL_SECONDS = (0.1, 0.3)  # range of a call's duration: a call cannot be interrupted and shows no progress
FIRST_CALL = 2e8  # multiply-adds of the first call on a CPU, over all lanes of a block
FULL_DEVICE = 10_000  # nets up to which an epoch takes a GPU as long as for one net
# Multiply-adds of the first call on a GPU, over all nets: milliseconds on a large GPU, 0.1 seconds on a small one.
FIRST_CALL_OF_DEVICE = 1e10


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
    most_epochs: int,
    n_epochs: int,
    progress: Progress | PartProgress,
    saver: CallSaver | None = None,
) -> None:
    """Call the kernel until every net is finished, and adapt the number of epochs to the duration of the last call.

    run : PopulationRun of the task's device
    train : function that trains the nets in training for a number of epochs
    n_members : int     number of nets to train
    most_epochs : int     largest number of epochs of each
    n_epochs : int     epochs of the first call
    """
    n_calls, finished_before, limit, share = 0, progress.done, task.time_limit, 0.0
    # Whether each net in training has had the epochs of all calls; the windows of a GPU follow each other.
    all_at_once = task.device.is_host and n_members <= run.most_resumed
    sizes = None if limit is None else CallSizes(limit, 1)
    find_best = (lambda: BestScore.of(outcome.best_value)) if task.monitor == "validation_loss" else None
    while True:
        began = time.perf_counter()
        if saver is not None:
            n_epochs = saver.most_epochs(n_epochs)
        n_call = n_epochs if sizes is None else min(n_epochs, sizes.next(0))
        if not n_call:
            raise OutOfTime
        train(n_call)
        if sizes is not None:
            sizes.record(n_call)
        seconds, n_calls = time.perf_counter() - began, n_calls + 1
        share = min(1.0, share + n_call / most_epochs) if all_at_once else 0.0
        progress.show(finished_before + run.n_finished + share * (n_members - run.n_finished), float("nan"), find_best)
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
