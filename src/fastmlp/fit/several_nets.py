"""Fit of several nets, with restarts: together in SIMD lanes or on a GPU, or one by one, as dispatch has chosen.

Both write the same Outcome.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np

from ..console.nets_progress import SeveralFits, progress_of_fit
from ..console.progress_bar import NetLines, Progress
from ..execution.dispatch import one_by_one_threads
from ..execution.plan import Plan
from ..history import History
from ..initialization import redraw_nets
from ..kernels.jit.compile_time import notices
from ..kernels.structs import CONVERGED, NONE_SUSPENDED, RUNNING
from ..population_result.stopped_by import OUT_OF_TIME
from ..runtime.ctrl_c import StopFlag
from ..runtime.memory_limits import check_epochs, check_memory
from .fits_on_threads import run_on_threads
from .hooks.checkpoint import Saver
from .hooks.hook import Fit
from .hooks.order import hooks_of
from .hooks.time_limit import TimeLimit
from .lanes import Lanes
from .loop import fit_net, run_calls
from .one_net import OneNet
from .outcome import KeptNets, Outcome
from .rows import InMemory
from .state import FitState
from .task import ONE_BY_ONE, FitTask, epochs_of_attempt


def shown_progress(task: FitTask, outcome: Outcome) -> Progress:
    """Return the display of finished nets: a progress bar or, with verbose=2, lines with statistics of these nets.

    The bar is that of a whole, such as a search, if the population is trained as a part of one.
    """

    def figures() -> str:
        converged, done = outcome.status == CONVERGED, (outcome.status != RUNNING) & np.isfinite(outcome.loss)
        median = f"  median loss {np.median(outcome.loss[done]):.4g}" if done.any() else ""
        return f"converged {np.count_nonzero(converged):,}{median}" if task.converged is not None else median.lstrip()

    if task.verbose == 2:
        return NetLines(task.n_nets, figures)
    return progress_of_fit(task.n_nets, task.verbose, "net")


def fit_nets(
    task: FitTask, draws: tuple[Any, np.ndarray, Any], flag: StopFlag, saver: Saver | None = None
) -> tuple[Outcome, str]:
    """Train all nets of a task, with restarts.

    Return (outcome, why the fit ended before all nets had: "interrupt", "time_limit", or "").

    draws : tuple     what nets are restarted from, as of redraw_nets
    flag : ends the fit once it is set
    saver : takes the state of the fit whenever one is due, and has the state to start from
    """
    outcome, first = Outcome.empty(task), 0
    train = _train_one_by_one if task.whole.family == ONE_BY_ONE else _train_in_lanes
    length = epochs_of_attempt(task.epochs, task.restart_after, 0)
    n_attempts = -(-task.epochs // length)
    if saver is not None:
        _check_memory_of_states(task, 1 if train is _train_one_by_one else 2)  # 2: there is a copy while it is written
        if train is _train_in_lanes:
            n_params, n_state = task.params.shape[1], task.optimizer.rule.n_state
            outcome.kept = KeptNets.empty(task.n_nets, n_state, n_params, task.dtype)
        if saver.start is not None:
            first, outcome = saver.start.attempt, _start_from(saver.start, task, outcome.kept)
    restarts = outcome.restarts
    reason, attempt, shown = "", first, shown_progress(task, outcome) if task.verbose else nullcontext()
    try:
        with shown as progress:
            for attempt in range(first, n_attempts):
                if attempt > first:
                    members = np.flatnonzero((restarts == attempt - 1) & (outcome.status != CONVERGED))
                    if not len(members) and (restarts >= attempt).any():  # nets of finished tasks are ahead
                        continue
                    if not len(members):
                        break
                    outcome.spent[members] += outcome.epochs[members]
                    outcome.forget(members)
                    restarts[members] += 1
                    redraw_nets(task.params, task.network, draws, members, attempt)
                    for net in members if task.optimizer_states else ():
                        task.optimizer_states[net].reset()
                if saver is not None:
                    saver.begin(task, outcome, attempt)
                running = np.flatnonzero((restarts == attempt) & (outcome.status == RUNNING))
                if progress is not None:
                    progress.done = task.n_nets - len(running)
                if attempt:
                    length = epochs_of_attempt(task.epochs, task.restart_after, attempt)
                reason = train(task, outcome, running, length, progress, flag, saver)
                if reason or task.restart_after is None:
                    break
    except BaseException:
        if saver is not None and train is _train_one_by_one:  # the states of the nets before the one that failed
            saver.save_if_new()
        raise
    if saver is not None and train is _train_one_by_one:
        saver.save_if_new()
    elif saver is not None and not reason:  # otherwise the hook has saved the states
        saver.save()
    if reason:
        if attempt < n_attempts - 1:  # nets that failed in this attempt would have been restarted: they are unfinished
            outcome.status[(restarts == attempt) & (outcome.status != CONVERGED)] = RUNNING
        if reason == "time_limit":
            outcome.status[outcome.status == RUNNING] = OUT_OF_TIME
    return outcome, reason


def _check_memory_of_states(task: FitTask, n_copies: int) -> None:
    """Raise ValueError if memory does not hold the states that a fit with checkpoints keeps of nets that have ended."""
    n_bytes = n_copies * (2 + task.optimizer.rule.n_state) * task.params.nbytes
    check_memory(
        n_bytes, f"The states of {task.n_nets:,} nets, for checkpoints,", "Make fewer nets, or leave checkpoint out."
    )


def _start_from(start: FitState, task: FitTask, kept: KeptNets | None) -> Outcome:
    """Give a state to a task, and return the outcome, with the nets that have been kept."""
    task.params[:] = start.params
    outcome = start.outcome.copy()
    outcome.kept = kept
    if kept is not None and len(start.ended.net_index):
        kept.take(start.ended)
    start.give_optimizer_states(task)
    return outcome


# ---- together


def _train_in_lanes(
    task: FitTask,
    outcome: Outcome,
    members: np.ndarray,
    n_epochs: int,
    progress: Progress | None,
    flag: StopFlag,
    saver: Saver | None,
) -> str:
    """Train nets together: those that a state has in the middle of their training, as many as there are lanes at a
    time, and then the others. Return why the fit ended before all of them had, or "".
    """
    waiting = NONE_SUSPENDED
    if saver is not None and saver.start is not None:
        waiting = saver.start.suspended
        saver.start.suspended = NONE_SUSPENDED
        members = np.setdiff1d(members, waiting.net_index)
    while len(members) or len(waiting.net_index):
        nets = waiting.net_index if len(waiting.net_index) else members
        with Lanes(task, outcome, nets, n_epochs, waiting) as lanes:
            reason = run_calls(lanes, hooks_of(Fit(lanes, progress, saver=saver)), flag)
            if reason and saver is not None:
                saver.save(lanes.suspended())
        if reason:
            return reason
        if not len(waiting.net_index):
            break
        waiting = waiting.part(lanes.n_members, len(waiting.net_index))
    return ""


# ---- one by one


def _train_one_by_one(
    task: FitTask,
    outcome: Outcome,
    members: np.ndarray,
    n_epochs: int,
    progress: Progress | None,
    flag: StopFlag,
    saver: Saver | None,
) -> str:
    """Train nets one by one: as many at a time as there are threads; on a GPU, and on rows on disk, one after another.

    Return why the fit ended before all of them had, or "".
    """
    check_epochs(n_epochs, task.n_batches, 2 if task.held_out is None else 4)
    reads_blocks = not isinstance(task.rows, InMemory)
    has_threads = task.optimizer.rule.is_second_order  # those of BLAS
    alone = reads_blocks or task.callbacks or has_threads
    n_threads = 1 if alone else one_by_one_threads(task.device, len(members))
    waiting, stop, reasons = iter(members.tolist()), StopFlag(flag), []
    in_training = SeveralFits(progress)
    limit = task.time_limit
    seconds_left = None if limit is None else limit.seconds - limit.elapsed()

    def work() -> None:
        # a thread alone knows how long it has waited for kernels
        task_here = task if seconds_left is None else replace(task, time_limit=TimeLimit(seconds_left))
        shared = outcome, n_epochs, None if reads_blocks else 1, stop, saver, in_training
        with task.device.on(), notices(task.verbose > 0):
            for net in waiting:  # the threads share a list iterator, which gives each net to one thread
                if reason := "interrupt" if stop.is_set() else _train_by_itself(task_here, net, *shared):
                    reasons.append(reason)
                    return

    if n_threads == 1:  # in this thread, since starting and joining another one takes a millisecond
        work()
    else:
        run_on_threads(work, n_threads, stop, in_training.update)
    return next((reason for reason in ("interrupt", "time_limit") if reason in reasons), "")


def _train_by_itself(
    task: FitTask,
    number: int,
    outcome: Outcome,
    n_epochs: int,
    n_threads: int | None,
    stop: StopFlag,
    saver: Saver | None,
    in_training: SeveralFits,
) -> str:
    """Train a net, and write its parameters to the task and its results to the outcome.

    Return why the fit ends, or "".
    """
    history, padded = History(net_number=task.first_net + number), task.network.layout.padded(task.dtype)
    params = padded[: task.network.layout.n_params]
    params[:] = task.params[number]
    net = OneNet(task, number, padded, history, n_epochs, n_threads)
    fit, plan = Fit(net, in_training.begin(number, n_epochs), saver=saver), None
    if task.held_out is not None:
        shape = task.held_out.n_samples, n_threads
        plan = Plan.for_evaluation(task.network, task.device, task.dtype, *shape, task.precision)
        fit.validation_plan = plan.with_net(plan.net._replace(margin=task.net.margin))
    try:
        hooks_of(fit)
        fit_net(fit, stop, warns=False)
    finally:
        if plan is not None:
            plan.release()
    task.params[number] = params
    outcome.record(task, number, history)
    in_training.end(number)
    if saver is not None:
        saver.end_net(number, outcome.status[number])
    return history.stopped_by if history.stopped_by in ("interrupt", "time_limit") else ""
