"""Training of a population, with restarts: nets together in SIMD lanes or on a GPU, or one by one (one_by_one.py).

Both write the same PopulationOutcome (task.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np

from ..console.progress_bar import NetLines, Progress
from ..devices import backend
from ..execution.dispatch import GpuNetsFit, choose_gpu_nets_variant, choose_nets_variant, lane_threads, pays_to_compile
from ..execution.plan import PopulationPlan
from ..execution.work import products
from ..kernels.formulas.update_rules import CODES
from ..kernels.jit import interrupts
from ..kernels.structs import (
    CONVERGED,
    FULL_ACCURACY,
    MAX_RECORDS,
    MONITOR_ACCURACY,
    MONITOR_LOSS,
    MONITOR_NONE,
    MONITOR_VALIDATION_ACCURACY,
    MONITOR_VALIDATION_LOSS,
    RUNNING,
    StopCriteria,
    SuspendedNets,
    TrainConfig,
)
from ..memory_check import check_memory
from ..population_result.stopped_by import OUT_OF_TIME
from ..schedules.checked_factors import factors_at, is_constant
from ..training.time_limit import CallSizes, OutOfTime
from .fit_state import OUTCOME, PopulationFitState
from .kept_nets import KeptNets
from .one_by_one import train_one_by_one
from .saving import PopulationSaver
from .shared_weights import train_shared_weights
from .state import training_state
from .task import PopulationOutcome, PopulationTask, epochs_of_attempt

MONITORS = {
    None: MONITOR_NONE,
    "loss": MONITOR_LOSS,
    "accuracy": MONITOR_ACCURACY,
    "validation_loss": MONITOR_VALIDATION_LOSS,
    "validation_accuracy": MONITOR_VALIDATION_ACCURACY,
}
TRAIN = {"one_by_one": train_one_by_one, "shared_weights": train_shared_weights}  # other families train nets together
MOST_EPOCHS = 2**40  # per kernel call; on a CPU, epochs of a call count across nets that follow each other in a lane
CALL_SECONDS = (0.1, 0.3)  # range of a call's duration: a call cannot be interrupted and shows no progress
MAX_RECORDED_LOSSES = 16_000_000  # largest number of recorded losses, over all nets
FIRST_CALL = 2e8  # multiply-adds of the first call on a CPU, over all lanes of a block
FULL_DEVICE = 10_000  # nets up to which an epoch takes a GPU as long as for one net
# Multiply-adds of the first call on a GPU, over all nets: milliseconds on a large GPU, 0.1 seconds on a small one.
FIRST_CALL_OF_DEVICE = 1e10


def train_together(
    task: PopulationTask,
    outcome: PopulationOutcome,
    members: np.ndarray,
    n_epochs: int,
    progress: Progress,
    saver: PopulationSaver | None = None,
) -> None:
    """Train nets together: those that a state has in the middle of their training, as many as there are lanes at a
    time, and then the others. Parameters are those of `train_members`.
    """
    waiting = SuspendedNets.none()
    if saver is not None and saver.start is not None:
        waiting, saver.start = saver.start.suspended, None
        members = np.setdiff1d(members, waiting.net_index)
    while n := len(waiting.net_index):
        n = train_members(task, outcome, waiting.net_index, n_epochs, progress, saver, waiting)
        waiting = waiting.part(n, len(waiting.net_index))
    if len(members):
        train_members(task, outcome, members, n_epochs, progress, saver, SuspendedNets.none())


def train_members(
    task: PopulationTask,
    outcome: PopulationOutcome,
    members: np.ndarray,
    n_epochs: int,
    progress: Progress,
    saver: PopulationSaver | None,
    suspended: SuspendedNets,
) -> int:
    """Train nets together, each in a SIMD lane, or on a GPU.

    task : PopulationTask     its params are trained in place
    outcome : PopulationOutcome     written. outcome.best_value has the lowest monitored value, since kernels minimise:
        of an accuracy, the negative
    members : (n_members,)     numbers of the nets to train
    n_epochs : int     largest number of epochs per net
    saver : PopulationSaver or None     takes the state of the nets between two calls
    suspended : SuspendedNets     the members in the middle of their training, of which the first are trained; or none

    After a KeyboardInterrupt or OutOfTime every net has the parameters reached so far or, with early stopping, those of
    its best epoch.

    Returns
    -------
    Number of nets that have been trained.
    """
    net, criteria = task.net, stop_criteria(task, n_epochs)
    config = train_config(task, criteria)
    held_out = task.data if task.held_out is None else task.held_out
    plan = training_plan(task, len(members), n_epochs)
    with plan.begin(net) as (team, run):
        if len(suspended.net_index):
            members = members[: run.most_resumed]
        nets, waiting = (
            training_state(task, outcome, members, n_epochs),
            suspended.part(len(members), len(suspended.net_index)),
        )
        if len(suspended.net_index):
            run.resume(nets, suspended.part(0, len(members)))
        train = lambda n: plan.backend.train_nets(team, net, task.data, config, criteria, nets, held_out, run, n)
        save = (
            None if saver is None else CallSaver(saver, lambda: run.suspended(nets, task.monitor is not None), waiting)
        )
        call_epochs = first_call_epochs(task, plan.variant.lanes, len(members))
        try:
            call_until_finished(task, outcome, run, train, nets.n_members, call_epochs, progress, save)
        except (KeyboardInterrupt, OutOfTime) as end:
            with interrupts.deferred():  # a second Ctrl-C must not interrupt this
                # Ctrl-C may come when a call on a device is half done.
                if save is not None and (task.device.is_host or isinstance(end, OutOfTime)):
                    save.save()
                _record_unfinished(task, outcome, run)
                run.collect()
            raise
        finally:
            run.collect()
    return len(members)


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


def train_config(task: PopulationTask, criteria: StopCriteria) -> TrainConfig:
    """Return batches, update rule and learning-rate factors of a fit; settings are per net, in PopulationState."""
    n_steps = criteria.n_epochs * task.n_batches
    if criteria.scheduled:
        check_memory(
            16 * n_steps, f"The learning rates of {n_steps:,} steps", "Train fewer epochs, or leave schedule out."
        )
    layer_factors = task.optimizer.factors_of_layers(task.network.layout.shapes)
    decay_factors = task.optimizer.decay_factors
    if decay_factors is not None and not layer_factors.size:  # kernels apply them with those of layers
        layer_factors = np.ones(4 * task.network.layout.n_layers)
    return TrainConfig(
        batch_size=task.batch_size,
        shuffle=task.shuffle,
        seed=0,
        rule=CODES[task.optimizer.rule.name],
        hyper=np.zeros(1),
        factors=factors_at(task.factors, 0, n_steps, n_steps) if criteria.scheduled else np.ones(1),
        layered=layer_factors.size > 0,
        layer_factors=layer_factors,
        decays=decay_factors is not None,
        decay_factors=np.empty(0) if decay_factors is None else factors_at(decay_factors, 0, n_steps, n_steps),
    )


def stop_criteria(task: PopulationTask, n_epochs: int) -> StopCriteria:
    """Return the criteria by which a net is finished."""
    rule, stopping = task.converged, task.early_stopping
    stop_loss = -np.inf if rule is None or rule.loss is None else float(rule.loss)
    n_correct = np.inf
    if rule is not None and rule.accuracy is not None:
        n_correct = float(rule.accuracy * task.data.n_samples * FULL_ACCURACY)
    return StopCriteria(
        n_epochs=n_epochs,
        # Only then is there a factor per step, which takes memory.
        scheduled=not is_constant(task.factors) or task.optimizer.decay_factors is not None,
        stop_loss=stop_loss,
        stop_n_correct=n_correct,
        monitor=MONITORS[task.monitor],
        patience=stopping.patience if stopping else 0,
        min_delta=float(stopping.min_delta) if stopping else 0.0,
    )


def training_plan(task: PopulationTask, n_members: int, n_epochs: int) -> PopulationPlan:
    """Return the plan by which n_members nets of the task are trained together."""
    network, n_samples, limit = task.network, task.data.n_samples, task.time_limit
    samples = n_epochs * n_samples if pays_to_compile(None if limit is None else limit.seconds) else 0
    n_threads = 1  # a GPU's own threads are not counted
    if task.device.is_host:
        variant = choose_nets_variant(network, task.device, n_members, task.validates, samples)
        n_threads = lane_threads(network, n_members, variant.lanes, n_epochs * n_samples)
    else:
        variant = choose_gpu_nets_variant(network, task.whole.n_nets, gpu_fit(task))
    return PopulationPlan(
        network=network,
        device=task.device,
        backend=backend(task.device),
        dtype=task.dtype,
        family=task.family,
        n_threads=n_threads,
        variant=variant,
        rows=task.batch_size,
        n_samples=n_samples,
        metric=task.data.metric,
        rule=task.optimizer.rule,
        shuffle=task.shuffle,
        precision=task.precision,
    )


def gpu_fit(task: PopulationTask) -> GpuNetsFit:
    """Return what the choice of a GPU's kernel depends on; it is the same for all parts of a population."""
    n_state = task.optimizer.rule.n_state
    return GpuNetsFit(task.dtype.itemsize, n_state, task.data.n_samples, task.batch_size)


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
        progress.show(finished_before + run.n_finished, float("nan"))
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


