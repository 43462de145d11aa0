"""Nets of folds that are trained on the workers of an executor: a task trains one net, and predicts its fold."""

from __future__ import annotations

from math import nan
from typing import Any, NamedTuple

import numpy as np

from ..class_probabilities import logits
from ..console.progress_bar import Progress
from ..console.stopwatch import Stopwatch
from ..devices import Device
from ..executors.gpu_of_worker import device_here
from ..executors.task_errors import check_version, version_here
from ..executors.task_scheduler import Task, Tasks
from ..executors.workers import Workers
from ..fit.interruption import was_interrupted
from ..mlp import MLP
from ..nets.with_executor import device_on_workers, workers_for
from ..population import Population
from .folds import OutOfFoldLogits, TrainedNets, has_begun, trained_nets
from .recipe_fit import fit_nets
from .recipes import Recipe
from .rows import Rows


class NetTask(NamedTuple):
    """Task of a worker that trains one net; it also reads the rows and their folds, which are shared."""

    number: int  # of the net
    fold: int  # that is held out
    net: MLP  # untrained
    device: Device
    recipe: Recipe
    version: str


class NetResult(NamedTuple):
    """Result of a NetTask, as a worker returns it."""

    net: MLP
    logits: np.ndarray | None  # of the held-out rows; None of a net that has not begun


class FoldsOnWorkers:
    """Training of the nets of folds on the workers of an executor.

    workers : Workers
    nets : Population     untrained; net k is trained without fold k // (n_nets / n_folds)
    rows : Rows
    folds : (n_rows,) fold of each row

    trained : nets whose tasks have ended, by their numbers
    out_of_fold : OutOfFoldLogits     their predictions
    """

    def __init__(self, workers: Workers, nets: Population, rows: Rows, folds: np.ndarray, recipe: Recipe):
        self._workers, self._nets, self._recipe = workers, nets, recipe
        self._arrays = [array for array in (folds, *rows) if array is not None]
        self._device = device_on_workers(nets)
        self._waiting = list(range(nets.n_nets))
        self.trained: dict[int, MLP] = {}
        self.out_of_fold = OutOfFoldLogits(nets, rows, folds)

    def run(self, verbose: int) -> bool:
        """Train the nets, and return whether Ctrl-C has ended the training.

        Raises
        ------
        KeyboardInterrupt
            If it comes before a task has ended.
        """
        with Progress(self._nets.n_nets, verbose, "net", bar=verbose < 2) as self._progress:
            try:
                on_gpus = not self._device.is_host
                Tasks(self._workers, train_net, self._arrays, self._cut, self._take, on_gpus).run(verbose)
            except KeyboardInterrupt:
                if not self.trained:
                    raise
                return True
        return False

    def _cut(self, n_slots: int) -> Task | None:
        if not self._waiting:
            return None
        k = self._waiting.pop(0)
        net = self._nets.net(k)
        net.fits = self._nets.fits
        argument = NetTask(k, k // self.out_of_fold.n_each, net, self._device, self._recipe, version_here())
        return Task(argument, f"net {k}")

    def _take(self, task: Task, result: NetResult) -> None:
        k, history = task.argument.number, result.net.history
        if result.logits is not None:
            self.trained[k] = result.net
            self.out_of_fold.keep(task.argument.fold, k % self.out_of_fold.n_each, result.logits)
        if history is not None and was_interrupted(history):  # Ctrl-C in a terminal reaches worker processes, too
            self._workers.stop.set()
        self._progress.show(len(self.trained), nan)


def train_net(arrays: list[np.ndarray], argument: NetTask) -> NetResult:
    """Train the net of one task; this runs on the worker.

    arrays : folds and rows, which are shared
    """
    check_version(argument.version)
    folds, rows, net = arrays[0], Rows(*arrays[1:]), argument.net
    net.device = device_here(argument.device)
    held_out, before = rows.take(np.flatnonzero(folds == argument.fold)), net.params.copy()
    fit_nets(net, rows.take(np.flatnonzero(folds != argument.fold)), held_out, argument.recipe, verbose=0)
    return NetResult(net, logits(net, held_out.X) if has_begun(net, before) else None)


def fit_folds_on_workers(
    executor: Any, nets: Population, rows: Rows, folds: np.ndarray, recipe: Recipe, verbose: int
) -> tuple[TrainedNets, np.ndarray]:
    """Train each net of a population without one fold, on workers, and return what fit_folds does.

    executor : as for Population.fit
    nets, rows, folds : as for fit_folds
    """
    watch = Stopwatch()
    with workers_for(executor) as workers:
        fit = FoldsOnWorkers(workers, nets, rows, folds, recipe)
        interrupted = fit.run(verbose)
    return trained_nets(nets, fit.trained, watch, interrupted), fit.out_of_fold.logits
