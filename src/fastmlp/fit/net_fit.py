"""The fit of an MLP, from the user's arguments to its history."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callbacks import tell_end
from ..console.nets_progress import line_start, progress_of_fit
from ..data.checked_samples import make_validation, sample_for_plots, validated_samples
from ..data.sample_weights import weighted_by_class
from ..errors import checked_share
from ..history import History
from ..kernels.formulas.counter_rng import fit_seed
from ..kernels.jit.compile_time import Stopwatch, notices
from ..kernels.structs import Samples
from ..optimizers.base import batch_rows
from ..runtime.ctrl_c import StopFlag, raise_if_stopped, stop_flag
from ..runtime.memory_check import check_epochs
from ..schedules.checked_factors import varying_factors
from .hooks.time_limit import TimeLimit
from .loop import fit_net, hooks_of
from .metrics import check_metrics
from .one_net import OneNet
from .optimizer_state import states_of_nets
from .rows import InMemory, OnDisk, is_array
from .sources import rows_of
from .task import FitTask

if TYPE_CHECKING:
    from ..nets.net_base import SingleNetBase
    from .checkpoint import Saver


def fit_mlp(net: SingleNetBase, X: Any, y: Any, given: dict[str, Any], watch: Stopwatch) -> History:
    """Train a net and return its history.

    X, y : arguments of MLP.fit, or rows of a row file (OnDisk) and None
    given : the other arguments, checked as fit/keywords.py says
    watch : Stopwatch     started when the fit began
    """
    if given["verbose"] == 2:
        from ..loggers import EpochLines

        given["callbacks"] = (*given["callbacks"], EpochLines(given["epochs"], line_start()))
    file = None
    if given["checkpoint"] is not None:
        from .checkpoint_identity import file_of

        file = file_of(given, "net")
    with stop_flag() as flag, notices(given["verbose"] > 0):
        with nullcontext((X, y)) if is_array(X, y) else rows_of(X, y, net, given, file) as (X, y):
            if file is None:
                task, saver = _task(net, X, y, given, watch), None
            else:
                from .checkpoint_identity import random_numbers_of, saver_of

                with random_numbers_of(net, file):
                    task = _task(net, X, y, given, watch)
                    saver = saver_of(file, net, task)
            raise_if_stopped()
            history = _fit(net, task, flag, saver, watch)
        if flag.is_set() and history.stopped_by != "divergence":
            history.stopped_by = "interrupt"  # also if it came after the last call
    return history


def _fit(net: SingleNetBase, task: FitTask, flag: StopFlag, saver: Saver | None, watch: Stopwatch) -> History:
    history = History(net)
    history.optimizer = task.optimizer
    history.samples = sample_for_plots(net.network, {"training": task.rows.shown, "validation": task.held_out})
    held_out, validation = task.held_out, None
    try:
        with net.device.on():
            engine = OneNet(task, 0, net._padded, history, task.epochs)
            if held_out is not None:
                validation = net._plan_for(held_out.n_samples)
            save = None
            if saver is not None:
                from .outcome import Outcome

                saver.begin(task, Outcome.empty(task), 0)
                save = saver.of_net(0, net.params)
            progress = progress_of_fit(task.epochs, task.verbose) if task.verbose else None
            hooks = hooks_of(engine, progress, validation, save)
            net.history, net.fits = history, net.fits + 1
            try:
                fit_net(engine, hooks, flag, progress)
            finally:
                history.seconds, history.compile_seconds = watch.read()
                if task.callbacks:
                    tell_end(task.callbacks, history)
            if saver is not None:
                saver.save_if_new()
    finally:
        if validation is not None:
            validation.release()
    return history


def _task(net: SingleNetBase, X: Any, y: Any, given: dict[str, Any], watch: Stopwatch) -> FitTask:
    """Return the task of a fit; the device is chosen here."""
    rows, held_out, batch_size, shuffle, seed = _rows(net, X, y, given)
    early_stopping, metrics = given["early_stopping"], given["metrics"]
    if early_stopping is not None:
        held_out_metric = None if held_out is None else held_out.metric
        early_stopping.check_monitor(rows.metric, held_out_metric, metrics)
    if metrics:
        n_subsets = 1 if held_out is None else 2
        check_epochs(given["epochs"], 1, len(metrics) * n_subsets)
        for samples in (rows.data, held_out):
            if samples is not None:
                check_metrics(metrics, net.network, samples)
    monitor = None
    if given["monitor"]:
        from ..diagnosis.monitor import Monitor

        monitor = Monitor(net.network, rows.watched, given["epochs"])
    if net._named_device == "auto":
        net._choose_device(X if isinstance(rows, InMemory) else None, given["epochs"] * rows.n_samples, batch_size)
    limit, carried = given["time_limit"], given["optimizer_state"]
    return FitTask(
        network=net.network,
        device=net.device,
        dtype=net.dtype,
        precision=net.precision,
        params=net._params[None],
        seeds=np.array([seed]),
        l2=net.network.l2,
        dropout=np.array([*net.network.dropout, 0.0]),
        rows=rows,
        held_out=held_out,
        batch_size=batch_size,
        shuffle=shuffle,
        optimizer=given["optimizer"],
        factors=varying_factors(given["schedule"]),
        epochs=given["epochs"],
        early_stopping=early_stopping,
        callbacks=given["callbacks"],
        metrics=metrics,
        monitor=monitor,
        optimizer_states=[] if carried is None else states_of_nets(carried, net.network.layer_sizes),
        time_limit=None if limit is None else TimeLimit(limit, watch),
        verbose=given["verbose"],
        schedule=given["schedule"],
    )


def _rows(
    net: SingleNetBase, X: Any, y: Any, given: dict[str, Any]
) -> tuple[InMemory | OnDisk, Samples | None, int, bool, int]:
    """Return (rows, held-out samples, samples of a step, whether they are shuffled, seed), checked."""
    network, dtype, validation_data, class_weight = (
        net.network,
        net.dtype,
        given["validation_data"],
        given["class_weight"],
    )
    fraction, rule = given["validation_fraction"], given["optimizer"].rule
    if fraction:
        fraction = checked_share(fraction, validation_data)
    # Of a fraction, class weights are computed for the samples that remain in training.
    weights = given["sample_weight"], None if fraction else class_weight
    if isinstance(X, OnDisk):
        rows: InMemory | OnDisk = X.weighted(*weights, network)
    else:
        rows = InMemory(validated_samples(X, y, network, dtype, *weights))
    batch_size = batch_rows(given["batch_size"], rows.n_samples, rule)
    n_records = 2 if validation_data is None and not fraction else 4
    check_epochs(given["epochs"], -(-rows.n_samples // batch_size), n_records)
    shuffle = given["shuffle"] and batch_size < rows.n_samples
    draws = shuffle or fraction or any(network.dropout)
    seed = fit_seed(net.seed, net.fits) if draws else 0
    held_out = None
    if validation_data is not None:
        held_out = make_validation(validation_data, network, dtype, rows.metric)
    elif fraction:
        rows, held_out = rows.split(fraction, seed)
        rows = rows.with_data(weighted_by_class(rows.data, class_weight, network))
        batch_size = min(batch_size, rows.n_samples)
    return rows, held_out, batch_size, shuffle and batch_size < rows.n_samples, seed