def _record_unfinished(task: PopulationTask, outcome: PopulationOutcome, run: Any) -> None:
    """Store parameters and records of the nets in training; with early stopping, parameters of their best epochs."""
    for reached in run.unfinished(task.monitor is not None):
        net = reached.net_index
        task.params[net], outcome.status[net] = reached.params, reached.status
        outcome.epochs[net], outcome.loss[net] = reached.epochs, reached.loss
        outcome.accuracy[net] = reached.n_correct / task.data.n_samples
        if reached.best_epoch:
            outcome.best_epochs[net], outcome.best_value[net] = reached.best_epoch, reached.best_value


@lru_cache(maxsize=64)
def recorded_epochs(length: int, n_records: int) -> np.ndarray:
    """Return up to n_records epochs from 1 to length, evenly spaced on a logarithmic scale."""
    return np.unique(np.geomspace(1, length, n_records).round().astype(np.int64))


def joined_records(before: np.ndarray, now: np.ndarray, n_done: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which recorded epochs of a fit to keep, and the epochs to record if it goes on, perhaps to more epochs.

    Losses of epochs that are done cannot be recorded any more, so that up to there the epochs are those of the fit as
    it was begun, or some of them: of both fits, no more than of the one that has more.

    before, now : int64     epochs that are recorded by the fit as it was begun, and by one of the present length
    n_done : int     epochs that are done
    """
    kept, later = np.flatnonzero(before <= n_done), now[now > n_done]
    room = max(len(before), len(now)) - len(later)
    if len(kept) > room:
        kept = kept[np.linspace(0, len(kept) - 1, room).round().astype(np.int64)]
    return kept, np.concatenate([before[kept], later])


def shown_progress(task: PopulationTask, outcome: PopulationOutcome) -> Progress:
    """Return the display of finished nets: a progress bar or, with verbose=2, lines with statistics of these nets."""

    def figures() -> str:
        converged, done = outcome.status == CONVERGED, (outcome.status != RUNNING) & np.isfinite(outcome.loss)
        median = f"  median loss {np.median(outcome.loss[done]):.4g}" if done.any() else ""
        return f"converged {np.count_nonzero(converged):,}{median}" if task.converged is not None else median.lstrip()

    if task.shares_weights:  # whose fit shows its epochs
        return Progress(task.n_nets, 0, "net")
    return NetLines(task.n_nets, figures) if task.verbose == 2 else Progress(task.n_nets, task.verbose, "net")


def empty_outcome(task: PopulationTask, epochs: int, restart_after: int | None) -> PopulationOutcome:
    """Return the outcome of a fit that has not begun; arguments as of run."""
    length = min(epochs, restart_after or epochs)
    n_records = max(1, min(MAX_RECORDS, MAX_RECORDED_LOSSES // task.whole.n_nets, length // 8))
    return PopulationOutcome.empty(task, recorded_epochs(length, n_records).copy())


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
                if attempt > first:
                    with interrupts.deferred():  # counts, outcome and parameters of a restart belong together
                        spent[members] += outcome.epochs[members]
                        outcome.forget(members)
                        restarts[members] += 1
                        redraw(members, attempt)
                running = members[outcome.status[members] == RUNNING]
                progress.done = task.n_nets - len(running)
                if saver is not None:
                    saver.begin(task, outcome, restarts, spent, attempt)
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
    if train is train_together and task.monitor is not None and task.monitor.endswith("accuracy"):
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
