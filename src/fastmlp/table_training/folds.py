"""Bagged folds: each net is trained without one fold of the rows, which stops it early and on which it predicts.

Bagging (Breiman 1996) with folds instead of bootstrap samples, as in cross-validation committees (Parmanto, Munro and
Doyle 1996). Every row helps to train all nets but those of its fold, and has a prediction by nets that have not seen
it: the out-of-fold prediction. Nets are trained one after another, at the same time on threads, or on the workers of an
executor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from math import nan
from typing import Any, NamedTuple

import numpy as np

from ..class_probabilities import logits
from ..console.nets_progress import SeveralFits
from ..console.progress_bar import Progress
from ..devices import Device, choose_device
from ..execution.dispatch import IN_TURN, FitsAtOnce, choose_fits_at_once
from ..fit.fits_on_threads import run_on_threads
from ..fit.interruption import was_interrupted
from ..kernels.jit.compile_time import Stopwatch
from ..mlp import MLP
from ..population import Population, subset_of
from ..population_result.of_histories import result_of_histories
from ..runtime.ctrl_c import StopFlag, ending_with
from ..runtime.thread_count import using_threads
from .recipe_fit import fit_nets
from .recipes import Recipe
from .rows import Rows


class TrainedNets(NamedTuple):
    """Nets that were trained each by itself.

    nets : those that had begun, or else the first, with the result of their fits; the mean of their outputs predicts
    n_begun : number of nets that had begun
    interrupted : whether Ctrl-C ended the training
    """

    nets: Population
    n_begun: int
    interrupted: bool


def predicted_rows(z: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows that have a prediction of each net; z : logits as of OutOfFold"""
    return np.flatnonzero(np.isfinite(z).all(axis=(0, 2)))


