"""Nets that are trained each by itself, such as those of bagged folds.

Bagging (Breiman 1996) with folds instead of bootstrap samples, as in cross-validation committees (Parmanto, Munro and
Doyle 1996): each net is trained without one fold of the rows, which stops it early and on which it predicts. Every row
helps to train all nets but those of its fold, and has a prediction by nets that have not seen it: the out-of-fold
prediction. Nets are trained one after another, or at the same time on threads.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from ..class_probabilities import logits
from ..console.nets_progress import SeveralFits
from ..console.progress_bar import Progress
from ..devices import choose_device
from ..execution.dispatch import IN_TURN, FitsAtOnce, choose_fits_at_once
from ..fit.fits_on_threads import run_on_threads
from ..fit.interrupt_warnings import was_interrupted
from ..kernels.jit.compile_time import Stopwatch
from ..mlp import MLP
from ..population import Population, subset_of
from ..population_result.of_histories import result_of_histories
from ..runtime.ctrl_c import StopFlag, ending_with
from ..runtime.thread_count import with_threads
from .encoded_rows import EncodedRows, Rows
from .recipes import Recipe


class TrainedNets(NamedTuple):
    """Nets that were trained each by itself.

    nets : those that had begun, or else the first, with their result; the mean of their outputs predicts
    n_begun : number of nets that had begun
    logits : (n_nets_of_a_fold, n_rows, n_outputs) of each row by the nets without its fold, before the output
        activation; NaN where an interrupted fit has trained none. None without folds
    """

    nets: Population
    n_begun: int
    logits: np.ndarray | None


def folds_at_once(nets: Population, recipe: Recipe, rows: Rows) -> FitsAtOnce:
    """Choose how many nets of folds are trained at the same time on a CPU: as many as there are threads.

    A step of a net for a table has too little work to keep several threads busy (bench/log/tables.md#folds-at-once).
    """
    work = nets.network.layout.products  # as the fit of a net will find it
    amounts = work * recipe.epochs * rows.n_rows, work * recipe.batch_rows(rows.n_rows)
    device = choose_device(nets._named_device, nets.device, rows.X, *amounts)
    return choose_fits_at_once(device, nets.n_nets, rows.X.nbytes + rows.y.nbytes)


def fit_each(
    nets: Population,
    data: EncodedRows,
    fit_one: Callable[[MLP, EncodedRows, int], Any],
    flag: StopFlag,
    at_once: FitsAtOnce = IN_TURN,
    verbose: int = 0,
) -> TrainedNets:
    """Train the nets of a population each by itself, with folds without one each. Ctrl-C ends the training.

    Nets that have not begun are left out, after Ctrl-C or for want of time; if none has, the first one is kept.

    data : rows of all nets; with folds, those of net k are without fold k // n_nets_of_a_fold, which it holds out
    fit_one : function (net, its rows, number of the net) that trains an MLP
    flag : ends the training once it is set, as Ctrl-C does
    at_once : how many nets are trained at the same time
    verbose : keyword of the fits

    Raises
    ------
    KeyboardInterrupt
        If it comes from `fit_one` before a net has begun.
    """
    watch, waiting, tried = Stopwatch(), iter(range(nets.n_nets)), dict[int, MLP]()
    n_each, outputs = 1, None
    if data.folds is not None:
        n_each = nets.n_nets // (int(data.folds.max()) + 1)
        outputs = np.full((n_each, len(data.folds), nets.network.n_outputs), np.nan, nets.dtype)

    def work() -> None:
        for k in waiting:  # threads share the iterator, which gives each net to one of them
            if stop.is_set():
                return
            tried[k] = net = nets.net(k)
            net.fits = nets.fits
            with fits.fit(k):
                of_net = data.without(k // n_each)
                fit_one(net, of_net, k)
                if outputs is not None and of_net.held_out is not None and has_begun(net, nets.params[k]):
                    outputs[k % n_each, data.folds == k // n_each] = logits(net, of_net.held_out.X)
                if net.history is not None and was_interrupted(net.history):
                    stop.set()

    stop = StopFlag(flag)
    try:
        with Progress(nets.n_nets, verbose, "net", bar=verbose < 2) as progress:
            fits = SeveralFits(progress)
            if at_once.n_fits == 1:
                with ending_with(stop):
                    work()
            else:
                run_on_threads(
                    partial(with_threads, at_once.n_threads, work),
                    at_once.n_fits,
                    stop,
                    fits.update if verbose else list,
                )
    except KeyboardInterrupt:  # Ctrl-C before the first step of a net
        stop.set()
        if not any(has_begun(net, nets.params[k]) for k, net in tried.items()):
            raise
    params = nets.params
    begun = []
    for k in sorted(tried):
        if has_begun(tried[k], params[k]):
            begun.append(k)
            params[k] = tried[k].params
    kept = begun or [min(tried)]
    if len(kept) < nets.n_nets:
        nets = subset_of(nets, np.array(kept))
    nets.fits += 1
    histories = [history for k in kept if (history := tried[k].history) is not None]
    monitor = "loss" if data.held_out is None and data.folds is None else "validation_loss"
    nets.result = result_of_histories(histories, stop.is_set(), monitor, *watch.read())
    return TrainedNets(nets, len(begun), outputs)


def has_begun(net: MLP, before: np.ndarray) -> bool:
    """Return whether a net is trained, if only on a part of its first epoch; before : its parameters before the fit"""
    history = net.history
    return history is not None and (len(history.loss) > 0 or not np.array_equal(net.params, before))
