"""Fits of an MLP and of a Population, from the user's arguments to the history or result."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callbacks import tell_end
from ..console.nets_progress import line_start, progress_of_fit
from ..data.arrays import as_numbers
from ..data.checked_samples import sample_for_plots, validated_samples, with_held_out
from ..devices import Device, backend, device_of
from ..errors import checked_share, is_per_net
from ..history import History
from ..kernels.formulas.counter_rng import fit_seed, fit_seeds
from ..kernels.jit.compile_time import Stopwatch, notices
from ..kernels.structs import DIVERGED_NET, RUNNING, Samples
from ..kernels.system.fork_lock import FORK_LOCK
from ..optimizers.batch_size import batch_rows
from ..population_result import PopulationResult
from ..runtime.ctrl_c import StopFlag, stop_flag
from ..runtime.memory_limits import check_epochs
from ..schedules.checked_schedule import varying_factors
from ..streams.source_kinds import reads_rows
from .hooks.checkpoint import Saver
from .hooks.hook import Fit
from .hooks.order import hooks_of
from .hooks.time_limit import TimeLimit
from .keywords import POPULATION_KEYWORDS
from .loop import fit_net
from .metric_functions import check_metrics
from .one_net import OneNet
from .optimizer_state import states_of_nets
from .outcome import Outcome, result_of
from .rows import InMemory, OnDisk, is_array, rows_of
from .several_nets import fit_nets
from .task import FitTask

if TYPE_CHECKING:
    from ..data.standardization import Units
    from ..nets.population_base import PopulationBase
    from ..nets.single_net_base import SingleNetBase
    from ..network.spec import Network

IN_TASK = [name for name, row in POPULATION_KEYWORDS.rows.items() if row.in_task]
NOT_IN_LANES = [name for name, row in POPULATION_KEYWORDS.rows.items() if not row.in_lanes]
DEFAULTS_IN_LANES = [POPULATION_KEYWORDS.defaults[name] for name in NOT_IN_LANES]
ON_WORKERS = Device("cpu", "each worker of the executor finds its device; the program has the nets on its CPU")


@contextmanager
def _started_fit(
    nets: SingleNetBase | PopulationBase, X: Any, y: Any, keywords: dict[str, Any], watch: Stopwatch
) -> Iterator[tuple[FitTask, StopFlag, Saver | None]]:
    """Context of a fit, with its task, the flag that ends it, and the saver of its checkpoints, if it has some."""
    is_population, file = "executor" in keywords, None
    reads = not is_array(X, y) if not is_population else type(X) is not np.ndarray and reads_rows(X, y)
    if keywords["checkpoint"] is not None:
        from .checkpoint_identity import file_of, memory_limit_of

        file = file_of(keywords, "population" if is_population else "net")
        if reads and keywords["memory_limit"] is None:
            row_bytes = (nets.network.n_features + nets.network.n_outputs) * nets.dtype.itemsize
            keywords["memory_limit"] = memory_limit_of(file, row_bytes)
    with (
        stop_flag() as flag,
        notices(keywords["verbose"] > 0),
        rows_of(X, y, nets, keywords) if reads else nullcontext((X, y)) as (X, y),
    ):
        if file is None:
            task, saver = _task_of(nets, X, y, keywords, watch), None
        else:
            from .checkpoint_identity import random_numbers_of, saver_of

            with random_numbers_of(nets, file):
                task = _task_of(nets, X, y, keywords, watch)
                saver = saver_of(file, nets, task)
        if flag.is_set():  # nothing has changed yet
            raise KeyboardInterrupt
        with _params_for_standardized(nets, task.units) if task.units is not None else nullcontext():
            yield task, flag, saver


def _task_of(
    nets: SingleNetBase | PopulationBase, X: Any, y: Any, keywords: dict[str, Any], watch: Stopwatch
) -> FitTask:
    """Return the task of a fit; the device is chosen here."""
    pop: Any = nets if "executor" in keywords else None
    network, dtype, n_nets, epochs = nets.network, nets.dtype, 0 if pop is None else pop.n_nets, keywords["epochs"]
    optimizer, executor, monitor = keywords["optimizer"], keywords.get("executor"), None
    rng = None if pop is None else cache(lambda: np.random.default_rng([pop.seed, pop.fits]))  # if something is drawn
    if pop is not None:
        optimizer = optimizer.for_nets(n_nets, rng)
    # rows
    fraction, validation_data = keywords["validation_fraction"], keywords["validation_data"]
    if fraction:
        fraction = checked_share(fraction, validation_data)
    # Of a fraction, class weights are computed for the samples that remain in training.
    weights = keywords["sample_weight"], None if fraction else keywords["class_weight"]
    if isinstance(X, OnDisk):
        rows: InMemory | OnDisk = X.weighted(*weights, network, n_nets or 1)
    else:
        rows = InMemory(*validated_samples(X, y, network, dtype, *weights, n_nets))
    held_out, converged = None, keywords.get("converged")
    if validation_data is not None or fraction or converged is not None:
        draw_seed = (lambda: fit_seed(nets.seed, nets.fits)) if rng is None else (lambda: int(rng().integers(2**63)))
        settings = validation_data, fraction, keywords["class_weight"], converged
        rows, held_out = with_held_out(rows, network, dtype, *settings, draw_seed)
    rows, held_out, units = _standardized(rows, held_out, network) if nets.standardize else (rows, held_out, None)
    if keywords["early_stopping"] is not None or keywords["metrics"]:
        _check_records(nets, keywords, rows, held_out)
    batch_size = batch_rows(keywords["batch_size"], rows.n_samples, optimizer.rule)
    n_records = 0 if pop is not None else (2 + len(keywords["metrics"])) * (1 if held_out is None else 2)
    check_epochs(epochs, -(-rows.n_samples // batch_size), n_records)
    if keywords["monitor"]:
        with FORK_LOCK:
            from ..diagnosis.monitor import Monitor  # takes longer to import than all the rest

        monitor = Monitor(network, rows.shown, epochs, None if pop is None else rows.strides)
    # device
    if executor is not None:
        nets.device = ON_WORKERS if nets._named_device == "auto" else nets.device
    elif nets._named_device == "auto" and optimizer.rule.is_second_order:
        nets.device = Device("cpu", f"{type(optimizer).__name__} trains on the CPU alone")
    elif nets._named_device == "auto":
        # nets on rows on disk are trained one after another
        chooser = nets if pop is None or isinstance(rows, InMemory) else pop.net(0)
        chooser._choose_device(X if isinstance(rows, InMemory) else None, epochs * rows.n_samples, batch_size)
        nets.device = chooser.device
    if pop is not None and isinstance(rows, InMemory):
        rows, held_out = _placed(rows, held_out, nets.device if executor is None else ON_WORKERS)
    # draws
    shuffle, drops = keywords["shuffle"] and batch_size < rows.n_samples, any(network.dropout)
    draws = shuffle or drops or isinstance(rows, OnDisk)
    if pop is None:
        seeds, dropout = np.array([fit_seed(nets.seed, nets.fits) if draws else 0]), np.array([*network.dropout, 0.0])
    else:
        seeds = fit_seeds(pop.seeds, pop.fits) if draws else pop.seeds
        dropout = _dropout_rates(pop) if drops else np.zeros(network.layout.n_layers)
    limit, carried = keywords["time_limit"], keywords["optimizer_state"]
    return FitTask(
        network=network,
        device=nets.device,
        dtype=dtype,
        precision=nets.precision,
        params=nets._params.reshape(n_nets or 1, -1),
        seeds=seeds,
        l2=network.l2 if pop is None else pop.l2,
        dropout=dropout,
        rows=rows,
        held_out=held_out,
        units=units,
        batch_size=batch_size,
        shuffle=shuffle,
        optimizer=optimizer,
        factors=None if keywords["schedule"] is None else varying_factors(keywords["schedule"]),
        keywords=dict(zip(IN_TASK, map(keywords.get, IN_TASK), strict=True)),
        trains_together=[*map(keywords.get, NOT_IN_LANES)] == DEFAULTS_IN_LANES,
        optimizer_states=[] if carried is None else states_of_nets(carried, network.layer_sizes, n_nets or None),
        time_limit=None if limit is None else TimeLimit(limit, watch),
        monitor=monitor,
        is_population=pop is not None,
    )


def _standardized(
    rows: InMemory | OnDisk, held_out: Samples | None, network: Network
) -> tuple[InMemory | OnDisk, Samples | None, Units]:
    """Return standardised rows and held-out samples, and their units."""
    from ..data.standardization import Units

    units = Units.of(rows.data, rows.strides, network, pooled=held_out is not None)  # which all nets share
    return rows.standardized(units), None if held_out is None else units.standardized(held_out), units


@contextmanager
def _params_for_standardized(nets: SingleNetBase | PopulationBase, units: Units) -> Iterator[None]:
    """Context in which the parameters of nets are for standardised rows, as initial ones are.

    If the fit does not begin, or fails with the nets of a population half trained, they are left as they were.
    """
    n_fits, before = nets.fits, nets.params.copy()
    params = nets.params.reshape(-1, nets.network.layout.n_params)
    if n_fits:
        params[:] = units.for_standardized(params, nets.network)
    try:
        yield
    finally:
        if nets.fits > n_fits:
            params[:] = units.in_units(params, nets.network)
        else:
            nets.params = before


def _placed(rows: InMemory, held_out: Samples | None, device: Device) -> tuple[InMemory, Samples | None]:
    """Return samples on the device of a population: copied once, for all nets, restarts and evaluations."""
    held_out_X = rows.data.X if held_out is None else held_out.X
    if device.is_host and type(rows.data.X) is np.ndarray and type(held_out_X) is np.ndarray:
        return rows, held_out
    place = backend(device).place
    with device.on():
        return rows.with_data(place(rows.data)), None if held_out is None else place(held_out)


def _dropout_rates(pop: PopulationBase) -> np.ndarray:
    """Return the dropout rates of the layers, (n_layers,), or (n_nets, n_layers) if nets differ."""
    rates = np.zeros((pop.n_nets if is_per_net(pop.dropout) else 1, pop.network.layout.n_layers))
    rates[:, :-1] = np.asarray(pop.dropout)[..., None]
    return rates if len(rates) > 1 else rates[0]


def _check_records(
    nets: SingleNetBase | PopulationBase, keywords: dict[str, Any], rows: InMemory | OnDisk, held_out: Samples | None
) -> None:
    """Raise ValueError if the targets do not suit the metrics, or the record that early stopping looks at."""
    if keywords["early_stopping"] is not None:
        held_out_metric = None if held_out is None else held_out.metric
        keywords["early_stopping"].check_monitor(rows.metric, held_out_metric, keywords["metrics"])
    for samples in (rows.data, held_out) if keywords["metrics"] else ():
        if samples is not None:
            check_metrics(keywords["metrics"], nets.network, samples)


# ---- one net


def fit_mlp(net: SingleNetBase, X: Any, y: Any, keywords: dict[str, Any], watch: Stopwatch) -> History:
    """Train a net and return its history.

    X, y : arguments of MLP.fit, or rows of a row file (OnDisk) and None
    keywords : dict     other keywords of fit, checked by fit/keywords.py
    watch : Stopwatch     started when the fit began
    """
    if keywords["verbose"] == 2:
        from .epoch_lines import EpochLines

        keywords["callbacks"] = (*keywords["callbacks"], EpochLines(keywords["epochs"], line_start()))
    with _started_fit(net, X, y, keywords, watch) as (task, flag, saver):
        history = _fit_net(net, task, flag, saver, watch)
    if flag.is_set() and history.stopped_by != "divergence":
        history.stopped_by = "interrupt"  # also if it came after the last call
    return history


def _fit_net(net: SingleNetBase, task: FitTask, flag: StopFlag, saver: Saver | None, watch: Stopwatch) -> History:
    history = History(net)
    history.optimizer = task.optimizer
    history.samples = sample_for_plots(net.network, {"training": task.rows.shown, "validation": task.held_out})
    if task.units is not None:
        history.samples = task.units.of_rows(history.samples)
    validation_plan = None
    try:
        with net.device.on():
            fit = Fit(OneNet(task, 0, net._padded, history, task.epochs), saver=saver)
            if task.held_out is not None:
                fit.validation_plan = validation_plan = net._plan_for(task.held_out.n_samples)
            if saver is not None:
                saver.begin(task, Outcome.empty(task), 0)
            fit.progress = progress_of_fit(task.epochs, task.verbose) if task.verbose else None
            hooks_of(fit)
            net.history, net.fits = history, net.fits + 1
            try:
                fit_net(fit, flag)
            finally:
                history.seconds, history.compile_seconds = watch.read()
                if task.callbacks:
                    tell_end(task.callbacks, history)
            if saver is not None:
                saver.save_if_new()
    finally:
        if validation_plan is not None:
            validation_plan.release()
    return history


# ---- several nets


def fit_population(pop: PopulationBase, X: Any, y: Any, keywords: dict[str, Any], watch: Stopwatch) -> PopulationResult:
    """Train the nets and return their result.

    X, y : arguments of Population.fit, or rows of a row file (OnDisk) and None
    keywords : dict     other keywords of fit, checked by fit/keywords.py
    watch : Stopwatch     started when the fit began
    """
    executor, error = keywords["executor"], None
    if executor is not None and device_of(X) is not None:  # workers get arrays of the host
        X = as_numbers(X, "X")
    with _started_fit(pop, X, y, keywords, watch) as (task, flag, saver):
        draws = pop.init, pop.seeds, pop.init_scale
        if executor is None:
            outcome, reason = fit_nets(task, draws, flag, saver)
        else:
            from ..executors.executor_kinds import workers_of
            from .slices_on_workers import WorkersFit

            with workers_of(executor) as workers:
                outcome, reason, error = WorkersFit(workers, task, pop._named_device, draws, flag, saver).run()
        if error is not None and (outcome.status == RUNNING).all():  # no net has begun
            raise error
        if task.monitor is not None:
            task.monitor.look_at_nets(outcome, at_end=True)
        pop.fits += 1
        pop.result = result = result_of(pop, task, outcome, reason == "interrupt", watch)
    if flag.is_set() and not result.interrupted:  # after the last call
        pop.result = result = replace(result, interrupted=True)
    if (result.status == DIVERGED_NET).any():
        result.warn_of_divergence()
    if error is not None:
        raise error
    return result
