"""The fit of a Population, from the user's arguments to its result."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.population_data import validated_population_samples, with_held_out
from ..devices import backend
from ..errors import checked_share, is_per_net
from ..kernels.formulas.counter_rng import fit_seeds
from ..kernels.jit.compile_time import Stopwatch, notices
from ..kernels.structs import DIVERGED_NET, METRIC_NONE, RUNNING, Samples
from ..nets.population_prediction import reads_rows
from ..nets.with_executor import OF_FITS_ON_WORKERS, for_workers, workers_for
from ..optimizers.base import batch_rows, shared_text
from ..population_result import PopulationResult
from ..runtime.ctrl_c import StopFlag, raise_if_stopped, stop_flag
from ..runtime.memory_check import check_epochs
from ..schedules.checked_factors import varying_factors
from .checkpoint import Saver
from .hooks.time_limit import TimeLimit
from .metrics import check_metrics
from .nets import FittedNets, fit_nets
from .optimizer_state import states_of_nets
from .outcome import converged_nets
from .rows import InMemory, OnDisk
from .sources import rows_of
from .task import FitTask

if TYPE_CHECKING:
    from ..nets.net_base import PopulationBase


def fit_population(pop: PopulationBase, X: Any, y: Any, given: dict[str, Any], watch: Stopwatch) -> PopulationResult:
    """Train the nets and return their result.

    X, y : arguments of Population.fit, or rows of a row file (OnDisk) and None
    given : the other arguments, checked as fit/keywords.py says
    watch : Stopwatch     started when the fit began
    """
    executor, error = given["executor"], None
    if executor is not None:
        X = for_workers(X)
    file = None
    if given["checkpoint"] is not None:
        from .checkpoint_identity import file_of

        file = file_of(given, "population")
    reads = type(X) is not np.ndarray and reads_rows(X, y)
    with stop_flag() as flag, notices(given["verbose"] > 0):
        with rows_of(X, y, pop, given, file) if reads else nullcontext((X, y)) as (X, y):
            if file is None:
                task, saver = _task(pop, X, y, given, watch), None
            else:
                from .checkpoint_identity import random_numbers_of, saver_of

                with random_numbers_of(pop, file):
                    task = _task(pop, X, y, given, watch)
                    saver = saver_of(file, pop, task)
            raise_if_stopped()
            if executor is None:
                fitted = fit_nets(task, pop._draw, flag, saver)
            else:
                fitted, error = _fit_on_workers(executor, pop, task, flag, saver)
            if error is not None and (fitted.outcome.status == RUNNING).all():  # no net has begun
                raise error
            if task.monitor is not None:
                task.monitor.look(fitted.outcome, at_end=True)
        pop.fits += 1
        interrupted = fitted.reason == "interrupt" or flag.is_set()
        pop.result = result = _result(pop, task, fitted, interrupted, watch)
    if (result.status == DIVERGED_NET).any():
        result.warn_of_divergence()
    if error is not None:
        raise error
    return result


def _fit_on_workers(
    executor: Any, pop: PopulationBase, task: FitTask, flag: StopFlag, saver: Saver | None
) -> tuple[FittedNets, BaseException | None]:
    from .workers import Draws, WorkersFit

    draws = Draws(pop.network, pop.init, pop.seeds, pop.init_scale)
    with workers_for(executor) as workers:
        return WorkersFit(workers, task, pop._named_device, draws, flag, saver).run()


def _task(pop: PopulationBase, X: Any, y: Any, given: dict[str, Any], watch: Stopwatch) -> FitTask:
    """Return the task of a fit; the device is chosen here."""
    rng = cache(lambda: np.random.default_rng([pop.seed, pop.fits]))  # made where something is drawn
    on_workers = given["executor"] is not None
    optimizer = given["optimizer"].for_nets(pop.n_nets, rng)
    rows, held_out = _rows(pop, X, y, given, rng)
    held_out_metric = None if held_out is None else held_out.metric
    if given["early_stopping"] is not None:
        given["early_stopping"].check_monitor(rows.metric, held_out_metric, given["metrics"])
    batch_size = batch_rows(given["batch_size"], rows.n_samples, optimizer.rule)
    check_epochs(given["epochs"], -(-rows.n_samples // batch_size), 0)
    shuffle, drops = given["shuffle"] and batch_size < rows.n_samples, any(pop.network.dropout)
    monitor = None
    if on_workers:
        pop.device = OF_FITS_ON_WORKERS if pop._named_device == "auto" else pop.device
    elif isinstance(rows, OnDisk):  # the nets are trained one after another
        first = pop.net(0)
        first._choose_device(None, given["epochs"] * rows.n_samples, batch_size)
        pop.device = first.device
    elif pop._named_device == "auto":
        pop._choose_device(X, given["epochs"] * rows.n_samples, batch_size)
    for samples in (rows.data, held_out):
        if samples is not None and given["metrics"]:
            check_metrics(given["metrics"], pop.network, samples)
    if given["monitor"]:
        from ..diagnosis.monitor import PopulationMonitor  # takes longer to import than all the rest

        monitor = PopulationMonitor(pop.network, rows.watched, rows.strides)
    if isinstance(rows, InMemory):
        # Samples are copied once, for all nets, restarts and evaluations; workers place them on their devices.
        device = OF_FITS_ON_WORKERS if on_workers else pop.device
        with device.on():
            place = backend(device).place
            rows = InMemory(place(rows.data), rows.strides)
            held_out = None if held_out is None else place(held_out)
    draws, carried = shuffle or drops or isinstance(rows, OnDisk), given["optimizer_state"]
    return FitTask(
        network=pop.network,
        device=pop.device,
        dtype=pop.dtype,
        precision=pop.precision,
        params=pop._params,
        seeds=fit_seeds(pop.seeds, pop.fits) if draws else pop.seeds,  # else nothing is drawn
        l2=pop.l2,
        dropout=_dropout_rates(pop) if drops else np.zeros(pop.network.layout.n_layers),
        rows=rows,
        held_out=held_out,
        batch_size=batch_size,
        shuffle=shuffle,
        optimizer=optimizer,
        factors=varying_factors(given["schedule"]),
        epochs=given["epochs"],
        restart_after=given["restart_after"],
        early_stopping=given["early_stopping"],
        converged=given["converged"],
        callbacks=given["callbacks"],
        metrics=given["metrics"],
        monitor=monitor,
        optimizer_states=[] if carried is None else states_of_nets(carried, pop.network.layer_sizes, pop.n_nets),
        time_limit=None if given["time_limit"] is None else TimeLimit(given["time_limit"], watch),
        verbose=given["verbose"],
        schedule=given["schedule"],
        is_population=True,
    )


def _rows(
    pop: PopulationBase, X: Any, y: Any, given: dict[str, Any], rng: Callable[[], np.random.Generator]
) -> tuple[InMemory | OnDisk, Samples | None]:
    """Return (rows, held-out samples), checked."""
    validation_data, class_weight, of_nets = given["validation_data"], given["class_weight"], (pop.network, pop.dtype)
    fraction = given["validation_fraction"]
    if fraction:
        fraction = checked_share(fraction, validation_data)
    weights = given["sample_weight"], None if fraction else class_weight
    if isinstance(X, OnDisk):
        rows: InMemory | OnDisk = X.weighted(*weights, pop.network, pop.n_nets)
    else:
        rows = InMemory(*validated_population_samples(X, y, *of_nets, pop.n_nets, *weights))
    return with_held_out(rows, *of_nets, validation_data, fraction, class_weight, given["converged"], rng)


def _dropout_rates(pop: PopulationBase) -> np.ndarray:
    """Return the dropout rates of the layers, (n_layers,), or (n_nets, n_layers) if nets differ."""
    rates = np.zeros((pop.n_nets if is_per_net(pop.dropout) else 1, pop.network.layout.n_layers))
    rates[:, :-1] = np.asarray(pop.dropout)[..., None]
    return rates if len(rates) > 1 else rates[0]


def _result(
    pop: PopulationBase, task: FitTask, fitted: FittedNets, interrupted: bool, watch: Stopwatch
) -> PopulationResult:
    outcome, monitor = fitted.outcome, task.monitored
    settings = {**task.optimizer.settings, "l2": pop.l2, "dropout": pop.dropout, "init_scale": pop.init_scale}
    converged = converged_nets(task, outcome)
    seconds, compile_seconds = watch.read()
    return PopulationResult(
        converged=converged,
        epochs=outcome.all_epochs,
        loss=outcome.loss,
        accuracy=outcome.accuracy if task.rows.metric != METRIC_NONE else None,
        monitor=monitor,
        best_value=None if monitor is None else outcome.best_value * (-1.0 if monitor.endswith("accuracy") else 1.0),
        best_epoch=np.maximum(outcome.best_epochs, 0) - 1 if monitor is not None else None,
        restarts=outcome.restarts,
        status=outcome.status,
        record_epochs=outcome.record_epochs,
        records=outcome.records,
        seconds=seconds,
        compile_seconds=compile_seconds,
        interrupted=interrupted,
        settings={name: value for name, value in settings.items() if isinstance(value, np.ndarray)},
        judged_by=task.judged_by,
        arguments=task.description(shared_text(task.optimizer))(),
    )
