"""Implementation of fit and predict of Population with an executor, whose workers train and predict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.population_data import Strides
from ..devices import Device, device_of
from ..kernels.structs import Samples
from ..population_training.task import PopulationOutcome, PopulationTask

if TYPE_CHECKING:
    from ..population import Population

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
    fit: WorkersFit | None = None
    try:
        with workers_of(executor) as workers:
            fit = WorkersFit(workers, task, epochs, restart_after, draws)
            return fit.run()
    except KeyboardInterrupt:  # before or after the tasks, such as while the shared arrays are deleted
        if fit is None:
            raise
        return fit.outcome, fit.restarts, True, None


def predict_with_executor(
    executor: Any, pop: Population, data: Samples, strides: Strides, members: np.ndarray, output: np.ndarray
) -> None:
    """Write the outputs of nets, computed on the workers of an executor; arguments are those of WorkersPrediction."""
    from ..executors.workers import workers_of
    from ..population_training.executor_prediction import WorkersPrediction

    with workers_of(executor) as workers:
        WorkersPrediction(workers, pop.network, pop.device, pop.params, data, strides, members, output).run()
