"""Bagged folds: each net is trained without one fold of the rows, which stops it early and on which it predicts.

Bagging (Breiman 1996) with folds instead of bootstrap samples, as in cross-validation committees (Parmanto, Munro and
Doyle 1996). Every row helps to train all nets but those of its fold, and has a prediction by nets that have not seen
it: the out-of-fold prediction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from threading import Event
from typing import Any, NamedTuple

import numpy as np

from ..class_probabilities import logits
from ..console.nets_progress import SeveralFits
from ..console.stopwatch import Stopwatch
from ..execution.dispatch import IN_TURN, FitsAtOnce, choose_fits_at_once
from ..history import History
from ..mlp import MLP
from ..network.shared_weights_layout import SharedLayout
from ..population import Population, subset_of
from ..population_result import PopulationResult
from ..population_training.joined_results import joined_results
from ..population_training.result_of_histories import result_of_histories
from ..runtime.thread_count import using_threads
from ..training.fits_on_threads import ending_with, run_on_threads
from ..training.interruption import was_interrupted
from .recipe_fit import history_or_result
from .recipes import Recipe
from .rows_in_memory import Rows


class TrainedNets(NamedTuple):
    """Nets that were trained each by itself, or in groups.

    nets : those that had begun, or else the first, with the result of their fits; the mean of their outputs predicts
    histories : the history of each net; empty for groups
    n_begun : number of nets that had begun
    interrupted : whether Ctrl-C ended the training
    """

    nets: Population
    histories: list[History]
    n_begun: int
    interrupted: bool


class TrainedParts(NamedTuple):
    """Parts of a population that were trained each by itself.

    nets : those of the parts that had begun, or else of the first
    parts : these parts, an MLP or a Population each
    n_begun : number of parts that had begun
    interrupted : whether Ctrl-C ended the training
    """

    nets: Population
    parts: list[Any]
    n_begun: int
    interrupted: bool


def fold_numbers(strata: np.ndarray | None, n_rows: int, n_folds: int, rng: np.random.Generator) -> np.ndarray:
    """Return the fold of each row, int64 (n_rows,): at random, in equal parts, also of each class.

    strata : (n_rows,) class of each row, or None

    Raises
    ------
    ValueError
        If there are fewer rows than folds.

    >>> counts = np.bincount(fold_numbers(None, 7, 3, np.random.default_rng(0)))
    >>> sorted(counts.tolist())
    [2, 2, 3]
    """
    if n_rows < n_folds:
        raise ValueError(f"n_folds is {n_folds}, but there are only {n_rows} rows: each fold needs one.")
    order = rng.permutation(n_rows)
    if strata is not None:
        order = order[np.argsort(strata[order], kind="stable")]
    folds = np.empty(n_rows, np.int64)
    folds[order] = np.arange(n_rows) % n_folds
    return folds


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

    A step of a net for a table has too little work to keep several threads busy (bench/log/README.md#folds-at-once).

    make : makes untrained nets by a recipe
    """
    if recipe.shared_weights:
        return IN_TURN
    net = make(replace(recipe, n_nets=1, n_folds=1))
    net._choose_device(rows.X, recipe.epochs * rows.n_rows, recipe.batch_rows(rows.n_rows))  # as its fit will
    return choose_fits_at_once(net.device, recipe.n_nets_of_all_folds, rows.n_bytes)


