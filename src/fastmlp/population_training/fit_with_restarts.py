"""Training of a population, with restarts: nets together in SIMD lanes or on a GPU (together_fit.py), or one by one
(one_by_one_fit.py).

Both write the same PopulationOutcome (task_and_outcome.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from ..console.nets_progress import PartProgress, part_of_whole
from ..console.progress_bar import NetLines, Progress
from ..kernels.structs import CONVERGED, MAX_RECORDS, RUNNING
from ..kernels.system import interrupts
from ..population_result.stopped_by import OUT_OF_TIME
from ..runtime.memory_check import check_memory
from ..training.time_limit import OutOfTime
from .checkpoint_saver import PopulationSaver
from .fit_state import OUTCOME, PopulationFitState
from .kept_nets import KeptNets
from .one_by_one_fit import train_one_by_one
from .task_and_outcome import PopulationOutcome, PopulationTask, epochs_of_attempt
from .together_fit import train_together

TRAIN = {"one_by_one": train_one_by_one}  # other families train nets together
MAX_RECORDED_LOSSES = 16_000_000  # largest number of recorded losses, over all nets


@lru_cache(maxsize=64)
def recorded_epochs(length: int, n_nets: int) -> np.ndarray:
    """Return the epochs of a fit, from 1 to length, whose losses are recorded, evenly spaced on a logarithmic scale.

    The first and the last are among them.
    """
    n_records = max(2, min(MAX_RECORDS, MAX_RECORDED_LOSSES // n_nets, length // 8))
    return np.unique(np.geomspace(1, length, n_records).round().astype(np.int64))


def joined_records(before: np.ndarray, now: np.ndarray, n_done: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which recorded epochs of a fit to keep, and the epochs to record if it goes on, perhaps to more epochs.

    Losses of epochs that are done cannot be recorded any more, so up to n_done the epochs are those of the fit as it
    was begun. If there were then more records than in the longer of both lists, some of these are left out.

    before, now : int64     epochs that are recorded by the fit as it was begun, and by one of the present length
    n_done : int     epochs that are done
    """
    kept, later = np.flatnonzero(before <= n_done), now[now > n_done]
    room = max(len(before), len(now)) - len(later)
    if len(kept) > room:
        kept = kept[np.linspace(0, len(kept) - 1, room).round().astype(np.int64)]
    return kept, np.concatenate([before[kept], later])


def shown_progress(task: PopulationTask, outcome: PopulationOutcome) -> Progress | PartProgress:
    """Return the display of finished nets: a progress bar or, with verbose=2, lines with statistics of these nets.

    The bar is that of a whole, such as a search, if the population is trained as a part of one.
    """

    def figures() -> str:
        converged, done = outcome.status == CONVERGED, (outcome.status != RUNNING) & np.isfinite(outcome.loss)
        median = f"  median loss {np.median(outcome.loss[done]):.4g}" if done.any() else ""
        return f"converged {np.count_nonzero(converged):,}{median}" if task.converged is not None else median.lstrip()

    if task.verbose == 2:
        return NetLines(task.n_nets, figures)
    return part_of_whole(task.n_nets, task.verbose) or Progress(task.n_nets, task.verbose, "net")


def empty_outcome(task: PopulationTask, epochs: int, restart_after: int | None) -> PopulationOutcome:
    """Return the outcome of a fit that has not begun; arguments as of run."""
    length = min(epochs, restart_after or epochs)
    return PopulationOutcome.empty(task, recorded_epochs(length, task.whole.n_nets).copy())


def negates_best_value(task: PopulationTask) -> bool:
    """Whether outcome.best_value is minus the best accuracy while a fit runs, and in its checkpoints."""
    is_accuracy = task.monitor is not None and task.monitor.endswith("accuracy")
    return is_accuracy and task.family not in TRAIN


