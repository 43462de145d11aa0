"""Bagged folds: each net is trained without one fold of the rows, which stops it early and on which it predicts.

Bagging (Breiman 1996) with folds instead of bootstrap samples, as in cross-validation committees (Parmanto, Munro and
Doyle 1996). Every row helps to train all nets but those of its fold, and has a prediction by nets that have not seen
it: the out-of-fold prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ..class_probabilities import logits
from ..console.nets_progress import SeveralFits
from ..console.stopwatch import Stopwatch
from ..execution.dispatch import IN_TURN, FitsAtOnce, choose_fits_at_once
from ..fit.fits_on_threads import run_on_threads
from ..fit.interruption import was_interrupted
from ..history import History
from ..mlp import MLP
from ..population import Population, subset_of
from ..population_result.of_histories import result_of_histories
from ..runtime.ctrl_c import StopFlag, ending_with
from ..runtime.thread_count import using_threads
from .recipe_fit import history_or_result
from .recipes import Recipe
from .rows import Rows


class TrainedNets(NamedTuple):
    """Nets that were trained each by itself.

    nets : those that had begun, or else the first, with the result of their fits; the mean of their outputs predicts
    histories : the history of each net
    n_begun : number of nets that had begun
    interrupted : whether Ctrl-C ended the training
    """

    nets: Population
    histories: list[History]
    n_begun: int
    interrupted: bool


def predicted_rows(z: np.ndarray) -> np.ndarray:
    """Return the numbers of the rows that have a prediction of each net; z : logits as of OutOfFoldLogits"""
    return np.flatnonzero(np.isfinite(z).all(axis=(0, 2)))


class OutOfFoldLogits:
    """Logits of each row by the nets that were trained without its fold.

    nets : of all folds, untrained or to be trained further
    rows : Rows
    numbers : (n_rows,) fold of each row

    n_folds, n_each : number of folds, and of nets that are trained without each of them
    logits : (n_each, n_rows, n_outputs), before the output activation; NaN where an interrupted fit has trained none
    """

    def __init__(self, nets: Population, rows: Rows, numbers: np.ndarray):
        self._rows, self._numbers = rows, numbers
        self.n_folds = int(numbers.max()) + 1
        self.n_each = nets.n_nets // self.n_folds
        self.logits = np.full((self.n_each, len(rows.X), nets.network.n_outputs), np.nan, nets.dtype)

    def fit_and_predict(self, fold: int, nets: Any, places: int | slice, fit: Callable[[Any, Rows, Rows], Any]) -> Any:
        """Train nets without a fold, write their logits of its rows, and return what `fit` returns.

        nets : MLP or Population
        places : of these nets among those of the fold
        fit : function (nets, training rows, held-out rows) that trains nets
        """
        held_out, before = np.flatnonzero(self._numbers == fold), nets.params.copy()
        record = fit(nets, self._rows.take(np.flatnonzero(self._numbers != fold)), self._rows.take(held_out))
        if has_begun(nets, before):
            self.keep(fold, places, logits(nets, self._rows.X[held_out]))
        return record

    def keep(self, fold: int, places: int | slice, z: np.ndarray) -> None:
        """Write the logits z of the rows of a fold, by nets at these places among those of the fold."""
        self.logits[places, np.flatnonzero(self._numbers == fold)] = z


def folds_at_once(recipe: Recipe, make: Callable[[Recipe], Any], rows: Rows) -> FitsAtOnce:
    """Choose how many nets of folds are trained at the same time on a CPU: as many as there are threads.

    A step of a net for a table has too little work to keep several threads busy (bench/log/tables.md#folds-at-once).

    make : makes untrained nets by a recipe
    """
    net = make(replace(recipe, n_nets=1, n_folds=1))
    net._choose_device(rows.X, recipe.epochs * rows.n_rows, recipe.batch_rows(rows.n_rows))  # as its fit will
    return choose_fits_at_once(net.device, recipe.n_nets_of_all_folds, rows.n_bytes)


def fit_folds(
    nets: Population,
    rows: Rows,
    folds: np.ndarray,
    fit_one: Callable[[MLP, Rows, Rows, int], History],
    at_once: FitsAtOnce = IN_TURN,
) -> tuple[TrainedNets, np.ndarray]:
    """Train each net of a population without one fold, and return (trained nets, logits of all rows).

    nets : untrained; net k is trained without fold k // (n_nets / n_folds)
    folds : (n_rows,) fold of each row
    fit_one : function (net, training rows, held-out rows, number of the net) that trains an MLP
    at_once : how many nets are trained at the same time

    The logits are those of OutOfFoldLogits.
    """
    predictions = OutOfFoldLogits(nets, rows, folds)

    def fit_without_fold(net: MLP, k: int) -> History:
        fit = lambda of_fold, training, held_out: fit_one(of_fold, training, held_out, k)
        return predictions.fit_and_predict(k // predictions.n_each, net, k % predictions.n_each, fit)

    return fit_each(nets, fit_without_fold, at_once=at_once), predictions.logits


def fit_each(
    nets: Population,
    fit_one: Callable[[MLP, int], History],
    monitor: str = "validation_loss",
    at_once: FitsAtOnce = IN_TURN,
) -> TrainedNets:
    """Train the nets of a population each by itself. Ctrl-C ends the training.

    Nets that have not begun are left out, after Ctrl-C or for want of time; if none has, the first one is kept.

    fit_one : function (net, number of the net) that trains an MLP
    monitor : name of the record that its early stopping looks at
    at_once : how many nets are trained at the same time

    Raises
    ------
    KeyboardInterrupt
        If it comes from `fit_one` before a net has begun.
    """

    watch, stop, waiting = Stopwatch(), StopFlag(), iter(range(nets.n_nets))
    tried: dict[int, MLP] = {}

    def work() -> None:
        for k in waiting:  # threads share the iterator, which gives each net to one of them
            if stop.is_set():
                return
            tried[k] = nets.net(k)
            tried[k].fits = nets.fits
            with progress.fit(k):
                if was_interrupted(fit_one(tried[k], k)):
                    stop.set()

    def work_on_a_thread() -> None:
        with using_threads(at_once.n_threads), ending_with(stop):
            work()

    try:
        with SeveralFits(nets.n_nets) as progress:
            if at_once.n_fits == 1:
                work()
            else:
                run_on_threads(work_on_a_thread, at_once.n_fits, stop, progress.refresh)
    except KeyboardInterrupt:  # before or after the epochs of a net
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
    begun = sorted(k for k, net in tried.items() if has_begun(net, nets.params[k]))
    for k in begun:
        nets.params[k] = tried[k].params
    kept = begun or [min(tried)]
    if len(kept) < nets.n_nets:
        nets = subset_of(nets, np.array(kept))
    nets.fits += 1
    histories = [history for k in kept if (history := tried[k].history) is not None]
    seconds, compile_seconds = watch.read()  # nets that were trained at the same time share them
    result = result_of_histories(histories, interrupted, monitor)
    nets.result = replace(result, seconds=seconds, compile_seconds=compile_seconds)
    return TrainedNets(nets, histories, len(begun), interrupted)


def has_begun(nets: Any, before: np.ndarray) -> bool:
    """Return whether an MLP or Population is trained, if only on a part of its first epoch.

    before : its parameters before the fit
    """
    record = history_or_result(nets)
    return record is not None and (bool(np.any(record.epochs)) or not np.array_equal(nets.params, before))
