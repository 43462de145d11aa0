"""Fit of a population on the workers of an executor: a task is a slice of nets, and its state is a part of the whole.

A net has the same bits in any task: kernels are chosen for all nets, and seeds and settings are those of the net.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..console.nets_progress import BestScore
from ..devices import HOSTS, backend, resolve
from ..errors import is_per_net
from ..execution.thresholds import NET_STEP_WORK
from ..executors.task_scheduler import Task, Tasks, check_version, version_here
from ..executors.workers import Workers
from ..initialization import Init
from ..kernels.jit.compile_time import Stopwatch, add_wait
from ..kernels.structs import LANES, RUNNING, Samples
from ..population_result.stopped_by import OUT_OF_TIME
from ..runtime.checkpoint_interval import Interval, Timer
from ..runtime.ctrl_c import StopFlag, stop_flag
from .hooks.checkpoint import Saver
from .hooks.time_limit import TimeLimit
from .optimizer_state import OptimizerState
from .outcome import Outcome, converged_nets
from .several_nets import fit_nets, shown_progress
from .state import FitState
from .task import FitTask

ARRAYS = "X", "Y", "weight"  # of Samples
ONE_FOR_ALL = (0, 0, 0)  # strides of samples that are the same for all nets
TASK_SECONDS = 2.0  # of a task; a worker that is killed loses no more
SHORTEST = 0.25  # seconds below which a task is not cut so that each worker gets one
FIRST_SECONDS = 0.5  # of the first tasks, whose time is estimated
# Multiply-adds per second and thread by which the first tasks are estimated: fewer than any net has, so that these
# tasks are short.
FIRST_RATE = 1e9
MOST_BYTES = 8_000_000  # of a task's parameters and own samples; Dask warns of tasks of more than 10 MB


class NetsTask(NamedTuple):
    """Task of a worker that trains some nets; it also reads the shared arrays."""

    nets: slice
    task: FitTask  # without the arrays that are shared
    named_device: str  # as the user named it: a worker finds its own
    shared: tuple[list[str], list[str]]  # names of the shared arrays of training and held-out samples
    draws: tuple[Init, np.ndarray, Any]  # of these nets, as of redraw_nets
    start: FitState | None  # of these nets, from which they go on
    keeps_state: bool  # whether the state at the end is sent back
    version: str


class NetsResult(NamedTuple):
    """Result of a NetsTask, as a worker returns it."""

    params: np.ndarray
    outcome: Outcome
    interrupted: bool
    state: FitState | None
    optimizer_states: list[OptimizerState]
    seconds: float  # without compiling
    compile_seconds: float


class TaskSizes:
    """Sizes of the tasks of one fit, by the time that finished tasks have taken.

    task : FitTask     of all nets
    epochs : largest number of epochs per net
    net_bytes : bytes that a task has for each net
    """

    def __init__(self, task: FitTask, epochs: int, net_bytes: int):
        samples = epochs * task.rows.n_samples
        work = epochs * task.work + samples * NET_STEP_WORK
        self.net_seconds = work / FIRST_RATE  # of a net on a task's threads
        self._seconds = FIRST_SECONDS
        self._step = LANES if task.whole.family == "population_simd" else 1  # lanes are filled
        self._most = max(1, MOST_BYTES // max(1, net_bytes))

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


def shared_names(samples: Samples | None, strides: tuple[int, ...]) -> list[str]:
    """Return the names of the arrays that are the same for all nets; strides : from net to net"""
    pairs = zip(ARRAYS, strides, strict=True)
    return [name for name, stride in pairs if samples is not None and not stride and getattr(samples, name).size]


def part_of_samples(samples: Samples, strides: tuple[int, ...], nets: slice) -> Samples:
    """Return the samples of some nets, without the arrays that all nets share."""
    arrays = {name: getattr(samples, name) for name in ARRAYS}
    pairs = zip(arrays.items(), strides, strict=True)
    return samples._replace(**{name: a[nets.start * stride : nets.stop * stride] for (name, a), stride in pairs})


def with_shared(samples: Samples, names: list[str], arrays: list[np.ndarray]) -> Samples:
    """Return samples with the shared arrays, which are taken from the front of `arrays`; this runs on the worker."""
    taken: dict[str, Any] = {name: arrays.pop(0).reshape(-1) for name in names}
    return samples._replace(**taken)


class WorkersFit:
    """Fit of a population on the workers of an executor.

    task : FitTask     its params are written net by net
    named_device : name that the user gave
    draws : tuple     initialiser, seeds and scale, as of redraw_nets, by which nets are restarted
    flag : ends the fit once it is set, as an interrupted worker does
    saver : Saver or None     gets the states of finished tasks; its file may have nets that go on, or have ended
    """

    def __init__(
        self,
        workers: Workers,
        task: FitTask,
        named_device: str,
        draws: tuple[Init, np.ndarray, Any],
        flag: StopFlag,
        saver: Saver | None = None,
    ):
        self.workers, self.task, self.draws, self._named_device, self._saver = workers, task, draws, named_device, saver
        self._limit = task.time_limit
        self.outcome = Outcome.empty(task)
        rows, held_out = task.rows.sent, task.held_out
        self._shared = shared_names(rows, task.rows.strides), shared_names(held_out, ONE_FOR_ALL)
        net_bytes = task.params[0].nbytes * (1 + task.optimizer.rule.n_state * bool(task.optimizer_states))
        net_bytes += sum(getattr(rows, name).itemsize * n for name, n in zip(ARRAYS, task.rows.strides, strict=True))
        self._sizes = TaskSizes(task, task.epochs, net_bytes)
        self._state: FitState | None = None  # of all nets, where there is a saver
        self._compiled, self._flag = 0.0, StopFlag(flag)
        if saver is not None:
            self._state = state = saver.start or FitState(task.params.copy(), self.outcome, 0)
            task.params[:], self.outcome = state.params, state.outcome.copy()
            state.give_optimizer_states(task)
        self._waiting = np.flatnonzero(self.outcome.status == RUNNING)  # nets of the next tasks

    def run(self) -> tuple[Outcome, str, BaseException | None]:
        """Train all nets, and return what has become of them, with the error that has ended the fit.

        Nets of finished tasks are written whatever happens; the others keep their parameters.
        """
        error: BaseException | None = None
        reason = ""
        with shown_progress(self.task, self.outcome) as progress:
            self._progress = progress
            progress.done = self.task.n_nets - len(self._waiting)
            subsets = zip((self.task.rows.sent, self.task.held_out), self._shared, strict=True)
            arrays = [getattr(samples, name) for samples, names in subsets for name in names]
            # With a limit, no task waits for another one: it has the time that is left when it is submitted.
            per_slot = 0 if self._limit is None else 1
            try:
                tasks = Tasks(self.workers, train_nets, arrays, self._cut, self._take, self._flag, per_slot)
                tasks.run(self.task.verbose)
            except KeyboardInterrupt:
                reason = "interrupt"
            except Exception as task_error:
                reason, error = "interrupt", task_error
        add_wait(self._compiled)
        if self._saver is not None and (error is None or bool(np.any(self.outcome.status != RUNNING))):
            self._write()
        if self._limit is not None and not reason and (self.outcome.status == RUNNING).any():
            self.outcome.status[self.outcome.status == RUNNING] = OUT_OF_TIME
        return self.outcome, reason, error

    def _cut(self, n_slots: int) -> Task | None:
        if not self._waiting.size or (self._limit is not None and self._limit.left() <= 0.0):
            return None
        numbers = self._waiting[: self._sizes.next(len(self._waiting), n_slots)]
        n = int(np.count_nonzero(numbers == numbers[0] + np.arange(len(numbers))))  # nets without a gap between them
        self._waiting = self._waiting[n:]
        nets = slice(int(numbers[0]), int(numbers[0]) + n)
        start = None if self._saver is None or self._saver.start is None else self._saver.start.part(nets)
        init, seeds, scale = self.draws
        rows, held_out = self.task.rows, self.task.held_out
        part = rows.with_data(part_of_samples(rows.sent, rows.strides, nets))
        argument = NetsTask(
            nets,
            self.task.part(nets, part, None if held_out is None else part_of_samples(held_out, ONE_FOR_ALL, nets)),
            self._named_device,
            self._shared,
            (init, seeds[nets], scale[nets] if is_per_net(scale) else scale),
            start,
            self._saver is not None,
            version_here(),
        )
        return Task(argument, f"net {nets.start}" if n == 1 else f"nets {nets.start} to {nets.stop - 1}")

    def _take(self, task: Task, result: NetsResult) -> None:
        nets = task.argument.nets
        self.task.params[nets], self.task.optimizer_states[nets] = result.params, result.optimizer_states
        self.outcome.put(nets, result.outcome)
        if self._state is not None and result.state is not None:
            self._state.put(nets, result.state)
        self._compiled = max(self._compiled, result.compile_seconds)
        if result.interrupted:  # Ctrl-C in a terminal reaches worker processes, too
            self._flag.set()
        else:
            self._sizes.take(nets.stop - nets.start, result.seconds)
        validates = self.task.monitored == "validation_loss"
        find_best = (lambda: BestScore.of(self.outcome.best_value)) if validates else None
        self._progress.show(self._progress.done + nets.stop - nets.start, float("nan"), find_best)
        if self.task.monitor is not None:
            self.task.monitor.look_at_nets(self.outcome)
        if self._saver is not None:
            self._saver.epochs += int(result.outcome.all_epochs.max())
            if self._saver.timer.is_due(self._saver.epochs):
                self._write()

    def _write(self) -> None:
        assert self._saver is not None
        assert self._state is not None
        self._saver.write(self._state)


def train_nets(arrays: list[np.ndarray], argument: NetsTask) -> NetsResult:
    """Train the nets of one task; this runs on the worker.

    arrays : the shared arrays
    """
    check_version(argument.version)
    watch, task, arrays = Stopwatch(), argument.task, list(arrays)
    data = with_shared(task.rows.data, argument.shared[0], arrays)
    held_out = None if task.held_out is None else with_shared(task.held_out, argument.shared[1], arrays)
    task = on_device_here(replace(task, rows=task.rows.with_data(data)), argument.named_device)
    place = backend(task.device).place
    with task.device.on():
        task = replace(
            task,
            params=task.params.copy(),  # an executor of threads gives the caller's own array
            rows=task.rows.on_worker(place),
            held_out=None if held_out is None else place(held_out),
            time_limit=None if task.time_limit is None else TimeLimit(task.time_limit.seconds, watch),
        )
    states: list[FitState] = []
    saver = (
        Saver(Timer(Interval(None, None)), lambda state, epochs: states.append(state), argument.start)
        if argument.keeps_state
        else None
    )
    initial = task.params.copy() if task.restart_after is not None else task.params
    try:
        with stop_flag() as flag:
            outcome, reason = fit_nets(task, argument.draws, flag, saver)
            if not task.device.is_host:  # the program that fits may have no GPU to evaluate nets on
                converged_nets(task, outcome)
    finally:
        task.rows.close()
    state = states[-1] if states else None
    if state is not None and task.restart_after is not None:
        state = state.of_ended_nets(initial, np.isin(outcome.status, (RUNNING, OUT_OF_TIME)))
    seconds, compiling = watch.read()
    return NetsResult(
        task.params,
        replace(outcome, kept=None),
        reason == "interrupt",
        state,
        task.optimizer_states,
        seconds - compiling,
        compiling,
    )


def on_device_here(task: FitTask, named_device: str) -> FitTask:
    """Return the task on the device that this worker finds for the name that the user gave, such as "auto"."""
    if named_device in HOSTS or task.optimizer.rule.is_second_order:
        return task
    work = task.network.layout.products * task.whole.n_nets
    device = resolve(named_device, task.epochs * task.rows.n_samples * work, task.batch_size * work)
    if device.is_host:
        return task
    return replace(task, device=device, part_of=task.whole._replace(family=task.family_on(device)))