def run(
    task: PopulationTask,
    epochs: int,
    restart_after: int | None,
    redraw: Callable[[np.ndarray, int], None],
    saver: PopulationSaver | None = None,
) -> tuple[PopulationOutcome, np.ndarray, bool]:
    """Train all nets of a population, with restarts, and return (outcome, restarts per net, whether interrupted).

    task : PopulationTask
    epochs : int     largest number of epochs per net, restarts included
    restart_after : int or None     epochs after which a net that has not converged is restarted
    redraw : function (members, attempt) that draws new initial parameters for these nets
    saver : PopulationSaver or None     takes the state of the fit whenever one is due, and has the state to start from
    """
    train = TRAIN.get(task.family, train_together)
    length = min(epochs, restart_after or epochs)
    n_attempts = -(-epochs // length)
    outcome = empty_outcome(task, epochs, restart_after)
    restarts, first = np.zeros(task.n_nets, np.int64), 0
    spent = np.zeros_like(restarts) if restart_after is not None else restarts[:0]  # epochs of earlier attempts
    if saver is not None:
        _check_memory_of_states(task, 2 if train is train_together else 1)  # 2: there is a copy while they are written
    if saver is not None and train is train_together:
        n_params, n_state = task.params.shape[1], task.optimizer.rule.n_state
        outcome.kept = KeptNets.empty(task.n_nets, n_state, n_params, task.dtype)
    if saver is not None and saver.start is not None:
        saver.start.extend(epochs_of_attempt(epochs, restart_after, saver.start.attempt))
        first, restarts, spent = _start_from(saver.start, task, outcome)
    members, attempt, interrupted = np.flatnonzero(restarts == first), first, False
    try:
        with shown_progress(task, outcome) as progress:
            for attempt in range(first, n_attempts):
                with interrupts.deferred():  # counts, outcome, parameters and saved state of a restart belong together
                    if attempt > first:
                        spent[members] += outcome.epochs[members]
                        outcome.forget(members)
                        restarts[members] += 1
                        redraw(members, attempt)
                    if saver is not None:
                        saver.begin(task, outcome, restarts, spent, attempt)
                running = members[outcome.status[members] == RUNNING]
                progress.done = task.n_nets - len(running)
                train(task, outcome, running, epochs_of_attempt(epochs, restart_after, attempt), progress, saver)
                if restart_after is None:
                    break
                members = members[outcome.status[members] != CONVERGED]
                if not len(members):
                    break
            if saver is not None:
                saver.save()
    except (KeyboardInterrupt, OutOfTime) as end:
        interrupted = isinstance(end, KeyboardInterrupt)
        if saver is not None and train is train_one_by_one:
            with interrupts.deferred():
                saver.save_slots()
        if attempt < n_attempts - 1:  # nets that failed in this attempt would have been restarted: they are unfinished
            outcome.status[members[outcome.status[members] != CONVERGED]] = RUNNING
        if not interrupted:
            outcome.status[outcome.status == RUNNING] = OUT_OF_TIME
    if restart_after is not None:
        outcome.epochs += spent
    if negates_best_value(task):
        outcome.best_value *= -1.0
    return outcome, restarts, interrupted


def _check_memory_of_states(task: PopulationTask, n_copies: int) -> None:
    """Raise ValueError if memory does not hold the states that a fit with checkpoints keeps of nets that have ended."""
    n_bytes = n_copies * (2 + task.optimizer.rule.n_state) * task.params.nbytes
    check_memory(
        n_bytes, f"The states of {task.n_nets:,} nets, for checkpoints,", "Make fewer nets, or leave checkpoint out."
    )


def _start_from(
    start: PopulationFitState, task: PopulationTask, outcome: PopulationOutcome
) -> tuple[int, np.ndarray, np.ndarray]:
    """Write a state to task and outcome; return (attempt, restarts, epochs of earlier attempts)."""
    task.params[:] = start.params
    kept, outcome.record_epochs = joined_records(
        start.outcome["record_epochs"], outcome.record_epochs, start.n_epochs(task.n_batches)
    )
    outcome.records = np.full((len(outcome.record_epochs), task.n_nets), np.nan, task.dtype)
    outcome.records[: len(kept)] = start.outcome["records"][kept]
    for name in OUTCOME:
        if name not in ("record_epochs", "records"):
            getattr(outcome, name)[:] = start.outcome[name]
    if outcome.kept is not None and len(start.ended.net_index):
        outcome.kept.take(start.ended)
    return start.attempt, start.restarts.copy(), start.spent.copy()
