"""Bagged folds: each net is trained without one fold of the rows, which stops it early and on which it predicts.

Bagging (Breiman 1996) with folds instead of bootstrap samples, as in cross-validation committees (Parmanto, Munro and
Doyle 1996). Every row helps to train all nets but those of its fold, and has a prediction by nets that have not seen
it: the out-of-fold prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ..class_probabilities import logits
from ..history import History
from ..mlp import MLP
from ..population import Population, subset_of
from ..population_training.from_histories import result_of_histories
from .fit import Rows


class TrainedNets(NamedTuple):
    """Nets that were trained one after another.

    nets : those that had begun, or else the first, with the result of their fits; the mean of their outputs predicts
    histories : the history of each net
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
