"""Engine that trains nets together, each in a SIMD lane or on a GPU: kernel calls of some epochs."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import Any

import numpy as np

from ..devices import backend
from ..execution.dispatch import NetsFit, choose_nets
from ..execution.plan import PopulationPlan
from ..execution.unrolled_code import pays_to_compile
from ..kernels.formulas.update_rules import CODES
from ..kernels.structs import (
    DIVERGED_NET,
    FULL_ACCURACY,
    MONITOR_ACCURACY,
    MONITOR_LOSS,
    MONITOR_NONE,
    MONITOR_VALIDATION_ACCURACY,
    MONITOR_VALIDATION_LOSS,
    NET_DEFAULTS,
    NET_HYPER,
    NO_EPOCH,
    NONE_SUSPENDED,
    PopulationState,
    StopCriteria,
    SuspendedNets,
    TrainConfig,
)
from ..nets.nets_evaluation import nets_and_rows
from ..optimizers import Optimizer
from ..runtime.memory_limits import check_memory
from ..schedules.checked_schedule import factors_at
from .outcome import Outcome
from .rows import InMemory
from .task import FitTask

MONITORS = {
    None: MONITOR_NONE,
    "loss": MONITOR_LOSS,
    "accuracy": MONITOR_ACCURACY,
    "validation_loss": MONITOR_VALIDATION_LOSS,
    "validation_accuracy": MONITOR_VALIDATION_ACCURACY,
}
MOST_EPOCHS = 2**40  # per kernel call; on a CPU, epochs of a call count across nets that follow each other in a lane


class Lanes:
    """Engine of nets that are trained together. Early stopping, convergence and records are the kernels' own.

    task : FitTask     its params are trained in place
    outcome : Outcome     written. outcome.best_value has the lowest monitored value, since kernels minimise: of an
        accuracy, the negative
    members : (n_members,)     numbers of the nets to train
    n_epochs : int     largest number of epochs per net
    waiting : SuspendedNets     nets in the middle of their training, of which the first are trained; or none

    At the end every net has the parameters reached so far or, with early stopping, those of its best epoch.
    """

    at_epoch_end, steps_in_epoch, n_batches = True, 0, 1  # a step of this engine is an epoch

    def __init__(self, task: FitTask, outcome: Outcome, members: np.ndarray, n_epochs: int, waiting: SuspendedNets):
        self.task, self.outcome, self.n_epochs, self._net = task, outcome, n_epochs, task.net
        assert isinstance(task.rows, InMemory), "dispatch trains others one by one"
        self._data = task.rows.data
        self._criteria = stop_criteria(task, n_epochs)
        self._config = train_config(task, self._criteria)
        self._held_out = self._data if task.held_out is None else task.held_out
        self._members, self._waiting = members, waiting
        self.plan = training_plan(task, len(members), self._criteria)
        self.last_call = 0, 0, 0.0  # threads, epochs and seconds
        self._stack = ExitStack()

    def __enter__(self) -> Lanes:
        self._team, self.run_of_kernels = self._stack.enter_context(self.plan.begin(self._net))
        run, waiting = self.run_of_kernels, self._waiting
        if len(waiting.net_index):
            self._members = self._members[: run.most_resumed]
        self.n_members = n = len(self._members)
        self._nets = training_state(self.task, self.outcome, self._members, self.n_epochs)
        if len(waiting.net_index):
            run.resume(self._nets, waiting.part(0, n))
            self._waiting = waiting.part(n, len(waiting.net_index))
        return self

    def __exit__(self, *error: Any) -> None:
        try:
            self._record_unfinished()
            self.run_of_kernels.collect()
        finally:
            self._stack.__exit__(*error)

    @property
    def n_finished(self) -> int:
        return self.run_of_kernels.n_finished

    @property
    def trains_all_at_once(self) -> bool:
        """Whether each net in training has had the epochs of all calls; the windows of a GPU follow each other."""
        return self.task.device.is_host and self.n_members <= self.run_of_kernels.most_resumed

    @property
    def steps_left(self) -> int:
        return MOST_EPOCHS if self.n_finished < self.n_members else 0

    def run(self, n: int) -> str:
        """Train n epochs of the nets in training."""
        started = time.perf_counter()
        arguments = self._net, self._data, self._config, self._criteria, self._nets, self._held_out, self.run_of_kernels
        self.plan.backend.train_nets(self._team, *arguments, n)
        self.last_call = self.plan.choice.n_threads, n, time.perf_counter() - started
        return ""

    def suspended(self) -> SuspendedNets:
        """Return the nets in the middle of their training, and those that wait for them."""
        now = self.run_of_kernels.suspended(self._nets, self.task.monitored is not None)
        parts = [part for part in (now, self._waiting) if len(part.net_index)]
        return SuspendedNets.joined(parts) if parts else NONE_SUSPENDED

    def _record_unfinished(self) -> None:
        """Store parameters and records of the nets in training; with early stopping, those of their best epochs."""
        if not self.steps_left:
            return
        task, outcome, watches = self.task, self.outcome, self.task.monitored is not None
        now = self.run_of_kernels.suspended(self._nets, watches)
        for row, net in enumerate(now.net_index):
            params, best_epoch = now.params[row], now.best_epochs[row] * watches
            _, best_value, loss, n_correct = now.numbers[row]
            if not np.isfinite(params).all():  # the next check would have told that the net has diverged
                params, loss, outcome.status[net] = now.safe_params[row], np.nan, DIVERGED_NET
            if best_epoch:
                params = now.best_params[row]
                outcome.best_epochs[net], outcome.best_value[net] = best_epoch, best_value
            task.params[net], outcome.epochs[net] = params, now.epochs[row]
            outcome.loss[net] = loss if now.epochs[row] else np.nan
            outcome.accuracy[net] = n_correct / self._data.n_samples


def train_config(task: FitTask, criteria: StopCriteria) -> TrainConfig:
    """Return batches, update rule and learning-rate factors of a fit; settings are per net, in PopulationState."""
    factors = np.ones(1)
    if task.factors is not None:
        n_steps = criteria.n_epochs * task.n_batches
        check_memory(
            16 * n_steps, f"The learning rates of {n_steps:,} steps", "Train fewer epochs, or leave schedule out."
        )
        factors = factors_at(task.factors, 0, n_steps, n_steps)
    layer_factors = task.optimizer.factors_of_layers(task.network.layout.shapes)
    return TrainConfig(
        batch_size=task.batch_size,
        shuffle=task.shuffle,
        seed=0,
        rule=CODES[task.optimizer.rule.name],
        hyper=np.zeros(1),
        factors=factors,
        layered=layer_factors.size > 0,
        layer_factors=layer_factors,
    )


def stop_criteria(task: FitTask, n_epochs: int) -> StopCriteria:
    """Return the criteria by which a net is finished."""
    rule, stopping = task.converged, task.early_stopping
    stop_loss = -np.inf if rule is None or rule.loss is None else float(rule.loss)
    n_correct = np.inf
    if rule is not None and rule.accuracy is not None:
        n_correct = float(rule.accuracy * task.rows.n_samples * FULL_ACCURACY)
    return StopCriteria(
        n_epochs=n_epochs,
        # Only then is there a factor per step, which takes memory.
        scheduled=task.factors is not None,
        stop_loss=stop_loss,
        stop_n_correct=n_correct,
        monitor=MONITORS[task.monitored],
        patience=stopping.patience if stopping else 0,
        min_delta=float(stopping.min_delta) if stopping else 0.0,
    )


def training_plan(task: FitTask, n_members: int, criteria: StopCriteria) -> PopulationPlan:
    """Return the plan by which n_members nets of the task are trained together."""
    network, n_samples, rule, limit = task.network, task.rows.n_samples, task.optimizer.rule, task.time_limit
    of_rule = rule.is_second_order, rule.needs_curvature
    fit = NetsFit(task.dtype.itemsize, rule.n_state, n_samples, task.batch_size, *of_rule)
    compiles = limit is None or pays_to_compile(limit.seconds)
    validates = criteria.monitor in (MONITOR_VALIDATION_ACCURACY, MONITOR_VALIDATION_LOSS)
    population = task.whole.family, task.whole.n_nets, n_members, fit, criteria.n_epochs, validates, compiles
    return PopulationPlan(
        network=network,
        device=task.device,
        backend=backend(task.device),
        dtype=task.dtype,
        choice=choose_nets(network, task.device, *population),
        n_samples=n_samples,
        metric=task.rows.metric,
        rule=rule,
        shuffle=task.shuffle,
        precision=task.precision,
    )


def hyper_table(optimizer: Optimizer, l2: Any, n_nets: int) -> np.ndarray:
    """Return settings (n_nets, len(NET_HYPER)), in the order of NET_HYPER; one row if all nets have equal settings.

    l2 : float or (n_nets,)     strength of the L2 penalty
    """
    values = {**optimizer.settings, "l2": l2}
    columns = list(map(values.get, NET_HYPER, NET_DEFAULTS))
    if np.ndarray not in map(type, columns):
        return np.array([columns])
    table = np.empty((n_nets, len(NET_HYPER)))
    for k, column in enumerate(columns):
        table[:, k] = column
    return table


def training_state(task: FitTask, outcome: Outcome, members: np.ndarray, n_epochs: int) -> PopulationState:
    """Return the state of a fit, which writes the parameters of the task and the arrays of the outcome.

    members : (n_members,)     numbers of the nets to train
    n_epochs : int     largest number of epochs per net
    """
    table = hyper_table(task.optimizer, task.l2, task.n_nets)
    rule, whole, kept = task.optimizer.rule, task.whole, outcome.kept
    vectors, numbers = (np.empty(0, task.dtype), np.empty(0)) if kept is None else kept
    return PopulationState(
        **nets_and_rows(task.params, task.rows.strides, members),
        hyper=table.reshape(-1),
        hyper_stride=table.shape[1] if len(table) > 1 else 0,
        n_state=rule.n_state,
        bias_correction=rule.bias_correction,
        penalised=whole.penalised,
        clipped=whole.clipped,
        dropout=np.ascontiguousarray(task.dropout, np.float64).reshape(-1),
        dropout_stride=task.dropout.shape[1] if task.dropout.ndim == 2 else 0,
        seeds=task.seeds,
        status=outcome.status,
        epochs=outcome.epochs,
        best_epochs=outcome.best_epochs,
        loss=outcome.loss,
        accuracy=outcome.accuracy,
        best_value=outcome.best_value,
        checks_final_accuracy=task.checks_final_accuracy,
        all_correct=outcome.all_correct,
        record_epochs=np.append(outcome.record_epochs, NO_EPOCH),
        n_records=len(outcome.record_epochs),
        records=outcome.records.reshape(-1),
        keeps_ended=kept is not None,
        kept_vectors=vectors.reshape(-1),
        kept_numbers=numbers.reshape(-1),
    )
