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
from ..executors.tasks import Task, Tasks
from ..executors.worker_device import device_here
from ..executors.workers import Workers
from ..initialization import Init, draw_params
from ..kernels.jit.compile_time import add_wait
from ..kernels.structs import Samples
from ..network.spec import Network
from .fit import empty_outcome, run, shown_progress
from .fit_state import OUTCOME
from .nets_per_task import TaskSizes
from .task import PopulationOutcome, PopulationTask

ARRAYS = "X", "Y", "weight"  # of Samples


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
        """Return a function (members, draw) that writes new parameters of these nets, as Population has one."""

        def redraw(members: np.ndarray, draw: int) -> None:
            scale = self.scale[members] if is_per_net(self.scale) else self.scale
            params[members] = draw_params(self.network, self.init, self.seeds[members], scale, draw)

        return redraw


class NetsTask(NamedTuple):
    """Task of a worker that trains some nets; it also reads the shared arrays."""

    nets: slice
    task: PopulationTask  # without the arrays that are shared
    is_shared: tuple[bool, ...]  # of ARRAYS of the training and of the held-out samples
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
    """

    def __init__(self, workers: Workers, task: PopulationTask, epochs: int, restart_after: int | None, draws: Draws):
        self.workers, self.task, self.epochs, self.restart_after = workers, task, epochs, restart_after
        self.draws = None if restart_after is None else draws
        self.outcome = empty_outcome(task, epochs, restart_after)
        self.restarts = np.zeros(task.n_nets, np.int64)
        self._samples = _Sharing.of(task)
        net_bytes = task.params[0].nbytes + self._samples.own_bytes // task.n_nets
        self._sizes = TaskSizes(task, epochs, net_bytes)
        self._first = 0  # net of the next task
        self._compiled = 0.0

    def run(self) -> tuple[PopulationOutcome, np.ndarray, bool, BaseException | None]:
        """Train all nets, and return (outcome, restarts per net, whether it was ended early, error that has ended it).

        Nets of finished tasks are written whatever happens; the others keep their parameters.
        """
        error: BaseException | None = None
        ended_early = False
        with shown_progress(self.task, self.outcome) as progress:
            self._progress = progress
            try:
                shared, on_gpus = self._samples.shared, not self.task.device.is_host
                Tasks(self.workers, train_nets, shared, self._cut, self._take, on_gpus).run(self.task.verbose)
            except KeyboardInterrupt:
                ended_early = True
            except Exception as found:
                ended_early, error = True, found
        add_wait(self._compiled)
        return self.outcome, self.restarts, ended_early, error

    def _cut(self, n_slots: int) -> Task | None:
        n_left = self.task.n_nets - self._first
        if not n_left:
            return None
        nets = slice(self._first, self._first + self._sizes.next(n_left, n_slots))
        self._first = nets.stop
        task = self._samples.part(self.task, nets)
        draws = None if self.draws is None else self.draws.part(nets)
        argument = NetsTask(nets, task, self._samples.is_shared, self.epochs, self.restart_after, draws, _version())
        n = nets.stop - nets.start
        return Task(argument, f"net {nets.start}" if n == 1 else f"nets {nets.start} to {nets.stop - 1}")

    def _take(self, task: Task, result: NetsResult) -> None:
        nets = task.argument.nets
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


class _Sharing(NamedTuple):
    """Arrays of the samples of a fit: those of all nets are shared, those of each net travel with its task."""

    arrays: tuple[np.ndarray, ...]  # of training samples, then of held-out ones, in the order of ARRAYS
    strides: tuple[int, ...]  # elements from net to net; 0 for an array of all nets

    @classmethod
    def of(cls, task: PopulationTask) -> _Sharing:
        data = [getattr(task.data, name) for name in ARRAYS]
        if task.held_out is None:
            return cls(tuple(data), task.strides)
        return cls((*data, *(getattr(task.held_out, name) for name in ARRAYS)), (*task.strides, 0, 0, 0))

    @property
    def is_shared(self) -> tuple[bool, ...]:
        return tuple(stride == 0 and array.size > 0 for array, stride in zip(self.arrays, self.strides, strict=True))

    @property
    def shared(self) -> list[np.ndarray]:
        return [array for array, shared in zip(self.arrays, self.is_shared, strict=True) if shared]

    @property
    def own_bytes(self) -> int:
        return sum(array.nbytes for array, shared in zip(self.arrays, self.is_shared, strict=True) if not shared)

    def part(self, task: PopulationTask, nets: slice) -> PopulationTask:
        """Return the task of some nets with the samples that are theirs alone, and empty arrays for the others."""
        found: list[Any] = []
        for array, stride, shared in zip(self.arrays, self.strides, self.is_shared, strict=True):
            own = array[nets.start * stride : nets.stop * stride] if stride else array
            found.append(array[:0] if shared else own)
        data = task.data._replace(**dict(zip(ARRAYS, found[:3], strict=True)))
        held_out = None
        if task.held_out is not None:
            held_out = task.held_out._replace(**dict(zip(ARRAYS, found[3:], strict=True)))
        return task.part(nets, data, held_out)


def _filled(samples: Samples, is_shared: tuple[bool, ...], arrays: list[np.ndarray]) -> Samples:
    """Return samples with the shared arrays, which are taken from the front of `arrays`."""
    found: dict[str, Any] = {name: arrays.pop(0) for name, shared in zip(ARRAYS, is_shared, strict=True) if shared}
    return samples._replace(**found)


def train_nets(arrays: list[np.ndarray], argument: NetsTask) -> NetsResult:
    """Train the nets of one task; this runs on the worker.

    arrays : the shared arrays
    """
    if argument.version != _version():
        raise RuntimeError(
            f"A worker has fastmlp {_version()}, but the program that fits has {argument.version}. Install the same "
            "version everywhere."
        )
    watch, task, arrays = Stopwatch(), argument.task, list(arrays)
    data, held_out = _filled(task.data, argument.is_shared[:3], arrays), task.held_out
    if held_out is not None:
        held_out = _filled(held_out, argument.is_shared[3:], arrays)
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
    seconds, compiling = watch.read()
    results = {name: getattr(outcome, name) for name in OUTCOME}
    return NetsResult(task.params, results, restarts, interrupted, seconds - compiling, compiling)


def _no_draws(members: np.ndarray, draw: int) -> None:
    raise AssertionError("only a fit with restarts draws parameters")


def _version() -> str:
    from .. import __version__  # found out at its first use

    return __version__
