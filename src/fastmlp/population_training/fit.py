"""Training the nets of a population: together, or each by itself. Both leave the same numbers in the same arrays."""

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
    CONVERGED,
    HYPER,
    METRIC_NONE,
    MONITOR_LOSS,
    MONITOR_NONE,
    MONITOR_RIGHT,
    MONITOR_VALIDATION_LOSS,
    MONITOR_VALIDATION_RIGHT,
    MOST_RECORDS,
    NET_HYPER,
    NO_EPOCH,
    RUNNING,
    UNKNOWN_TARGET,
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
from .one_by_one import train_each

if TYPE_CHECKING:
    from ..diagnosis.monitor import PopulationMonitor

MONITORS = {
    None: MONITOR_NONE, "loss": MONITOR_LOSS, "accuracy": MONITOR_RIGHT, "validation_loss": MONITOR_VALIDATION_LOSS,
    "validation_accuracy": MONITOR_VALIDATION_RIGHT,
}  # fmt: skip
MOST_EPOCHS = 2**40  # of a call, which on a processor counts those of one block after another
CALL_SECONDS = (0.1, 0.3)  # a call cannot be interrupted and shows no progress
RECORDED = 16_000_000  # losses recorded at the most
FIRST_CALL = 2e8  # multiply-adds of the first one, over all lanes ...
FULL_DEVICE = 10_000  # nets, up to which a GPU takes as long as for one
FIRST_CALL_OF_DEVICE = 1e10  # ... and over all nets: milliseconds of a large GPU, a tenth of a second of a small one


@dataclass
class PopulationOutcome:
    """What training leaves of each net, arrays (n_nets,), as kernels.arguments.Nets describes them."""

    status: np.ndarray
    epochs: np.ndarray
    best_epochs: np.ndarray
    loss: np.ndarray
    right: np.ndarray
    best: np.ndarray
    learned: np.ndarray  # empty where a rule of convergence says it
    record_epochs: np.ndarray  # (n_records,)
    records: np.ndarray  # (n_records, n_nets)

    @classmethod
    def empty(cls, task: PopulationTask, record_epochs: np.ndarray) -> PopulationOutcome:
        """Of nets that have not been trained. Zeros take no memory until something is written there."""
        n_nets, n_best = task.n_nets, task.n_nets if task.monitor is not None else 0
        n_judged = n_nets if task.judges_ends else 0
        status, epochs = np.zeros((2, n_nets), np.int64)  # RUNNING
        loss, right = np.full((2, n_nets), np.nan)
        best_epochs, best = np.full(n_best, -1), np.full(n_best, np.nan)
        learned = np.full(n_judged, UNKNOWN_TARGET, np.int8)
        records = np.full((len(record_epochs), n_nets), np.nan, task.dtype)
        return cls(status, epochs, best_epochs, loss, right, best, learned, record_epochs, records)

    def forget(self, members: Any) -> None:
        """These nets have not been trained."""
        self.status[members], self.epochs[members] = RUNNING, 0
        self.loss[members] = self.right[members] = np.nan
        self.records[:, members] = np.nan
        if self.best.size:
            self.best_epochs[members], self.best[members] = -1, np.nan


@dataclass(frozen=True)
class PopulationTask:
    """One fit of a population; every value is checked."""

    network: Network
    device: Device
    dtype: np.dtype
    params: np.ndarray  # (n_nets, n_params), trained in place
    seeds: np.ndarray  # int64 (n_nets,), of this fit
    optimizer: Optimizer  # settings are numbers or arrays (n_nets,)
    l2: Any  # a number or (n_nets,)
    dropout: np.ndarray  # (n_layers,) or (n_nets, n_layers)
    data: Samples
    strides: tuple[int, int, int]  # from one net's X, Y, weight to the next one's
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
        """What kernels know of every net, the margin of the convergence rule included."""
        row, margin = self.network.output_row, self.converged.margin if self.converged is not None else None
        return describe_net(self.network)._replace(margin=float(margin * (row.high - row.low)) if margin else 0.0)

    @property
    def family(self) -> str:
        streams = device_of(self.data.X) is None  # on a GPU, which has no room for them
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
        """How it is told which nets have learned, as PopulationResult names it."""
        return "rule" if self.converged is not None else "all right" if self.judges_ends else "finite loss"

    @property
    def judges_ends(self) -> bool:
        """Whether a net has learned if it has all samples right after its last step."""
        return self.converged is None and self.data.metric != METRIC_NONE

    @property
    def validates(self) -> bool:
        return self.monitor is not None and self.monitor.startswith("validation")


