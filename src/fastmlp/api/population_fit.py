"""What Population.fit does before and after training: checks of restarts, placed samples, and the result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..console.compile_notice import CompileNotices
from ..console.stopwatch import Stopwatch
from ..convergence import Converged, as_converged
from ..data.population_data import Strides
from ..devices import Device, backend, device_of
from ..errors import checked_count, is_per_net
from ..kernels.structs import METRIC_NONE, Samples
from ..network.spec import Network
from ..optimizers import setting_text, settings_of
from ..population_result import PopulationResult
from ..population_training.evaluate import converged_nets
from ..population_training.task import PopulationOutcome, PopulationTask
from ..schedules import schedule_text

if TYPE_CHECKING:
    from ..diagnosis.monitor import PopulationMonitor
    from ..population import Population


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


ON_WORKERS = Device("cpu", "the workers of an executor compute on CPUs")


def refuse_with_executor(device: str, X: Any, checkpoint: Any = None, time_limit: Any = None) -> None:
    """Raise ValueError for what cannot be combined with an executor.

    device : name of the device, as the user gave it
    """
    if checkpoint is not None:
        raise ValueError(
            "checkpoint= cannot be combined with executor=: leave one of them out. An interrupted fit with an executor "
            "keeps its finished nets."
        )
    if time_limit is not None:
        raise ValueError(
            "time_limit= cannot be combined with executor=: leave one of them out. Ctrl-C ends a fit with an executor, "
            "and keeps its finished nets."
        )
    if device.startswith("cuda") or device_of(X) is not None:
        raise ValueError(
            "executor= trains and predicts on the CPUs of its workers: pass arrays of the host, and device='cpu'."
        )


def run_with_executor(
    executor: Any, pop: Population, task: PopulationTask, epochs: int, restart_after: int | None
) -> tuple[PopulationOutcome, np.ndarray, bool, BaseException | None]:
    """Train the nets on the workers of an executor; arguments and result are those of WorkersFit and its run."""
    from ..executors.workers import workers_of  # here: other processes need not import it
    from ..population_training.executor_fit import Draws, WorkersFit

    draws = Draws(pop.network, pop.init, pop.seeds, pop.init_scale)
    with workers_of(executor) as workers:
        return WorkersFit(workers, task, epochs, restart_after, draws).run()


def predict_with_executor(
    executor: Any, pop: Population, data: Samples, strides: Strides, members: np.ndarray, output: np.ndarray
) -> None:
    """Write the outputs of nets, computed on the workers of an executor; arguments are those of WorkersPrediction."""
    from ..executors.workers import workers_of
    from ..population_training.executor_prediction import WorkersPrediction

    with workers_of(executor) as workers:
        WorkersPrediction(workers, pop.network, pop.device, pop.params, data, strides, members, output).run()


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
    settings = settings_of(task.optimizer).items()
    shared = [f"{name}={setting_text(value)}" for name, value in settings if not is_per_net(value)]
    return {
        "epochs": epochs,
        "batch_size": task.batch_size,
        "optimizer": f"{type(task.optimizer).__name__}({', '.join(shared)})",
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
