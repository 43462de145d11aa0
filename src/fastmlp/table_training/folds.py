"""Bagged folds: each net is trained without one fold of the rows, which stops it early and on which it predicts.

Bagging (Breiman 1996) with folds instead of bootstrap samples, as in cross-validation committees (Parmanto, Munro and
Doyle 1996). Every row helps to train all nets but those of its fold, and has a prediction by nets that have not seen
it: the out-of-fold prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..class_probabilities import logits
from ..history import History
from ..mlp import MLP
from ..network.shared_weights import SharedLayout
from ..population import Population, subset_of
from ..population_result import PopulationResult
from ..population_training.from_histories import result_of_histories
from ..population_training.joined_results import joined_results
from .fit import Rows


class TrainedNets(NamedTuple):
    """Nets that were trained one after another, or in groups one after another.

    nets : those that had begun, or else the first, with the result of their fits; the mean of their outputs predicts
    histories : the history of each net; empty for groups
    n_begun : number of nets that had begun
    interrupted : whether Ctrl-C ended the training
    """

    nets: Population
    histories: list[History]
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


def fit_folds(
    nets: Population,
    rows: Rows,
    folds: np.ndarray,
    fit_one: Callable[[MLP, Rows, Rows, int], History],
    monitor: str = "validation_loss",
) -> tuple[TrainedNets, np.ndarray]:
    """Train each net of a population without one fold, and return (trained nets, logits of all rows).

    nets : untrained; net k is trained without fold k // (n_nets / n_folds)
    folds : (n_rows,) fold of each row
    fit_one : function (net, training rows, held-out rows, number of the net) that trains an MLP
    monitor : name of the record that its early stopping looks at

    The logits are (n_nets_per_fold, n_rows, n_outputs), of each row by the nets that were trained without it, before
    the output activation; NaN where an interrupted fit has trained none.
    """
    n_each = nets.n_nets // (int(folds.max()) + 1)
    outputs = np.full((n_each, len(rows.X), nets.network.n_outputs), np.nan, nets.dtype)

    def fit_and_predict(net: MLP, k: int) -> History:
        held_out, before = np.flatnonzero(folds == k // n_each), net.params.copy()
        history = fit_one(net, rows.take(np.flatnonzero(folds != k // n_each)), rows.take(held_out), k)
        if has_begun(net, before):
            outputs[k % n_each, held_out] = logits(net, rows.X[held_out])
        return history

    return fit_each(nets, fit_and_predict, monitor), outputs


def fit_each(nets: Population, fit_one: Callable[[MLP, int], History], monitor: str = "validation_loss") -> TrainedNets:
    """Train the nets of a population one after another. Ctrl-C ends the training.

    Nets that have not begun are left out, after Ctrl-C or for want of time; if none has, the first one is kept.

    fit_one : function (net, number of the net) that trains an MLP
    monitor : name of the record that its early stopping looks at

    Raises
    ------
    KeyboardInterrupt
        If it comes from `fit_one` before a net has begun.
    """
    tried: list[MLP] = []
    interrupted = False
    find_begun = lambda: [k for k, net in enumerate(tried) if has_begun(net, nets.params[k])]
    try:
        for k in range(nets.n_nets):
            net = nets.net(k)
            net.fits = nets.fits
            tried.append(net)
            if interrupted := fit_one(net, k).stopped_by == "interrupt":
                break
    except KeyboardInterrupt:  # before or after the epochs of a net
        interrupted = True
        if not find_begun():
            raise
    begun = find_begun()
    kept = begun or [0]
    histories = [history for k in kept if (history := tried[k].history) is not None]
    for k in begun:
        nets.params[k] = tried[k].params
    if len(kept) < nets.n_nets:
        nets = subset_of(nets, np.array(kept))
    nets.fits += 1
    nets.result = result_of_histories(histories, interrupted, monitor)
    return TrainedNets(nets, histories, len(begun), interrupted)


def has_begun(net: MLP, before: np.ndarray) -> bool:
    """Return whether a net is trained, if only on a part of its first epoch; before : its parameters before the fit"""
    return net.history is not None and (net.history.epochs > 0 or not np.array_equal(net.params, before))


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
    n_folds = int(folds.max()) + 1
    n_each = nets.n_nets // n_folds
    outputs = np.full((n_each, len(rows.X), nets.network.n_outputs), np.nan, nets.dtype)
    groups: list[Population] = []
    interrupted = False
    of_fold = lambda params, k: params[members_of_fold(k, n_each)]
    find_begun = lambda: [k for k, group in enumerate(groups) if group_has_begun(group, of_fold(nets.params, k))]
    try:
        for k in range(n_folds):
            group = subset_of(nets, np.arange(nets.n_nets)[members_of_fold(k, n_each)])
            group.shared_weights = True
            groups.append(group)
            held_out = np.flatnonzero(folds == k)
            result = fit_group(group, rows.take(np.flatnonzero(folds != k)), rows.take(held_out), k)
            if group_has_begun(group, of_fold(nets.params, k)):
                outputs[:, held_out] = logits(group, rows.X[held_out])
            if interrupted := result.interrupted:
                break
    except KeyboardInterrupt:  # before or after the epochs of a fold
        interrupted = True
        if not find_begun():
            raise
    begun = find_begun()
    kept = begun or [0]
    for k in begun:
        of_fold(nets.params, k)[:] = groups[k].params
    if len(kept) < n_folds:
        nets = subset_of(nets, np.concatenate([np.arange(nets.n_nets)[members_of_fold(k, n_each)] for k in kept]))
    nets.fits += 1
    results = [of_group for k in kept if (of_group := groups[k].result) is not None]
    nets.result = joined_results(results, interrupted)
    return TrainedNets(nets, [], len(begun) * n_each, interrupted), outputs


def group_has_begun(group: Population, before: np.ndarray) -> bool:
    """Return whether nets are trained, if only on a part of their first epoch; before : their parameters before"""
    return group.result is not None and (bool(group.result.epochs.any()) or not np.array_equal(group.params, before))
