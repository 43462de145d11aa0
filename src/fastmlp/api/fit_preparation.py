"""Preparation of MLP.fit before training: samples, held-out samples and options, all of them checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..callbacks import Callback
from ..console.compile_notice import CompileNotices
from ..data.checked_samples import make_validation, validated_samples
from ..data.class_weighting import split_and_weighted
from ..errors import checked_share
from ..kernels.formulas.net_seeds import fit_seed
from ..kernels.structs import Samples
from ..training.epoch_metrics import FitMetrics
from ..training.fit_options import Options
from ..training.fits_on_threads import stop_of_fits
from ..training.optimizer_state import state_of_net
from ..training.time_limit import TimeLimit
from .fit_arguments import FitArguments
from .fit_keywords import FitKeywords
from .net_base import NetBase
from .single_net_base import SingleNetBase


class FitData(NamedTuple):
    """Samples of one fit of a net, and how training visits them."""

    training: Samples
    held_out: Samples | None
    batch_size: int
    shuffle: bool
    seed: int  # of shuffling, dropout and the validation split

    @property
    def parts(self) -> dict[str, Samples | None]:
        """The samples by the name of their part."""
        return {"training": self.training, "validation": self.held_out}


def fit_data(net: NetBase, arguments: FitArguments, X: Any, y: Any, given: FitKeywords) -> FitData:
    """Return the checked samples of a fit.

    X, y, given : arguments of MLP.fit

    Raises
    ------
    ValueError
        If the data do not fit the net or are not finite, or arguments cannot be combined.
    """
    validation_data, class_weight = given["validation_data"], given["class_weight"]
    fraction = checked_share(given["validation_fraction"], validation_data)
    with CompileNotices(arguments.verbose > 0):
        # Of a fraction, class weights are computed for the samples that remain in training.
        weights = given["sample_weight"], None if fraction else class_weight
        data = validated_samples(X, y, net.network, net.dtype, *weights)
    rows = arguments.batch_rows(data.n_samples, 2 if validation_data is None and not fraction else 4)
    shuffle = bool(given["shuffle"]) and rows < data.n_samples
    draws = shuffle or fraction or any(net.network.dropout)
    seed = fit_seed(net.seed, net.fits) if draws else 0
    held_out = None
    if validation_data is not None:
        held_out = make_validation(validation_data, net.network, net.dtype, data.metric)
    elif fraction:
        data, held_out = split_and_weighted(data, fraction, seed, class_weight, net.network)
        rows = min(rows, data.n_samples)
    return FitData(data, held_out, rows, shuffle and rows < data.n_samples, seed)


def fit_options(
    net: SingleNetBase,
    arguments: FitArguments,
    data: FitData,
    callbacks: Sequence[Callback],
    metrics: Any,
    optimizer_state: Any,
    monitor: bool,
    limit: TimeLimit | None = None,
) -> Options:
    """Return the options of a fit; metrics and the arguments after it are those of MLP.fit.

    limit : TimeLimit or None     time limit of the fit
    """
    measured = FitMetrics(metrics, net, data.parts, arguments.epochs) if metrics else None
    arguments.check_monitor(data.training, data.held_out, measured.names if measured else ())
    watcher = None
    if monitor:
        from ..diagnosis.monitor import Monitor

        watcher = Monitor(net.network, data.training, arguments.epochs)
    return Options(
        epochs=arguments.epochs,
        batch_size=data.batch_size,
        shuffle=data.shuffle,
        seed=data.seed,
        optimizer=arguments.optimizer,
        factors=arguments.factors,
        decay_factors=arguments.optimizer.decay_factors,
        dropout_factors=arguments.dropout_factors,
        early_stopping=arguments.early_stopping,
        callbacks=callbacks,
        verbose=arguments.verbose,
        monitor=watcher,
        state=state_of_net(optimizer_state, net.network.layer_sizes),
        metrics=measured,
        time_limit=limit,
        stop=stop_of_fits(),
    )
