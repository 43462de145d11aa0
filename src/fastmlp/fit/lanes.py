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
    FULL_ACCURACY,
    MONITOR_ACCURACY,
    MONITOR_LOSS,
    MONITOR_NONE,
    MONITOR_VALIDATION_ACCURACY,
    MONITOR_VALIDATION_LOSS,
    NONE_SUSPENDED,
    StopCriteria,
    SuspendedNets,
    TrainConfig,
)
from ..runtime.memory_check import check_memory
from ..schedules.checked_factors import factors_at
from .lanes_state import training_state
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

    at_epoch_end, steps_in_epoch = True, 0  # a step of this engine is an epoch

    def __init__(self, task: FitTask, outcome: Outcome, members: np.ndarray, n_epochs: int, waiting: SuspendedNets):
        self.task, self.outcome, self.n_epochs = task, outcome, n_epochs
        assert isinstance(task.rows, InMemory), "dispatch trains others one by one"
        self._data = task.rows.data
        self._criteria = stop_criteria(task, n_epochs)
        self._config = train_config(task, self._criteria)
        self._held_out = self._data if task.held_out is None else task.held_out
        self._members, self._waiting = members, waiting
        self.plan = training_plan(task, len(members), n_epochs)
        self.last_call = 0, 0, 0.0  # threads, epochs and seconds
        self._stack = ExitStack()

    def __enter__(self) -> Lanes:
        self._team, self.run_of_kernels = self._stack.enter_context(self.plan.begin(self.task.net))
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
        task, started = self.task, time.perf_counter()
        given = task.net, self._data, self._config, self._criteria, self._nets, self._held_out, self.run_of_kernels
        self.plan.backend.train_nets(self._team, *given, n)
        self.last_call = self.plan.choice.n_threads, n, time.perf_counter() - started
        return ""

    def suspended(self) -> SuspendedNets:
        """Return the nets in the middle of their training, and those that wait for them."""
        now = self.run_of_kernels.suspended(self._nets, self.task.monitored is not None)
        parts = [part for part in (now, self._waiting) if len(part.net_index)]
        return SuspendedNets.joined(parts) if parts else NONE_SUSPENDED

    def _record_unfinished(self) -> None:
        """Store parameters and records of the nets in training; with early stopping, those of their best epochs."""
        task, outcome = self.task, self.outcome
        if not self.steps_left:
            return
        for reached in self.run_of_kernels.unfinished(task.monitored is not None):
            net = reached.net_index
            task.params[net], outcome.status[net] = reached.params, reached.status
            outcome.epochs[net], outcome.loss[net] = reached.epochs, reached.loss
            outcome.accuracy[net] = reached.n_correct / self._data.n_samples
            if reached.best_epoch:
                outcome.best_epochs[net], outcome.best_value[net] = reached.best_epoch, reached.best_value


def train_config(task: FitTask, criteria: StopCriteria) -> TrainConfig:
    """Return batches, update rule and learning-rate factors of a fit; settings are per net, in PopulationState."""
    n_steps = criteria.n_epochs * task.n_batches
    if criteria.scheduled:
        check_memory(
            16 * n_steps, f"The learning rates of {n_steps:,} steps", "Train fewer epochs, or leave schedule out."
        )
    layer_factors = task.optimizer.factors_of_layers(task.network.layout.shapes)
    return TrainConfig(
        batch_size=task.batch_size,
        shuffle=task.shuffle,
        seed=0,
        rule=CODES[task.optimizer.rule.name],
        hyper=np.zeros(1),
        factors=np.ones(n_steps if criteria.scheduled else 1)
        if task.factors is None
        else factors_at(task.factors, 0, n_steps, n_steps),
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


def training_plan(task: FitTask, n_members: int, n_epochs: int) -> PopulationPlan:
    """Return the plan by which n_members nets of the task are trained together."""
    network, n_samples, rule, limit = task.network, task.rows.n_samples, task.optimizer.rule, task.time_limit
    fit = NetsFit(task.dtype.itemsize, rule.n_state, n_samples, task.batch_size)
    compiles = limit is None or pays_to_compile(limit.seconds)
    given = task.family, task.whole.n_nets, n_members, fit, n_epochs, task.validates, compiles
    return PopulationPlan(
        network=network,
        device=task.device,
        backend=backend(task.device),
        dtype=task.dtype,
        choice=choose_nets(network, task.device, *given),
        n_samples=n_samples,
        metric=task.rows.metric,
        rule=rule,
        shuffle=task.shuffle,
        precision=task.precision,
    )
