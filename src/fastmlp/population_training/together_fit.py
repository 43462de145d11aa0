"""Training of a population's nets together, each in a SIMD lane or on a GPU, in kernel calls of some epochs."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..console.nets_progress import PartProgress
from ..console.progress_bar import Progress
from ..devices import backend
from ..execution.dispatch import GpuNetsFit, choose_gpu_nets_variant, choose_nets_variant, lane_threads
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
    StopCriteria,
    SuspendedNets,
    TrainConfig,
)
from ..kernels.system import interrupts
from ..runtime.memory_check import check_memory
from ..schedules.checked_factors import factors_at, is_constant
from ..training.time_limit import OutOfTime
from .checkpoint_saver import CallSaver, PopulationSaver
from .kernel_calls import call_until_finished, first_call_epochs
from .kernel_state import training_state
from .task_and_outcome import PopulationOutcome, PopulationTask

MONITORS = {
    None: MONITOR_NONE,
    "loss": MONITOR_LOSS,
    "accuracy": MONITOR_ACCURACY,
    "validation_loss": MONITOR_VALIDATION_LOSS,
    "validation_accuracy": MONITOR_VALIDATION_ACCURACY,
}


def train_together(
    task: PopulationTask,
    outcome: PopulationOutcome,
    members: np.ndarray,
    n_epochs: int,
    progress: Progress | PartProgress,
    saver: PopulationSaver | None = None,
) -> None:
    """Train nets together: those that a state has in the middle of their training, as many as there are lanes at a
    time, and then the others. Parameters are those of `train_members`.
    """
    waiting = SuspendedNets.none()
    if saver is not None and saver.start is not None:
        waiting, saver.start = saver.start.suspended, None
        members = np.setdiff1d(members, waiting.net_index)
    while n := len(waiting.net_index):
        n = train_members(task, outcome, waiting.net_index, n_epochs, progress, saver, waiting)
        waiting = waiting.part(n, len(waiting.net_index))
    if len(members):
        train_members(task, outcome, members, n_epochs, progress, saver, SuspendedNets.none())


def train_members(
    task: PopulationTask,
    outcome: PopulationOutcome,
    members: np.ndarray,
    n_epochs: int,
    progress: Progress | PartProgress,
    saver: PopulationSaver | None,
    suspended: SuspendedNets,
) -> int:
    """Train nets together, each in a SIMD lane, or on a GPU.

    task : PopulationTask     its params are trained in place
    outcome : PopulationOutcome     written. outcome.best_value has the lowest monitored value, since kernels minimise:
        of an accuracy, the negative
    members : (n_members,)     numbers of the nets to train
    n_epochs : int     largest number of epochs per net
    saver : PopulationSaver or None     takes the state of the nets between two calls
    suspended : SuspendedNets     the members in the middle of their training, of which the first are trained; or none

    After a KeyboardInterrupt or OutOfTime every net has the parameters reached so far or, with early stopping, those of
    its best epoch.

    Returns
    -------
    Number of nets that have been trained.
    """
    net, criteria = task.net, stop_criteria(task, n_epochs)
    config = train_config(task, criteria)
    held_out = task.data if task.held_out is None else task.held_out
    plan = training_plan(task, len(members), n_epochs)
    with plan.begin(net) as (team, run):
        if len(suspended.net_index):
            members = members[: run.most_resumed]
        nets, waiting = (
            training_state(task, outcome, members, n_epochs),
            suspended.part(len(members), len(suspended.net_index)),
        )
        if len(suspended.net_index):
            run.resume(nets, suspended.part(0, len(members)))
        train = lambda n: plan.backend.train_nets(team, net, task.data, config, criteria, nets, held_out, run, n)
        save = (
            None if saver is None else CallSaver(saver, lambda: run.suspended(nets, task.monitor is not None), waiting)
        )
        call_epochs = first_call_epochs(task, plan.variant.lanes, len(members))
        try:
            call_until_finished(task, outcome, run, train, nets.n_members, n_epochs, call_epochs, progress, save)
        except (KeyboardInterrupt, OutOfTime) as end:
            with interrupts.deferred():  # a second Ctrl-C must not interrupt this
                # Ctrl-C may come when a call on a device is half done.
                if save is not None and (task.device.is_host or isinstance(end, OutOfTime)):
                    save.save()
                _record_unfinished(task, outcome, run)
                run.collect()
            raise
        finally:
            run.collect()
    return len(members)


def train_config(task: PopulationTask, criteria: StopCriteria) -> TrainConfig:
    """Return batches, update rule and learning-rate factors of a fit; settings are per net, in PopulationState."""
    n_steps = criteria.n_epochs * task.n_batches
    if criteria.scheduled:
        check_memory(
            16 * n_steps, f"The learning rates of {n_steps:,} steps", "Train fewer epochs, or leave schedule out."
        )
    layer_factors = task.optimizer.factors_of_layers(task.network.layout.shapes)
    decay_factors = task.optimizer.decay_factors
    if decay_factors is not None and not layer_factors.size:  # kernels apply them with those of layers
        layer_factors = np.ones(4 * task.network.layout.n_layers)
    return TrainConfig(
        batch_size=task.batch_size,
        shuffle=task.shuffle,
        seed=0,
        rule=CODES[task.optimizer.rule.name],
        hyper=np.zeros(1),
        factors=factors_at(task.factors, 0, n_steps, n_steps) if criteria.scheduled else np.ones(1),
        layered=layer_factors.size > 0,
        layer_factors=layer_factors,
        decays=decay_factors is not None,
        decay_factors=np.empty(0) if decay_factors is None else factors_at(decay_factors, 0, n_steps, n_steps),
    )


def stop_criteria(task: PopulationTask, n_epochs: int) -> StopCriteria:
    """Return the criteria by which a net is finished."""
    rule, stopping = task.converged, task.early_stopping
    stop_loss = -np.inf if rule is None or rule.loss is None else float(rule.loss)
    n_correct = np.inf
    if rule is not None and rule.accuracy is not None:
        n_correct = float(rule.accuracy * task.data.n_samples * FULL_ACCURACY)
    return StopCriteria(
        n_epochs=n_epochs,
        # Only then is there a factor per step, which takes memory.
        scheduled=not is_constant(task.factors) or task.optimizer.decay_factors is not None,
        stop_loss=stop_loss,
        stop_n_correct=n_correct,
        monitor=MONITORS[task.monitor],
        patience=stopping.patience if stopping else 0,
        min_delta=float(stopping.min_delta) if stopping else 0.0,
    )


def training_plan(task: PopulationTask, n_members: int, n_epochs: int) -> PopulationPlan:
    """Return the plan by which n_members nets of the task are trained together."""
    network, n_samples, limit = task.network, task.data.n_samples, task.time_limit
    compiles = pays_to_compile(None if limit is None else limit.seconds)
    n_threads = 1  # a GPU's own threads are not counted
    if task.device.is_host:
        samples = n_epochs * n_samples if compiles else 0  # a short fit is not counted
        variant = choose_nets_variant(network, task.device, n_members, task.validates, samples, compiles)
        n_threads = lane_threads(network, n_members, variant.lanes, n_epochs * n_samples)
    else:
        variant = choose_gpu_nets_variant(network, task.whole.n_nets, gpu_fit(task))
    return PopulationPlan(
        network=network,
        device=task.device,
        backend=backend(task.device),
        dtype=task.dtype,
        family=task.family,
        n_threads=n_threads,
        variant=variant,
        rows=task.batch_size,
        n_samples=n_samples,
        metric=task.data.metric,
        rule=task.optimizer.rule,
        shuffle=task.shuffle,
        precision=task.precision,
    )


def gpu_fit(task: PopulationTask) -> GpuNetsFit:
    """Return what the choice of a GPU's kernel depends on; it is the same for all parts of a population."""
    n_state = task.optimizer.rule.n_state
    return GpuNetsFit(task.dtype.itemsize, n_state, task.data.n_samples, task.batch_size)


def _record_unfinished(task: PopulationTask, outcome: PopulationOutcome, run: Any) -> None:
    """Store parameters and records of the nets in training; with early stopping, parameters of their best epochs."""
    for reached in run.unfinished(task.monitor is not None):
        net = reached.net_index
        task.params[net], outcome.status[net] = reached.params, reached.status
        outcome.epochs[net], outcome.loss[net] = reached.epochs, reached.loss
        outcome.accuracy[net] = reached.n_correct / task.data.n_samples
        if reached.best_epoch:
            outcome.best_epochs[net], outcome.best_value[net] = reached.best_epoch, reached.best_value
