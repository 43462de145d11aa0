"""The fit of a Population, from the user's arguments to its result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..console.compile_notice import CompileNotices
from ..console.stopwatch import Stopwatch
from ..convergence import Converged, as_converged
from ..data.population_data import Strides, fit_data
from ..devices import Device, backend
from ..errors import checked_count, is_per_net
from ..interface.setting_checks import LateGenerator
from ..kernels.formulas.net_seeds import fit_seeds
from ..kernels.structs import METRIC_NONE, RUNNING, Samples
from ..kernels.system import interrupts
from ..network.spec import Network
from ..optimizers import settings_of
from ..population_result import PopulationResult
from ..population_training.fit_with_restarts import run
from ..population_training.nets_evaluation import converged_nets
from ..population_training.task_and_outcome import PopulationOutcome, PopulationTask
from ..schedules.checked_factors import schedule_text
from ..training.interruption import trained_on
from ..training.time_limit import TimeLimit
from .fit_arguments import FitArguments
from .fit_keywords import PopulationFitKeywords
from .optional_checkpoints import checkpoint_file, population_saver, random_numbers_of
from .per_net_settings import text_of_shared_settings
from .population_base import PopulationBase
from .population_prediction import reads_rows
from .with_executor import ON_WORKERS, choice_of_workers, refuse_with_executor, run_with_executor

if TYPE_CHECKING:
    from ..diagnosis.monitor import PopulationMonitor


def fit_population(
    pop: PopulationBase, X: Any, y: Any, given: PopulationFitKeywords, watch: Stopwatch
) -> PopulationResult:
    """Train the nets and return their result.

    X, y, given : arguments of Population.fit
    watch : Stopwatch     started when the fit began
    """
    arguments = FitArguments.checked(given).for_dropout(pop.network)
    rule, restart_after = checked_restarts(given["converged"], given["restart_after"])
    executor = given["executor"]
    if executor is not None:
        refuse_with_executor(X, given)
    file = checkpoint_file(given, "population", arguments.verbose)
    if reads_rows(X, y):
        from .stream_arguments import StreamArguments, needing_all_rows
        from .streamed_fit import RowFile, fit_population_rows, read_rows

        stream = StreamArguments.checked(given["memory_limit"], given["row_cache"], file, pop)
        refused = needing_all_rows(given) | {"time_limit": arguments.time_limit}
        found = read_rows(pop, X, y, stream, arguments, refused)
        if isinstance(found, RowFile):
            of_rows = pop, found, arguments, stream, given["validation_data"], given["shuffle"]
            pop.result = trained_on(found, lambda: fit_population_rows(*of_rows, file))
            return pop.result
        X, y = found.X, found.y
    with random_numbers_of(pop, file):
        task, samples = _prepared(pop, arguments, X, y, given, rule, watch)
        schedule, _ = arguments.schedules
        further = {"epochs": arguments.epochs, "restart_after": restart_after, "schedule": schedule}
        further["on_workers"] = executor is not None
        saver = population_saver(file, pop, task, samples, further)
    error: BaseException | None = None
    if executor is None:
        outcome, restarts, interrupted = run(task, arguments.epochs, restart_after, pop._draw, saver)
    else:
        of_fit = pop, task, arguments.epochs, restart_after, saver
        outcome, restarts, interrupted, error = run_with_executor(executor, *of_fit)
    if error is not None and (outcome.status == RUNNING).all():  # no net has begun: the population stays as it was
        raise error
    with interrupts.deferred():  # Ctrl-C here must not leave trained nets without their result
        if task.watch is not None:
            task.watch.look(outcome, at_end=True)
        pop.fits += 1
        settings_of_nets = {"l2": pop.l2, "dropout": pop.dropout, "init_scale": pop.init_scale}
        described = arguments_of(task, arguments.epochs, *arguments.schedules)
        pop.result = result = result_of(task, outcome, restarts, interrupted, settings_of_nets, described, watch)
    result.warn_of_divergence()
    if error is not None:
        raise error
    return result


def _prepared(
    pop: PopulationBase,
    arguments: FitArguments,
    X: Any,
    y: Any,
    given: PopulationFitKeywords,
    rule: Converged | None,
    watch: Stopwatch,
) -> tuple[PopulationTask, dict[str, Samples | None]]:
    """Return the task of a fit, and its samples by the name of their part; the device is chosen here.

    X, y, given : arguments of Population.fit
    rule : convergence rule
    """
    rng, validation = LateGenerator([pop.seed, pop.fits]), (given["validation_data"], given["validation_fraction"])
    nets_optimizer = arguments.optimizer.for_nets(pop.n_nets, rng)
    weights = given["sample_weight"], given["class_weight"]
    with CompileNotices(arguments.verbose > 0):
        data, strides, held_out = fit_data(X, y, pop.network, pop.dtype, pop.n_nets, *weights, validation, rule, rng)
    arguments.check_monitor(data, held_out)
    rows = arguments.batch_rows(data.n_samples, 0)
    shuffle, drops = bool(given["shuffle"]) and rows < data.n_samples, any(pop.network.dropout)
    executor, choice = given["executor"], None
    on_workers = executor is not None
    if on_workers:
        choice = choice_of_workers(executor, pop, data, arguments.epochs, rows, shuffle)
        pop.device = pop.device if choice is None else choice.device
    else:
        pop._choose_device(X, arguments.epochs * data.n_samples, rows, pop._in_one_launch())
    # Workers place the samples on their devices; held-out samples of the user may be on a GPU.
    placed, placed_held_out = placed_data(ON_WORKERS if on_workers else pop.device, data, held_out)
    task = PopulationTask(
        network=pop.network,
        device=pop.device,
        dtype=pop.dtype,
        params=pop.params,
        seeds=fit_seeds(pop.seeds, pop.fits) if shuffle or drops else pop.seeds,  # else nothing is drawn
        optimizer=nets_optimizer,
        l2=pop.l2,
        dropout=_dropout_rates(pop, drops),
        data=placed,
        strides=strides,
        held_out=placed_held_out,
        batch_size=rows,
        shuffle=shuffle,
        factors=arguments.factors,
        converged=rule,
        early_stopping=arguments.early_stopping,
        verbose=arguments.verbose,
        precision=pop.precision,
        dropout_factors=arguments.dropout_factors,
        watch=population_watcher(pop.network, data, strides) if given["monitor"] else None,
        time_limit=None if arguments.time_limit is None else TimeLimit(arguments.time_limit, watch),
    )
    if on_workers:
        whole = task.whole if choice is None else task.whole._replace(family=choice.family)
        task, data, held_out = replace(task, part_of=whole), placed, placed_held_out
    return task, {"training": data, "validation": held_out}


def _dropout_rates(pop: PopulationBase, drops: bool) -> np.ndarray:
    """Return the dropout rates of the layers, (n_layers,), or (n_nets, n_layers) if nets differ."""
    rates = np.zeros((pop.n_nets if is_per_net(pop.dropout) else 1, pop.network.layout.n_layers))
    if drops:
        rates[:, :-1] = np.asarray(pop.dropout)[..., None]
    return rates if len(rates) > 1 else rates[0]


def checked_restarts(converged: Any, restart_after: Any) -> tuple[Converged | None, int | None]:
    """Return the convergence rule and the number of epochs until a restart, checked; arguments as for Population.fit.

    Raises
    ------
    ValueError
        If one is invalid, or there are restarts without a rule.
    """
    rule = as_converged(converged)
    if restart_after is not None:
        restart_after = checked_count("restart_after", restart_after)
        if rule is None:
            raise ValueError("restart_after needs converged=..., which says when a net has learned.")
    return rule, restart_after


def placed_data(device: Device, data: Samples, held_out: Samples | None) -> tuple[Samples, Samples | None]:
    """Return the samples on the device: they are copied once, for all nets, restarts and evaluations."""
    with device.on():
        place = backend(device).place
        return place(data), None if held_out is None else place(held_out)


def population_watcher(network: Network, data: Samples, strides: Strides) -> PopulationMonitor:
    """Return the monitor of fit(monitor=True)."""
    from ..diagnosis.monitor import population_monitor  # takes longer to import than all the rest

    return population_monitor(network, data, strides)


def arguments_of(task: PopulationTask, epochs: int, schedule: Any, dropout_schedule: Any) -> dict[str, Any]:
    """Return arguments of fit and data sizes as numbers and text, with the keys of History.settings.

    The optimiser is written without settings that differ between nets.
    """
    return {
        "epochs": epochs,
        "batch_size": task.batch_size,
        "optimizer": text_of_shared_settings(task.optimizer),
        "schedule": schedule_text(schedule),
        **({} if dropout_schedule is None else {"dropout_schedule": schedule_text(dropout_schedule)}),
        "shuffle": task.shuffle,
        "early_stopping": repr(task.early_stopping),
        "n_samples": task.data.n_samples,
        "n_validation": 0 if task.held_out is None else task.held_out.n_samples,
        "weighted": task.data.has_weights,
        **({} if task.time_limit is None else {"time_limit": task.time_limit.seconds}),
    }


def result_of(
    task: PopulationTask,
    outcome: PopulationOutcome,
    restarts: np.ndarray,
    interrupted: bool,
    settings: dict[str, Any],
    arguments: dict[str, Any],
    watch: Stopwatch,
) -> PopulationResult:
    """Return the result of a fit.

    restarts : (n_nets,)     number of restarts of each net
    interrupted : bool     whether Ctrl-C ended the fit
    settings : settings of the nets besides those of the optimiser; the result keeps those that differ per net
    arguments : arguments of fit, as arguments_of returns them
    watch : Stopwatch     started with the fit
    """
    settings = {**settings_of(task.optimizer), **settings}
    monitored = task.monitor is not None
    with CompileNotices(task.verbose > 0):
        converged = converged_nets(task, outcome)
    seconds, compile_seconds = watch.read()
    return PopulationResult(
        converged=converged,
        epochs=outcome.epochs,
        loss=outcome.loss,
        accuracy=outcome.accuracy if task.data.metric != METRIC_NONE else None,
        monitor=task.monitor,
        best_value=outcome.best_value if monitored else None,
        best_epoch=np.maximum(outcome.best_epochs, 0) - 1 if monitored else None,
        restarts=restarts,
        status=outcome.status,
        record_epochs=outcome.record_epochs,
        records=outcome.records,
        seconds=seconds,
        compile_seconds=compile_seconds,
        interrupted=interrupted,
        settings={name: value for name, value in settings.items() if is_per_net(value)},
        judged_by=task.judged_by,
        arguments=arguments,
    )