@lru_cache(maxsize=64)
def recorded_epochs(length: int, n_records: int) -> np.ndarray:
    """Up to n_records epochs from 1 to length, evenly spaced on a logarithmic scale."""
    return np.unique(np.geomspace(1, length, n_records).round().astype(np.int64))


def hyper_table(optimizer: Optimizer, l2: Any, n_nets: int) -> np.ndarray:
    """(n_nets, len(NET_HYPER)) settings in that order, or one row where no net differs."""
    values = {**settings_of(optimizer), "l2": l2}
    columns = [values.get(name, 0.0) for name in NET_HYPER]
    if not any(map(is_per_net, columns)):
        return np.array([columns])
    table = np.empty((n_nets, len(NET_HYPER)))
    for k, column in enumerate(columns):
        table[:, k] = column
    return table


def train_together(
    task: PopulationTask, outcome: PopulationOutcome, members: np.ndarray, n_epochs: int, progress: Progress
) -> None:
    """Train nets `members` for up to n_epochs. KeyboardInterrupt leaves every net as far as it had come, or with early
    stopping as it was at its best. outcome.best is of what kernels look for, the lowest: of an accuracy, the negative.
    """
    module, net = backend(task.device), task.net
    table = hyper_table(task.optimizer, task.l2, task.n_nets)
    decays = table[:, [HYPER.index("weight_decay"), len(HYPER)]]
    rule = task.optimizer.rule
    n_steps = n_epochs * task.n_batches
    scheduled = not is_constant(task.factors)  # a long fit with a schedule is the one that needs a number per step
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
        clipped=bool(table[:, HYPER.index("clip_norm")].any()),
        mixed=any(task.strides),
        dropout=np.ascontiguousarray(task.dropout, np.float64).reshape(-1),
        dropout_stride=task.dropout.shape[1] if task.dropout.ndim == 2 else 0,
        seeds=task.seeds,
        X_stride=task.strides[0], Y_stride=task.strides[1], weight_stride=task.strides[2],
        members=members, n_members=len(members),
        status=outcome.status, epochs=outcome.epochs, best_epochs=outcome.best_epochs,
        loss=outcome.loss, right=outcome.right, best=outcome.best,
        judges_ends=task.judges_ends, learned=outcome.learned,
        record_epochs=np.append(outcome.record_epochs, NO_EPOCH), n_records=len(outcome.record_epochs),
        n_nets=task.n_nets, records=outcome.records.reshape(-1),
    )  # fmt: skip
    layer_factors = task.optimizer.layer_factors(task.network.layout.shapes)
    course = TrainConfig(
        task.batch_size, task.shuffle, 0, CODES[rule.name], np.zeros(1), factors,
        layer_factors.size > 0, layer_factors,
    )  # fmt: skip
    lanes = choose_lanes(task.network, task.device, len(members), task.validates)
    n_ranks = lane_threads(task.network, len(members), lanes, n_epochs * task.data.n_samples)
    held_out = task.data if task.held_out is None else task.held_out
    at_once, first_call = lanes, FIRST_CALL
    if not task.device.is_host:  # all at once, and few take as long as many
        at_once, first_call = max(len(members), FULL_DEVICE), FIRST_CALL_OF_DEVICE
    per_epoch = at_once * products(task.network, task.data.n_samples)
    n_calls, call_epochs, finished_before = 0, max(1, int(first_call / per_epoch)), progress.done
    with (
        task.device.on(),
        buffers.borrow_team(module, n_ranks) as team,
        nets_work(
            task.network, net, task.device, task.family, task.batch_size, task.data.n_samples, n_ranks, task.shuffle,
            rule, task.data.metric, task.dtype, lanes, task.precision,
        ) as work,
    ):  # fmt: skip
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
                if n_calls > 1 and seconds < CALL_SECONDS[0]:  # the first call may have compiled
                    call_epochs = min(2 * call_epochs, MOST_EPOCHS)
                elif n_calls > 1 and seconds > CALL_SECONDS[1]:
                    call_epochs = max(1, call_epochs // 2)
        except KeyboardInterrupt:
            with interrupts.deferred():  # a second Ctrl-C comes when all is whole
                _keep_unfinished(task, outcome, work)
                work.collect()
            raise
        finally:
            work.collect()


def _keep_unfinished(task: PopulationTask, outcome: PopulationOutcome, work: Any) -> None:
    """What nets in training have reached; with early stopping, what each of them has had as its best."""
    for reached in work.unfinished(task.monitor is not None):
        net = reached.net
        task.params[net], outcome.status[net] = reached.params, reached.status
        outcome.epochs[net], outcome.loss[net] = reached.epochs, reached.loss
        outcome.right[net] = reached.right / task.data.n_samples
        if reached.best_epoch:
            outcome.best_epochs[net], outcome.best[net] = reached.best_epoch, reached.best_value


def shown_progress(task: PopulationTask, outcome: PopulationOutcome) -> Progress:
    """What shows how many nets have finished: a bar or, with verbose=2, lines that say how these did."""

    def figures() -> str:
        converged, done = outcome.status == CONVERGED, (outcome.status != RUNNING) & np.isfinite(outcome.loss)
        median = f"  median loss {np.median(outcome.loss[done]):.4g}" if done.any() else ""
        return f"converged {np.count_nonzero(converged):,}{median}" if task.converged is not None else median.lstrip()

    return NetLines(task.n_nets, figures) if task.verbose == 2 else Progress(task.n_nets, task.verbose, "net")


def run(
    task: PopulationTask, epochs: int, restart_after: int | None, redraw: Callable[[np.ndarray, int], None]
) -> tuple[PopulationOutcome, np.ndarray, bool]:
    """(outcome, restarts of each net, whether Ctrl-C ended it): train all nets, those that have not converged after
    restart_after epochs again from other weights, which redraw(members, attempt) gives them.
    """
    train = train_each if task.family == "one_by_one" else train_together
    length = min(epochs, restart_after or epochs)
    n_attempts = -(-epochs // length)
    n_records = max(1, min(MOST_RECORDS, RECORDED // task.n_nets, length // 8))
    record_epochs = recorded_epochs(length, n_records).copy()
    outcome = PopulationOutcome.empty(task, record_epochs)
    members, attempt, interrupted = np.arange(task.n_nets), 0, False
    restarts = np.zeros(task.n_nets, np.int64)
    spent = np.zeros_like(restarts) if restart_after is not None else restarts[:0]  # epochs of earlier attempts
    try:
        with shown_progress(task, outcome) as progress:
            for attempt in range(n_attempts):
                if attempt:
                    with interrupts.deferred():  # or a net would begin with another's count
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
        if attempt < n_attempts - 1:  # who has lost this attempt would have begun another one
            outcome.status[members[outcome.status[members] != CONVERGED]] = RUNNING
    if restart_after is not None:
        outcome.epochs += spent
    if train is train_together and task.monitor is not None and task.monitor.endswith("accuracy"):
        outcome.best *= -1.0
    return outcome, restarts, interrupted