class OutOfFold:
    """Logits of each row by the nets that were trained without its fold.

    nets : Population     net k is trained without fold k // n_each
    folds : (n_rows,) fold of each row

    n_each : number of nets that are trained without a fold
    logits : (n_each, n_rows, n_outputs), before the output activation; NaN where an interrupted fit has trained none
    """

    def __init__(self, nets: Population, folds: np.ndarray):
        self.folds, self.n_each = folds, nets.n_nets // (int(folds.max()) + 1)
        self.logits = np.full((self.n_each, len(folds), nets.network.n_outputs), np.nan, nets.dtype)

    def keep(self, k: int, z: np.ndarray | None) -> None:
        """Write the logits of the rows of a fold by net k; z : None of a net that has not begun"""
        if z is not None:
            self.logits[k % self.n_each, self.folds == k // self.n_each] = z


def fit_without_fold(
    net: MLP, rows: Rows, is_held: np.ndarray, fit: Callable[[MLP, Rows, Rows], Any]
) -> np.ndarray | None:
    """Train a net without a fold, and return its logits of the rows of the fold, or None if it has not begun.

    is_held : (n_rows,), whether a row is in the fold
    fit : function (net, training rows, held-out rows) that trains a net
    """
    held_out, before = rows.take(np.flatnonzero(is_held)), net.params.copy()
    fit(net, rows.take(np.flatnonzero(~is_held)), held_out)
    return logits(net, held_out.X) if has_begun(net, before) else None


def folds_at_once(nets: Population, recipe: Recipe, rows: Rows) -> FitsAtOnce:
    """Choose how many nets of folds are trained at the same time on a CPU: as many as there are threads.

    A step of a net for a table has too little work to keep several threads busy (bench/log/tables.md#folds-at-once).
    """
    work = nets.network.layout.products  # as the fit of a net will find it
    amounts = work * recipe.epochs * rows.n_rows, work * recipe.batch_rows(rows.n_rows)
    device = choose_device(nets._named_device, nets.device, rows.X, *amounts)
    return choose_fits_at_once(device, nets.n_nets, rows.n_bytes)


def fit_folds(
    nets: Population,
    rows: Rows,
    folds: np.ndarray,
    fit_one: Callable[[MLP, Rows, Rows, int], Any],
    flag: StopFlag,
    at_once: FitsAtOnce = IN_TURN,
    verbose: Any = 0,
) -> tuple[TrainedNets, np.ndarray]:
    """Train each net of a population without one fold, and return (trained nets, logits of all rows as of OutOfFold).

    nets : untrained, or to be trained further
    fit_one : function (net, training rows, held-out rows, number of the net) that trains an MLP
    flag, at_once, verbose : as for fit_each
    """
    found = OutOfFold(nets, folds)

    def fit(net: MLP, k: int) -> None:
        fit_fold = lambda net, training, held_out: fit_one(net, training, held_out, k)
        found.keep(k, fit_without_fold(net, rows, folds == k // found.n_each, fit_fold))

    return fit_each(nets, fit, flag, at_once=at_once, verbose=verbose), found.logits


def fit_each(
    nets: Population,
    fit_one: Callable[[MLP, int], Any],
    flag: StopFlag,
    monitor: str = "validation_loss",
    at_once: FitsAtOnce = IN_TURN,
    verbose: Any = 0,
) -> TrainedNets:
    """Train the nets of a population each by itself. Ctrl-C ends the training.

    Nets that have not begun are left out, after Ctrl-C or for want of time; if none has, the first one is kept.

    fit_one : function (net, number of the net) that trains an MLP
    flag : ends the training once it is set, as Ctrl-C does
    monitor : name of the record that its early stopping looks at
    at_once : how many nets are trained at the same time
    verbose : whether the fits show themselves

    Raises
    ------
    KeyboardInterrupt
        If it comes from `fit_one` before a net has begun.
    """
    watch, waiting, tried = Stopwatch(), iter(range(nets.n_nets)), dict[int, MLP]()

    def work() -> None:
        for k in waiting:  # threads share the iterator, which gives each net to one of them
            if stop.is_set():
                return
            tried[k] = net = nets.net(k)
            net.fits = nets.fits
            with progress.fit(k):
                fit_one(net, k)
                if net.history is not None and was_interrupted(net.history):
                    stop.set()

    def work_on_a_thread() -> None:
        with using_threads(at_once.n_threads), ending_with(stop):
            work()

    stop = StopFlag(flag)
    try:
        with SeveralFits(nets.n_nets) as progress:
            if at_once.n_fits == 1:
                with ending_with(stop):
                    work()
            else:
                run_on_threads(work_on_a_thread, at_once.n_fits, stop, progress.refresh if verbose else list)
    except KeyboardInterrupt:  # Ctrl-C before the first step of a net
        stop.set()
        if not any(has_begun(net, nets.params[k]) for k, net in tried.items()):
            raise
    return trained_nets(nets, tried, watch, stop.is_set(), monitor)


def trained_nets(
    nets: Population, tried: Mapping[int, MLP], watch: Stopwatch, interrupted: bool, monitor: str = "validation_loss"
) -> TrainedNets:
    """Return nets that were trained each by itself, in any order, as fit_each does.

    nets : Population     its parameters are written, and its number of fits
    tried : nets by their numbers, one or more; those that are missing have not begun
    watch : runs since the training has begun
    interrupted : whether Ctrl-C has ended the training
    """
    params = nets.params
    begun = sorted(k for k, net in tried.items() if has_begun(net, params[k]))
    for k in begun:
        params[k] = tried[k].params
    kept = begun or [min(tried)]
    if len(kept) < nets.n_nets:
        nets = subset_of(nets, np.array(kept))
    nets.fits += 1
    histories = [history for k in kept if (history := tried[k].history) is not None]
    seconds, compile_seconds = watch.read()  # nets that were trained at the same time share them
    result = result_of_histories(histories, interrupted, monitor)
    nets.result = replace(result, seconds=seconds, compile_seconds=compile_seconds)
    return TrainedNets(nets, len(begun), interrupted)


def has_begun(net: MLP, before: np.ndarray) -> bool:
    """Return whether a net is trained, if only on a part of its first epoch; before : its parameters before the fit"""
    history = net.history
    return history is not None and (len(history.loss) > 0 or not np.array_equal(net.params, before))


# ---- on the workers of an executor


class FoldTask(NamedTuple):
    """Task of a worker that trains one net; it also reads the folds and the rows, which are shared."""

    number: int  # of the net
    fold: int  # that is held out
    net: MLP
    device: Device
    recipe: Recipe
    version: str


def train_on_worker(arrays: list[np.ndarray], task: FoldTask) -> tuple[MLP, np.ndarray | None]:
    """Return a net that was trained by a task, and its logits, as of fit_without_fold; this runs on the worker.

    arrays : folds and rows, which are shared
    """
    from ..executors.gpu_of_worker import device_here
    from ..executors.task_errors import check_version

    check_version(task.version)
    task.net.device = device_here(task.device)
    fit = lambda net, training, held_out: fit_nets(net, training, held_out, task.recipe, verbose=0)
    return task.net, fit_without_fold(task.net, Rows(*arrays[1:]), arrays[0] == task.fold, fit)


def fit_folds_on_workers(
    executor: Any, nets: Population, rows: Rows, folds: np.ndarray, recipe: Recipe, flag: StopFlag, verbose: int
) -> tuple[TrainedNets, np.ndarray]:
    """Train each net of a population without one fold, on workers, and return what fit_folds does.

    executor : as for Population.fit
    nets, rows, folds, flag : as for fit_folds

    Raises
    ------
    KeyboardInterrupt
        After Ctrl-C before a task has ended.
    """
    from ..executors.task_errors import version_here  # here, as in nets/with_executor.py
    from ..executors.task_scheduler import Task, Tasks
    from ..nets.with_executor import device_on_workers, workers_for

    watch, waiting, trained, found = Stopwatch(), iter(range(nets.n_nets)), dict[int, MLP](), OutOfFold(nets, folds)
    device, interrupted = device_on_workers(nets), False

    def cut(n_slots: int) -> Task | None:
        if (k := next(waiting, None)) is None:
            return None
        net = nets.net(k)
        net.fits = nets.fits
        return Task(FoldTask(k, k // found.n_each, net, device, recipe, version_here()), f"net {k}")

    def take(task: Task, result: tuple[MLP, np.ndarray | None]) -> None:
        k, (net, z) = task.argument.number, result
        found.keep(k, z)
        if z is not None:
            trained[k] = net
        if net.history is not None and was_interrupted(net.history):  # Ctrl-C in a terminal reaches workers, too
            workers.stop.set()
        progress.show(len(trained), nan)

    with workers_for(executor) as workers, Progress(nets.n_nets, verbose, "net", bar=verbose < 2) as progress:
        arrays = [array for array in (folds, *rows) if array is not None]
        try:
            Tasks(workers, train_on_worker, arrays, cut, take, flag).run(verbose)
        except KeyboardInterrupt:
            if not trained:
                raise
            interrupted = True
    return trained_nets(nets, trained, watch, interrupted), found.logits
