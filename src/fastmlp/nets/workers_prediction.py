"""Outputs of a population's nets for many rows, computed on the workers of an executor: a task has some of the rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..data.population_data import Strides
from ..devices import Device
from ..executors.gpu_of_worker import device_here
from ..executors.task_errors import check_version, version_here
from ..executors.task_scheduler import Task, Tasks
from ..executors.workers import Workers
from ..fit.nets_per_task import FIRST_RATE, MOST_BYTES, TASK_SECONDS
from ..kernels.structs import Samples
from ..network.spec import Network
from .nets_evaluation import evaluate_nets

MOST_OUTPUT_BYTES = 8 * MOST_BYTES  # of a task's result


class RowsTask(NamedTuple):
    """Task of a worker that predicts some rows; it also reads the parameters of all nets, which are shared."""

    rows: slice
    network: Network
    device: Device
    data: Samples  # of these rows, for all nets or net by net
    strides: Strides
    members: np.ndarray
    precision: str
    version: str  # of this package, in the program that sends the task


class WorkersPrediction:
    """Prediction on the workers of an executor.

    params : (n_nets, n_params)
    data, strides : samples of all rows
    members : (n_members,)     numbers of the nets that predict
    precision : of the nets
    output : (n_members, n_samples, n_outputs)     written
    """

    def __init__(
        self,
        workers: Workers,
        network: Network,
        device: Device,
        params: np.ndarray,
        data: Samples,
        strides: Strides,
        members: np.ndarray,
        precision: str,
        output: np.ndarray,
    ):
        self.workers, self.network, self.device, self.params = workers, network, device, params
        self.data, self.strides, self.members, self.precision, self.output = data, strides, members, precision, output
        products = len(members) * sum(i * j for i, j in network.layout.shapes)
        row_bytes = params.itemsize * network.n_features * (len(params) if strides[0] else 1)
        output_bytes = output.itemsize * len(members) * network.n_outputs
        limits = TASK_SECONDS * FIRST_RATE / products, MOST_BYTES / row_bytes, MOST_OUTPUT_BYTES / output_bytes
        self._most = max(1, int(min(limits)))
        self._first = 0  # row of the next task

    def run(self) -> None:
        """Write the outputs.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C; some outputs are not written then.
        """
        Tasks(self.workers, predict_rows, [self.params], self._cut, self._take).run()

    def _cut(self, n_slots: int) -> Task | None:
        n_left = self.data.n_samples - self._first
        if not n_left:
            return None
        n = min(n_left, self._most, -(-n_left // n_slots))
        rows = slice(self._first, self._first + n)
        self._first = rows.stop
        features, strides = self.data.X.reshape(-1, self.data.n_samples, self.network.n_features), self.strides
        own = np.ascontiguousarray(features[:, rows])
        data = self.data._replace(n_samples=n, X=own.reshape(-1))
        own_strides = (n * self.network.n_features if strides[0] else 0, 0, 0)
        argument = RowsTask(
            rows, self.network, self.device, data, own_strides, self.members, self.precision, version_here()
        )
        return Task(argument, f"rows {rows.start} to {rows.stop - 1}")

    def _take(self, task: Task, result: np.ndarray) -> None:
        self.output[:, task.argument.rows] = result


def predict_rows(arrays: list[np.ndarray], argument: RowsTask) -> np.ndarray:
    """Return the outputs (n_members, n_rows, n_outputs) of one task; this runs on the worker.

    arrays : the parameters of all nets
    """
    check_version(argument.version)
    (params,) = arrays
    n_rows = argument.rows.stop - argument.rows.start
    output = np.empty((len(argument.members), n_rows, argument.network.n_outputs), params.dtype)
    device = device_here(argument.device)
    given = argument.network, device, params, argument.data, argument.strides, argument.precision
    evaluate_nets(*given, argument.members, output.reshape(-1))
    return output
