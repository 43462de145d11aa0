"""Fit of a population on the workers of an executor: nets are cut into tasks, and results are put together.

A net has the same bits in any task: kernels are chosen for all nets, and seeds and settings are those of the net.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ..console.nets_progress import BestScore
from ..console.stopwatch import Stopwatch
from ..devices import backend
from ..errors import is_per_net
from ..executors.gpu_of_worker import device_here
from ..executors.task_errors import check_version, version_here
from ..executors.task_scheduler import Task, Tasks
from ..executors.workers import Workers
from ..initialization import Init, draw_params
from ..kernels.jit.compile_time import add_wait
from ..kernels.structs import RUNNING
from ..kernels.system import interrupts
from ..network.spec import Network
from .checkpoint_saver import PopulationSaver
from .executor_checkpoints import EndedNetsSaver
from .fit_state import OUTCOME
from .fit_with_restarts import empty_outcome, run, shown_progress
from .nets_evaluation import converged_nets
from .nets_per_task import TaskSizes
from .shared_samples import Shared, SharedSamples, filled
from .task_and_outcome import PopulationOutcome, PopulationTask


@dataclass(frozen=True)
class Draws:
    """Initialiser, seeds and scale of initial parameters, for nets that are restarted on a worker."""

    network: Network
    init: Init
    seeds: np.ndarray  # int64 (n_nets,)
    scale: Any  # number or (n_nets,)

    def part(self, nets: slice) -> Draws:
        return replace(self, seeds=self.seeds[nets], scale=self.scale[nets] if is_per_net(self.scale) else self.scale)

    def into(self, params: np.ndarray) -> Callable[[np.ndarray, int], None]:
        """Return redraw(members, draw), as fit_with_restarts.run takes it: it writes new parameters to `params`."""

        def redraw(members: np.ndarray, draw: int) -> None:
            scale = self.scale[members] if is_per_net(self.scale) else self.scale
            params[members] = draw_params(self.network, self.init, self.seeds[members], scale, draw)

        return redraw


class NetsTask(NamedTuple):
    """Task of a worker that trains some nets; it also reads the shared arrays."""

    nets: slice
    task: PopulationTask  # without the arrays that are shared
    shared: tuple[Shared, ...]  # for X, Y and weight of the training samples, then of the held-out samples
    epochs: int
    restart_after: int | None
    draws: Draws | None  # None without restarts
    version: str


class NetsResult(NamedTuple):
    """Result of a NetsTask, as a worker returns it."""

    params: np.ndarray
    outcome: dict[str, np.ndarray]  # arrays of the PopulationOutcome by name
    restarts: np.ndarray
    interrupted: bool
    seconds: float  # without compiling
    compile_seconds: float


class WorkersFit:
    """Fit of a population on the workers of an executor.

    workers : Workers
    task : PopulationTask     its params are written net by net
    epochs : int     largest number of epochs per net, restarts included
    restart_after : int or None     as for run
    draws : Draws     what restarted nets are drawn from
    saver : PopulationSaver or None     saves nets that have ended; its file may have some, which are not trained again
    """

    def __init__(
        self,
        workers: Workers,
        task: PopulationTask,
        epochs: int,
        restart_after: int | None,
        draws: Draws,
        saver: PopulationSaver | None = None,
    ):
        self.workers, self.task, self.epochs, self.restart_after = workers, task, epochs, restart_after
        self.draws = None if restart_after is None else draws
        self.outcome = empty_outcome(task, epochs, restart_after)
        self.restarts = np.zeros(task.n_nets, np.int64)
        self._samples = SharedSamples(task)
        sent, there = self._samples.net_bytes
        self._sizes = TaskSizes(task, epochs, task.params[0].nbytes + sent, task.params[0].nbytes + there)
        self._saver = None if saver is None else EndedNetsSaver(saver, task, self.outcome, self.restarts, restart_after)
        self._waiting = stretches(self.outcome.status == RUNNING)  # nets of the next tasks
        self._compiled = 0.0

    def run(self) -> tuple[PopulationOutcome, np.ndarray, bool, BaseException | None]:
        """Train all nets, and return (outcome, restarts per net, whether it was ended early, error that has ended it).

        Nets of finished tasks are written whatever happens; the others keep their parameters.
        """
        error: BaseException | None = None
        ended_early = False
        with shown_progress(self.task, self.outcome) as progress:
            self._progress = progress
            progress.done = self.task.n_nets - self._n_waiting
            try:
                shared, on_gpus = self._samples.shared, not self.task.device.is_host
                Tasks(self.workers, train_nets, shared, self._cut, self._take, on_gpus).run(self.task.verbose)
            except KeyboardInterrupt:
                ended_early = True
            except Exception as found:
                ended_early, error = True, found
        add_wait(self._compiled)
        has_begun = error is None or bool(np.any(self.outcome.status != RUNNING))  # otherwise there is nothing to keep
        if self._saver is not None and has_begun:
            with interrupts.deferred():
                self._saver.save()
        return self.outcome, self.restarts, ended_early, error

    @property
    def _n_waiting(self) -> int:
        return sum(nets.stop - nets.start for nets in self._waiting)

    def _cut(self, n_slots: int) -> Task | None:
        if not self._waiting:
            return None
        first = self._waiting.pop(0)
        n_left = first.stop - first.start + self._n_waiting
        nets = slice(first.start, min(first.stop, first.start + self._sizes.next(n_left, n_slots)))
        if nets.stop < first.stop:
            self._waiting.insert(0, slice(nets.stop, first.stop))
        task, shared = self._samples.part(nets)
        draws = None if self.draws is None else self.draws.part(nets)
        argument = NetsTask(nets, task, shared, self.epochs, self.restart_after, draws, version_here())
        n = nets.stop - nets.start
        return Task(argument, f"net {nets.start}" if n == 1 else f"nets {nets.start} to {nets.stop - 1}")

    def _take(self, task: Task, result: NetsResult) -> None:
        nets = task.argument.nets
        if result.interrupted and self._saver is not None:
            self._saver.keep(nets)
        self.task.params[nets] = result.params
        for name in OUTCOME:
            array = getattr(self.outcome, name)
            if name == "records":
                array[:, nets] = result.outcome[name]
            elif name != "record_epochs" and array.size:
                array[nets] = result.outcome[name]
        self.restarts[nets] = result.restarts
        self._compiled = max(self._compiled, result.compile_seconds)
        if result.interrupted:  # Ctrl-C in a terminal reaches worker processes, too
            self.workers.stop.set()
        else:
            self._sizes.take(nets.stop - nets.start, result.seconds)
        find_best = (lambda: BestScore.of(self.outcome.best_value)) if self.task.monitor == "validation_loss" else None
        self._progress.show(self._progress.done + nets.stop - nets.start, float("nan"), find_best)
        if self.task.watch is not None:
            self.task.watch.look(self.outcome)
        if self._saver is not None and self._saver.is_due:
            self._saver.save()


def stretches(are_in: np.ndarray) -> list[slice]:
    """Return a slice for each run of consecutive nets that are True in a mask (n_nets,).

    >>> stretches(np.array([True, True, False, True]))
    [slice(0, 2, None), slice(3, 4, None)]
    """
    ends = np.flatnonzero(np.diff(are_in, prepend=False, append=False)).tolist()
    return [slice(*pair) for pair in zip(ends[::2], ends[1::2], strict=True)]


def train_nets(arrays: list[np.ndarray], argument: NetsTask) -> NetsResult:
    """Train the nets of one task; this runs on the worker.

    arrays : the shared arrays
    """
    check_version(argument.version)
    watch, task, arrays = Stopwatch(), argument.task, list(arrays)
    data, held_out = filled(task.data, argument.shared[:3], arrays), task.held_out
    if held_out is not None:
        held_out = filled(held_out, argument.shared[3:], arrays)
    device = device_here(task.device)
    place = backend(device).place
    with device.on():
        task = replace(
            task,
            device=device,
            params=task.params.copy(),  # an executor of threads gives the caller's own array
            data=place(data),
            held_out=None if held_out is None else place(held_out),
        )
    redraw = _no_draws if argument.draws is None else argument.draws.into(task.params)
    outcome, restarts, interrupted = run(task, argument.epochs, argument.restart_after, redraw)
    if not device.is_host:  # the program that fits may have no GPU to evaluate nets on
        with interrupts.deferred():
            converged_nets(task, outcome)
    seconds, compiling = watch.read()
    results = {name: getattr(outcome, name) for name in OUTCOME}
    return NetsResult(task.params, results, restarts, interrupted, seconds - compiling, compiling)


def _no_draws(members: np.ndarray, draw: int) -> None:
    raise AssertionError("only a fit with restarts draws parameters")