def fit_folds(
    nets: Population,
    rows: Rows,
    folds: np.ndarray,
    fit_one: Callable[[MLP, Rows, Rows, int], History],
    monitor: str = "validation_loss",
    at_once: FitsAtOnce = IN_TURN,
) -> tuple[TrainedNets, np.ndarray]:
    """Train each net of a population without one fold, and return (trained nets, logits of all rows).

    nets : untrained; net k is trained without fold k // (n_nets / n_folds)
    folds : (n_rows,) fold of each row
    fit_one : function (net, training rows, held-out rows, number of the net) that trains an MLP
    monitor : name of the record that its early stopping looks at
    at_once : how many nets are trained at the same time

    The logits are those of OutOfFoldLogits.
    """
    predictions = OutOfFoldLogits(nets, rows, folds)

    def fit_without_fold(net: MLP, k: int) -> History:
        fit = lambda of_fold, training, held_out: fit_one(of_fold, training, held_out, k)
        return predictions.fit_and_predict(k // predictions.n_each, net, k % predictions.n_each, fit)

    return fit_each(nets, fit_without_fold, monitor, at_once), predictions.logits


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

    def net(k: int) -> MLP:
        found = nets.net(k)
        found.fits = nets.fits
        return found

    watch = Stopwatch()
    return _with_histories(_fit_parts(nets, range(nets.n_nets), net, fit_one, at_once), watch, monitor)


def trained_nets(nets: Population, trained: Mapping[int, MLP], watch: Stopwatch, interrupted: bool) -> TrainedNets:
    """Return nets that were trained each by itself, in any order, as fit_each does.

    nets : Population     its parameters are written, and its number of fits
    trained : nets by their numbers, one or more; those that are missing have not begun
    watch : runs since the training has begun
    interrupted : whether Ctrl-C has ended the training
    """
    return _with_histories(_kept_parts(nets, range(nets.n_nets), trained, interrupted), watch, "validation_loss")


def _with_histories(trained: TrainedParts, watch: Stopwatch, monitor: str) -> TrainedNets:
    histories = [part.history for part in trained.parts if part.history is not None]
    result = result_of_histories(histories, trained.interrupted, monitor)
    seconds, compile_seconds = watch.read()  # nets that were trained at the same time share them
    trained.nets.result = replace(result, seconds=seconds, compile_seconds=compile_seconds)
    return TrainedNets(trained.nets, histories, trained.n_begun, trained.interrupted)


def _fit_parts(
    nets: Population,
    places: Sequence[int | slice],
    part_at: Callable[[Any], Any],
    fit: Callable[[Any, int], Any],
    at_once: FitsAtOnce = IN_TURN,
) -> TrainedParts:
    """Train parts of a population each by itself, until Ctrl-C, and write what they have learnt to the population.

    nets : Population     its parameters are written, and its number of fits
    places : place of each part among the nets
    part_at : function (place) that returns the untrained MLP or Population of the part
    fit : function (part, number of the part) that trains it, and returns its History or PopulationResult
    at_once : how many parts are trained at the same time
    """
    tried: dict[int, Any] = {}
    stop, waiting = Event(), iter(range(len(places)))

    def work() -> None:
        for k in waiting:  # threads share the iterator, which gives each part to one of them
            if stop.is_set():
                return
            tried[k] = part_at(places[k])
            with progress.fit(k):
                if was_interrupted(fit(tried[k], k)):
                    stop.set()

    def work_on_a_thread() -> None:
        with using_threads(at_once.n_threads), ending_with(stop):
            work()

    try:
        with SeveralFits(len(places), "fold" if isinstance(places[0], slice) else "net") as progress:
            if at_once.n_fits == 1:
                work()
            else:
                run_on_threads(work_on_a_thread, at_once.n_fits, stop, progress.refresh)
    except KeyboardInterrupt:  # before or after the epochs of a part
        stop.set()
        if not any(has_begun(part, nets.params[places[k]]) for k, part in tried.items()):
            raise
    return _kept_parts(nets, places, tried, stop.is_set())


def _kept_parts(
    nets: Population, places: Sequence[int | slice], tried: Mapping[int, Any], interrupted: bool
) -> TrainedParts:
    """Return a population of the nets that have begun, with what they have learnt; of the first part if there are none.

    nets : Population     its parameters are written, and its number of fits
    places : place of each part among the nets
    tried : parts by their numbers, one or more, an MLP or a Population each; those that are missing have not begun
    """
    begun = sorted(k for k, part in tried.items() if has_begun(part, nets.params[places[k]]))
    for k in begun:
        nets.params[places[k]] = tried[k].params
    kept = begun or [min(tried)]
    numbers = np.arange(nets.n_nets)
    chosen = np.concatenate([np.atleast_1d(numbers[places[k]]) for k in kept])
    if len(chosen) < nets.n_nets:
        nets = subset_of(nets, chosen)
    nets.fits += 1
    return TrainedParts(nets, [tried[k] for k in kept], len(begun), interrupted)


def has_begun(nets: Any, before: np.ndarray) -> bool:
    """Return whether an MLP or Population is trained, if only on a part of its first epoch.

    before : its parameters before the fit
    """
    record = history_or_result(nets)
    return record is not None and (bool(np.any(record.epochs)) or not np.array_equal(nets.params, before))


def share_by_fold(nets: Population, n_folds: int) -> None:
    """Make the nets of each fold nets with shared weights; nets of different folds share nothing.

    As a whole they are independent nets then, as which they predict and are saved.

    nets : written; their parameters are drawn anew
    """
    nets.shared_weights = False
    nets.reset()
    n_each = nets.n_nets // n_folds
    layout = SharedLayout(nets.network, n_each)
    for k in range(n_folds):
        members = members_of_fold(k, n_each)
        layout.share(nets.params[members], nets.seeds[members], 0)


def nets_share_by_fold(nets: Any, n_folds: int) -> bool:
    """Return whether nets are those of n_folds folds with shared weights, as `fit_shared_folds` returns them."""
    n_each, remainder = divmod(getattr(nets, "n_nets", 1), n_folds)
    if n_folds < 2 or n_each < 2 or remainder or not nets.network.n_hidden_layers:
        return False
    layout = SharedLayout(nets.network, n_each)
    vector, differ = np.zeros(layout.n_params, nets.dtype), False
    try:
        for k in range(n_folds):
            of_fold = nets.params[members_of_fold(k, n_each)]
            layout.read_nets(of_fold, vector)
            differ |= bool((of_fold != of_fold[0]).any())
    except ValueError:  # nets of their own
        return False
    return differ  # otherwise each fold has one net, which greedy weights have picked several times


def members_of_fold(k: int, n_each: int) -> slice:
    return slice(k * n_each, (k + 1) * n_each)


def fit_shared_folds(
    nets: Population,
    rows: Rows,
    folds: np.ndarray,
    fit_group: Callable[[Population, Rows, Rows, int], PopulationResult],
) -> tuple[TrainedNets, np.ndarray]:
    """Train the nets of each fold together, with shared weights and without the fold. Ctrl-C ends the training.

    Nets of folds whose training has not begun are left out; if none has, those of the first fold are kept.

    nets : as share_by_fold makes them, or trained further
    folds : (n_rows,) fold of each row
    fit_group : function (nets of a fold, training rows, held-out rows, number of the fold) that trains these nets

    Returns what fit_folds does, without histories: (trained nets, logits of all rows).

    Raises
    ------
    KeyboardInterrupt
        If it comes from `fit_group` before nets have begun.
    """
    predictions = OutOfFoldLogits(nets, rows, folds)

    def group_at(members: slice) -> Population:
        found = subset_of(nets, np.arange(nets.n_nets)[members])
        found.shared_weights = True
        return found

    def fit_without_fold(group: Population, k: int) -> PopulationResult:
        fit = lambda of_fold, training, held_out: fit_group(of_fold, training, held_out, k)
        return predictions.fit_and_predict(k, group, slice(None), fit)

    places = [members_of_fold(k, predictions.n_each) for k in range(predictions.n_folds)]
    trained = _fit_parts(nets, places, group_at, fit_without_fold)
    results = [group.result for group in trained.parts if group.result is not None]
    trained.nets.result = joined_results(results, trained.interrupted)
    found = TrainedNets(trained.nets, [], trained.n_begun * predictions.n_each, trained.interrupted)
    return found, predictions.logits
