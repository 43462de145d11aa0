"""Training of a population, with restarts: nets together in SIMD lanes or on a GPU, or one by one (one_by_one.py).

Both ways write the same PopulationOutcome.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..callbacks import EarlyStopping
from ..console.progress_bar import NetLines, Progress
from ..convergence import Converged
from ..devices import Device, backend, device_of
from ..errors import is_per_net
from ..execution.buffer_cache import buffers
from ..execution.dispatch import choose_lanes, choose_nets_family, lane_threads, products
from ..execution.plan import describe_net, nets_work
from ..kernels.formulas.update_rules import CODES
from ..kernels.jit import interrupts
from ..kernels.structs import (
    ALL_RIGHT,
    CLIP_NORM,
    CONVERGED,
    L2,
    MAX_RECORDS,
    METRIC_NONE,
    MONITOR_LOSS,
    MONITOR_NONE,
    MONITOR_RIGHT,
    MONITOR_VALIDATION_LOSS,
    MONITOR_VALIDATION_RIGHT,
    NET_DEFAULTS,
    NET_HYPER,
    NO_EPOCH,
    RUNNING,
    UNKNOWN_TARGET,
    WEIGHT_DECAY,
    NetSpec,
    PopulationState,
    Samples,
    StopCriteria,
    TrainConfig,
)
from ..memory_check import check_memory
from ..network.spec import Network
from ..optimizers import Optimizer, settings_of
from ..schedules import factors_at, is_constant
from .one_by_one import train_one_by_one

if TYPE_CHECKING:
    from ..diagnosis.monitor import PopulationMonitor

MONITORS = {
    None: MONITOR_NONE,
    "loss": MONITOR_LOSS,
    "accuracy": MONITOR_RIGHT,
    "validation_loss": MONITOR_VALIDATION_LOSS,
    "validation_accuracy": MONITOR_VALIDATION_RIGHT,
}
MOST_EPOCHS = 2**40  # per kernel call; on a CPU, epochs of a call count across nets that follow each other in a lane
CALL_SECONDS = (0.1, 0.3)  # range of a call's duration: a call cannot be interrupted and shows no progress
MAX_RECORDED_LOSSES = 16_000_000  # largest number of recorded losses, over all nets
FIRST_CALL = 2e8  # multiply-adds of the first call on a CPU, over all lanes of a block
FULL_DEVICE = 10_000  # nets up to which an epoch takes a GPU as long as for one net
# Multiply-adds of the first call on a GPU, over all nets: milliseconds on a large GPU, 0.1 seconds on a small one.
FIRST_CALL_OF_DEVICE = 1e10


@dataclass
class PopulationOutcome:
    """Result of training for each net: arrays (n_nets,), described in PopulationState of kernels/structs.py."""

    status: np.ndarray
    epochs: np.ndarray
    best_epochs: np.ndarray
    loss: np.ndarray
    right: np.ndarray
    best: np.ndarray
    learned: np.ndarray  # whether all samples are correct at the end; empty with a convergence rule
    record_epochs: np.ndarray  # (n_records,)
    records: np.ndarray  # (n_records, n_nets)

    @classmethod
    def empty(cls, task: PopulationTask, record_epochs: np.ndarray) -> PopulationOutcome:
        """Return the outcome of nets that have not been trained. Zeros take no memory until they are written to."""
        n_nets, n_best = task.n_nets, task.n_nets if task.monitor is not None else 0
        n_judged = n_nets if task.judges_ends else 0
        status, epochs = np.zeros((2, n_nets), np.int64)  # RUNNING
        loss, right = np.full((2, n_nets), np.nan)
        best_epochs, best = np.full(n_best, -1), np.full(n_best, np.nan)
        learned = np.full(n_judged, UNKNOWN_TARGET, np.int8)
        records = np.full((len(record_epochs), n_nets), np.nan, task.dtype)
        return cls(status, epochs, best_epochs, loss, right, best, learned, record_epochs, records)

    def forget(self, members: Any) -> None:
        """Reset the outcome of these nets to that of nets that have not been trained."""
        self.status[members], self.epochs[members] = RUNNING, 0
        self.loss[members] = self.right[members] = np.nan
        self.records[:, members] = np.nan
        if self.best.size:
            self.best_epochs[members], self.best[members] = -1, np.nan


@dataclass(frozen=True)
class PopulationTask:
    """Data and settings of one fit of a population, all of them checked."""

    network: Network
    device: Device
    dtype: np.dtype
    params: np.ndarray  # (n_nets, n_params), trained in place
    seeds: np.ndarray  # int64 (n_nets,), seeds of shuffling and dropout in this fit
    optimizer: Optimizer  # its settings are numbers or arrays (n_nets,)
    l2: Any  # number or (n_nets,)
    dropout: np.ndarray  # (n_layers,) or (n_nets, n_layers)
    data: Samples
    strides: tuple[int, int, int]  # elements between the X, Y and weight of successive nets; 0 for data of all nets
    held_out: Samples | None
    batch_size: int
    shuffle: bool
    factors: Callable[[np.ndarray, int], np.ndarray]
    converged: Converged | None
    early_stopping: EarlyStopping | None
    verbose: int
    precision: str = "exact"
    watch: PopulationMonitor | None = None

    @property
    def n_nets(self) -> int:
        return len(self.params)

    @property
    def net(self) -> NetSpec:
        """Net as kernels see it, with the margin of the convergence rule."""
        row, margin = self.network.output_row, self.converged.margin if self.converged is not None else None
        return describe_net(self.network)._replace(margin=float(margin * (row.high - row.low)) if margin else 0.0)

    @property
    def family(self) -> str:
        streams = device_of(self.data.X) is None  # on a GPU: whether the samples are too many for its memory
        return choose_nets_family(
            self.network, self.n_nets, self.batch_size, self.device, self.dtype, self.precision, streams, self.shuffle
        )

    @property
    def n_batches(self) -> int:
        return -(-self.data.n_samples // self.batch_size)

    @property
    def monitor(self) -> str | None:
        if self.early_stopping is None:
            return None
        return self.early_stopping.monitor or ("loss" if self.held_out is None else "validation_loss")

    @property
    def judged_by(self) -> str:
        """Meaning of PopulationResult.converged: "rule", "all right" or "finite loss"."""
        return "rule" if self.converged is not None else "all right" if self.judges_ends else "finite loss"

    @property
    def judges_ends(self) -> bool:
        """Whether a net counts as converged if all samples are correct after its last step."""
        return self.converged is None and self.data.metric != METRIC_NONE

    @property
    def validates(self) -> bool:
        return self.monitor is not None and self.monitor.startswith("validation")


@lru_cache(maxsize=64)
def recorded_epochs(length: int, n_records: int) -> np.ndarray:
    """Return up to n_records epochs from 1 to length, evenly spaced on a logarithmic scale."""
    return np.unique(np.geomspace(1, length, n_records).round().astype(np.int64))


def hyper_table(optimizer: Optimizer, l2: Any, n_nets: int) -> np.ndarray:
    """Return settings (n_nets, len(NET_HYPER)), in the order of NET_HYPER; one row if all nets have equal settings.

    l2 : float or (n_nets,)     strength of the L2 penalty
    """
    values = {**settings_of(optimizer), "l2": l2}
    columns = [values.get(name, default) for name, default in zip(NET_HYPER, NET_DEFAULTS, strict=True)]
    if not any(map(is_per_net, columns)):
        return np.array([columns])
    table = np.empty((n_nets, len(NET_HYPER)))
    for k, column in enumerate(columns):
        table[:, k] = column
    return table


def train_together(
    task: PopulationTask, outcome: PopulationOutcome, members: np.ndarray, n_epochs: int, progress: Progress
) -> None:
    """Train nets together, each in a SIMD lane, or on a GPU.

    task : PopulationTask     its params are trained in place
    outcome : PopulationOutcome     written. outcome.best has the lowest monitored value, since kernels minimise: of an
        accuracy, the negative
    members : (n_members,)     numbers of the nets to train
    n_epochs : int     largest number of epochs per net

    After a KeyboardInterrupt every net has the parameters reached so far or, with early stopping, those of its best
    epoch.
    """
    module, net = backend(task.device), task.net
    table = hyper_table(task.optimizer, task.l2, task.n_nets)
    decays = table[:, [WEIGHT_DECAY, L2]]
    rule = task.optimizer.rule
    n_steps = n_epochs * task.n_batches
    scheduled = not is_constant(task.factors)  # only then is there a factor per step, which takes memory in a long fit
    if scheduled:
        check_memory(
            8 * n_steps, f"The learning rates of {n_steps:,} steps", "Train fewer epochs, or leave schedule out."
        )
    factors = factors_at(task.factors, 0, n_steps, n_steps) if scheduled else np.ones(1)
    goal = StopCriteria(
        n_epochs=n_epochs,
        scheduled=scheduled,
        stop_loss=-np.inf if task.converged is None or task.converged.loss is None else float(task.converged.loss),
        stop_right=np.inf
        if task.converged is None or task.converged.accuracy is None
        else float(task.converged.accuracy * task.data.n_samples * ALL_RIGHT),
        monitor=MONITORS[task.monitor],
        patience=task.early_stopping.patience if task.early_stopping else 0,
        min_delta=float(task.early_stopping.min_delta) if task.early_stopping else 0.0,
    )
    nets = PopulationState(
        n_params=task.network.layout.n_params,
        params=task.params.reshape(-1),
        hyper=table.reshape(-1),
        hyper_stride=table.shape[1] if len(table) > 1 else 0,
        n_state=rule.n_state,
        bias_correction=rule.bias_correction,
        penalised=bool(decays.any()),
        clipped=bool(table[:, CLIP_NORM].any()),
        mixed=any(task.strides),
        dropout=np.ascontiguousarray(task.dropout, np.float64).reshape(-1),
        dropout_stride=task.dropout.shape[1] if task.dropout.ndim == 2 else 0,
        seeds=task.seeds,
        X_stride=task.strides[0],
        Y_stride=task.strides[1],
        weight_stride=task.strides[2],
        members=members,
        n_members=len(members),
        status=outcome.status,
        epochs=outcome.epochs,
        best_epochs=outcome.best_epochs,
        loss=outcome.loss,
        right=outcome.right,
        best=outcome.best,
        judges_ends=task.judges_ends,
        learned=outcome.learned,
        record_epochs=np.append(outcome.record_epochs, NO_EPOCH),
        n_records=len(outcome.record_epochs),
        n_nets=task.n_nets,
        records=outcome.records.reshape(-1),
    )
    layer_factors = task.optimizer.layer_factors(task.network.layout.shapes)
    course = TrainConfig(
        task.batch_size, task.shuffle, 0, CODES[rule.name], np.zeros(1), factors, layer_factors.size > 0, layer_factors
    )
    lanes = choose_lanes(task.network, task.device, len(members), task.validates)
    n_ranks = lane_threads(task.network, len(members), lanes, n_epochs * task.data.n_samples)
    held_out = task.data if task.held_out is None else task.held_out
    at_once, first_call = lanes, FIRST_CALL
    if not task.device.is_host:  # a GPU trains all nets at once, and few nets take as long as many
        at_once, first_call = max(len(members), FULL_DEVICE), FIRST_CALL_OF_DEVICE
    per_epoch = at_once * products(task.network, task.data.n_samples)
    n_calls, call_epochs, finished_before = 0, max(1, int(first_call / per_epoch)), progress.done
    with (
        task.device.on(),
        buffers.borrow_team(module, n_ranks) as team,
        nets_work(
            task.network,
            net,
            task.device,
            task.family,
            task.batch_size,
            task.data.n_samples,
            n_ranks,
            task.shuffle,
            rule,
            task.data.metric,
            task.dtype,
            lanes,
            task.precision,
        ) as work,
    ):
        try:
            while True:
                began = time.perf_counter()
                module.train_nets(team, net, task.data, course, goal, nets, held_out, work, call_epochs)
                seconds, n_calls = time.perf_counter() - began, n_calls + 1
                progress.show(finished_before + work.n_finished, float("nan"))
                if task.watch is not None:
                    task.watch.look(outcome)
                if work.n_finished == len(members):
                    work.collect()
                    break
                if n_calls > 1 and seconds < CALL_SECONDS[0]:  # the first call may include compiling
                    call_epochs = min(2 * call_epochs, MOST_EPOCHS)
                elif n_calls > 1 and seconds > CALL_SECONDS[1]:
                    call_epochs = max(1, call_epochs // 2)
        except KeyboardInterrupt:
            with interrupts.deferred():  # a second Ctrl-C must not interrupt this
                _keep_unfinished(task, outcome, work)
                work.collect()
            raise
        finally:
            work.collect()


def _keep_unfinished(task: PopulationTask, outcome: PopulationOutcome, work: Any) -> None:
    """Store parameters and records of the nets in training; with early stopping, parameters of their best epochs."""
    for reached in work.unfinished(task.monitor is not None):
        net = reached.net
        task.params[net], outcome.status[net] = reached.params, reached.status
        outcome.epochs[net], outcome.loss[net] = reached.epochs, reached.loss
        outcome.right[net] = reached.right / task.data.n_samples
        if reached.best_epoch:
            outcome.best_epochs[net], outcome.best[net] = reached.best_epoch, reached.best_value


def shown_progress(task: PopulationTask, outcome: PopulationOutcome) -> Progress:
    """Return the display of finished nets: a progress bar or, with verbose=2, lines with statistics of these nets."""

    def figures() -> str:
        converged, done = outcome.status == CONVERGED, (outcome.status != RUNNING) & np.isfinite(outcome.loss)
        median = f"  median loss {np.median(outcome.loss[done]):.4g}" if done.any() else ""
        return f"converged {np.count_nonzero(converged):,}{median}" if task.converged is not None else median.lstrip()

    return NetLines(task.n_nets, figures) if task.verbose == 2 else Progress(task.n_nets, task.verbose, "net")


def run(
    task: PopulationTask, epochs: int, restart_after: int | None, redraw: Callable[[np.ndarray, int], None]
) -> tuple[PopulationOutcome, np.ndarray, bool]:
    """Train all nets of a population, with restarts, and return (outcome, restarts per net, whether interrupted).

    task : PopulationTask
    epochs : int     largest number of epochs per net, restarts included
    restart_after : int or None     epochs after which a net that has not converged is restarted
    redraw : function (members, attempt) that draws new initial parameters for these nets
    """
    train = train_one_by_one if task.family == "one_by_one" else train_together
    length = min(epochs, restart_after or epochs)
    n_attempts = -(-epochs // length)
    n_records = max(1, min(MAX_RECORDS, MAX_RECORDED_LOSSES // task.n_nets, length // 8))
    record_epochs = recorded_epochs(length, n_records).copy()
    outcome = PopulationOutcome.empty(task, record_epochs)
    members, attempt, interrupted = np.arange(task.n_nets), 0, False
    restarts = np.zeros(task.n_nets, np.int64)
    spent = np.zeros_like(restarts) if restart_after is not None else restarts[:0]  # epochs of earlier attempts
    try:
        with shown_progress(task, outcome) as progress:
            for attempt in range(n_attempts):
                if attempt:
                    with interrupts.deferred():  # counts, outcome and parameters of a restart belong together
                        spent[members] += outcome.epochs[members]
                        outcome.forget(members)
                        restarts[members] += 1
                        redraw(members, attempt)
                progress.done = task.n_nets - len(members)
                train(task, outcome, members, min(length, epochs - attempt * length), progress)
                if restart_after is None:
                    break
                members = members[outcome.status[members] != CONVERGED]
                if not len(members):
                    break
    except KeyboardInterrupt:
        interrupted = True
        if attempt < n_attempts - 1:  # nets that failed in this attempt would have been restarted: they are unfinished
            outcome.status[members[outcome.status[members] != CONVERGED]] = RUNNING
    if restart_after is not None:
        outcome.epochs += spent
    if train is train_together and task.monitor is not None and task.monitor.endswith("accuracy"):
        outcome.best *= -1.0
    return outcome, restarts, interrupted
