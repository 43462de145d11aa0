"""Engine that trains one net: kernel calls of some steps, on the blocks of its rows.

It names no device, and leaves all arithmetic on samples to the kernels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from ..console.nets_progress import BestScore
from ..devices import backend
from ..execution.buffer_cache import buffers
from ..execution.unrolled_code import pays_to_compile
from ..history import History
from ..kernels.formulas.update_rules import CODES, n_state_rows
from ..kernels.structs import DIVERGED, METRIC_NONE, STEPS_DONE, TrainConfig, aligned_zeros
from ..schedules.checked_schedule import factors_at
from .divergence import DivergenceGuard
from .optimizer_state import CARRIED
from .rows import Block, BlockPosition, InMemory
from .task import FitTask

FIRST_CALL = 4e7  # multiply-adds of a first call: a millisecond, of which waking a thread takes a third
STEP = 4_000  # time of a step's work besides its matrix products, 0.1 us, in multiply-adds
NUMPY_STEP = 8_000_000  # of a step in NumPy, 0.2 ms


class OneNet:
    """Engine of one net of a task.

    number : int     index of the net in the task
    padded : (n_padded,), its parameters, padded, trained in place
    history : gets its records
    n_epochs : int     largest number of epochs
    n_threads : number of threads that the caller wants; None for as many as pay

    epochs_done : number of finished epochs
    n_final : number of epochs that the fit ends with, where training went on for more; None before it is known
    at_epoch_end : whether the last step ended an epoch
    """

    def __init__(
        self,
        task: FitTask,
        number: int,
        padded: np.ndarray,
        history: History,
        n_epochs: int,
        n_threads: int | None = None,
    ):
        self.task, self.number, self.host_params, self.n_epochs = task, number, padded, n_epochs
        self.seed, self._n_threads, self.n_batches = int(task.seeds[number]), n_threads, task.n_batches
        self.optimizer = task.optimizer_of(number) if task.is_population else task.optimizer
        held_out_metric = None if task.held_out is None else task.held_out.metric
        self.records = Records(history, n_epochs, task.rows.metric, held_out_metric)
        self.epochs_done, self.at_epoch_end, self.position = 0, True, BlockPosition()
        self.n_final: int | None = None
        self.block: Block  # in training, once there is one
        self.has_block = False
        self.params_overflowed = False  # whether a step made parameters that are not finite while the loss was
        self.carried: np.ndarray | None = None  # scalars of the optimiser state, from block to block
        self._carried_array: np.ndarray | None = None  # its vectors, where they belong to more than one block or fit
        self._resumed_scalars: np.ndarray | None = None  # scalars in the middle of a block, of a fit that goes on
        self._compiles = task.time_limit is None or pays_to_compile(task.time_limit.seconds)
        self._hyper = self.optimizer.hyper
        self._layer_factors = self.optimizer.factors_of_layers(task.network.layout.shapes)
        self.last_call = 0, 0, 0.0  # threads, steps and seconds
        self._stack = ExitStack()
        self.optimizer_state = state = task.optimizer_states[number] if task.optimizer_states else None
        if state is not None:
            self._carried_array = state.fitted(self.optimizer, len(padded), padded.dtype)
            self.carried = state.scalars
        elif not isinstance(task.rows, InMemory):
            self._carried_array = self._zero_state()
            self.optimizer.begin(self._carried_array)

    def close(self) -> None:
        """Release plan and threads to the next fit."""
        self._stack.close()

    @property
    def is_short(self) -> bool:
        """Whether the whole fit takes no longer than a first call, whose time says how long the next ones may be."""
        return self.n_epochs * self.n_batches * self.step_work <= FIRST_CALL

    @property
    def step_work(self) -> float:
        """Time of a step, in multiply-adds."""
        task = self.task
        return task.work / task.n_batches + (NUMPY_STEP if self.optimizer.rule.is_second_order else STEP)

    def _zero_state(self) -> np.ndarray:
        """Return zeros for an optimiser state."""
        return aligned_zeros((n_state_rows(self.optimizer.rule), len(self.host_params)), self.host_params.dtype)

    # ---- blocks

    def set_block(self, block: Block) -> None:
        """Train on a block from now on."""
        self._stack.close()
        is_first, self.block, self.has_block = not self.has_block, block, True
        self.plan = plan = self.task.plan_of(self.number, block, self._n_threads)
        if is_first and not self.task.is_population:
            self.records.history.settings = self.task.description(n_threads=plan.choice.n_threads)
        self._stack.callback(plan.release)
        self.data = plan.backend.place(block.data)
        state = self._carried_array
        if state is None:
            state = plan.get_or_make(f"state of {n_state_rows(self.optimizer.rule)} rows", self._zero_state)
            self.optimizer.begin(state)
        records = self.records.loss, self.records.accuracy
        if not isinstance(self.task.rows, InMemory):  # of the block alone
            records = np.empty(1), np.zeros(1)
        self.train_state = plan.make_state(self.host_params, state, *records)
        if self.carried is not None:
            self.train_state.scalars[:, CARRIED] = self.carried
        if self._resumed_scalars is not None:
            self.train_state.scalars[:] = self._resumed_scalars
            self._resumed_scalars = None
            epoch, step = divmod(self.steps_in_block, block.n_batches)
            if step and block.shuffle and plan.device.is_host:
                plan.draw_order(block.data.n_samples, block.seed, epoch)
        self.guard = DivergenceGuard(plan, self.train_state)
        self.n_threads, self._end = plan.choice.n_threads, block.n_epochs * block.n_batches
        self.team = self._stack.enter_context(buffers.borrow_team(plan.backend, self.n_threads))

    def _end_block(self) -> None:
        """Take what a block leaves to the next one."""
        block, position = self.block, self.position
        n = block.data.n_samples
        self.copy_to_host()
        self.carried = self.train_state.scalars[0, CARRIED]
        sums = position.sums + n * np.array([self.train_state.epoch_loss[0], self.train_state.epoch_accuracy[0]])
        self.position = BlockPosition(position.n_blocks + 1, position.n_rows + n, sums)
        self.at_epoch_end = block.is_last
        if block.is_last:
            epoch, n_rows = block.first_epoch, self.position.n_rows
            self.records.loss[epoch], self.records.accuracy[epoch] = self.position.sums / n_rows
            self.epochs_done, self.position = epoch + 1, BlockPosition()

    # ---- steps

    @property
    def steps_in_block(self) -> int:
        return int(self.train_state.scalars[0, STEPS_DONE])

    @property
    def steps_left(self) -> int:
        """Steps that the present block has left."""
        return self._end - self.steps_in_block

    @property
    def steps_in_epoch(self) -> int:
        """Steps done in the present epoch."""
        before = self.position.n_rows // self.task.batch_size
        return before + self.steps_in_block % self.block.n_batches

    @property
    def fraction_done(self) -> float:
        """Epochs done, with the part of the present one."""
        return self.epochs_done + (0.0 if self.at_epoch_end else self.steps_in_epoch / self.n_batches)

    @property
    def is_last_step_done(self) -> bool:
        return self.epochs_done >= self.n_epochs

    def steps_to(self, n_epochs: int) -> int:
        """Return the number of steps until so many epochs are done, or until the end of the block if that is before."""
        block = self.block
        return min((n_epochs - block.first_epoch), block.n_epochs) * block.n_batches - self.steps_in_block

    def run(self, n_steps: int) -> str:
        """Train n_steps; return "divergence" if the loss is not finite, after the return to finite parameters."""
        first = self.steps_in_block
        self.guard.begin_call(first)
        started = time.perf_counter()
        self.call_kernel(self.n_threads, first, n_steps)
        self.last_call = self.n_threads, n_steps, time.perf_counter() - started
        if not self.guard.is_finite():
            self.guard.restore()
            self.params_overflowed = self.guard.params_overflowed
            self._count()
            return "divergence"
        self.guard.end_call()
        self._count()
        if not isinstance(self.task.rows, InMemory) and self.steps_left == 0:
            self._end_block()
        return ""

    def _count(self) -> None:
        if isinstance(self.task.rows, InMemory):
            self.epochs_done, rest = divmod(self.steps_in_block, self.n_batches)
            self.at_epoch_end = not rest
        else:
            self.at_epoch_end = False

    def call_kernel(self, n_threads: int, first: int, n: int) -> None:
        """Train n steps of the block from step `first` on."""
        task, block = self.task, self.block
        steps = block.first_step + first, n, self.n_epochs * self.n_batches
        config = TrainConfig(
            batch_size=block.batch_size,
            shuffle=block.shuffle,
            seed=block.seed,
            rule=CODES[self.optimizer.rule.name],
            hyper=self._hyper,
            factors=np.ones(n) if task.factors is None else factors_at(task.factors, *steps),
            layered=self._layer_factors.size > 0,
            layer_factors=self._layer_factors,
        )
        self.plan.train(self.team, n_threads, self.data, config, self.train_state, first, n, self._compiles)

    # ---- parameters

    @property
    def is_complete(self) -> bool:
        """Whether the host can have the whole state: a device keeps the sums of an epoch until its end."""
        return self.plan.device.is_host or self.steps_in_block % self.block.n_batches == 0

    @property
    def shares_host_memory(self) -> bool:
        """Whether kernels work on the host's own parameters and optimiser state."""
        return self.train_state.params is self.host_params

    @property
    def n_finite_epochs(self) -> int:
        """Number of epochs done, without one whose last step made parameters that are not finite."""
        return self.epochs_done - (self.params_overflowed and self.at_epoch_end)

    def set_params(self, params: Any) -> None:
        """Go on with other parameters."""
        (self.train_state.params if self.has_block else self.host_params)[:] = params

    @property
    def to_device(self) -> Callable[[Any], Any]:
        """Function that copies an array to the device of the fit."""
        return backend(self.task.device).to_device

    @contextmanager
    def params_in_units(self) -> Iterator[None]:
        """Context in which the host's parameters are in units, for callbacks; they may change them."""
        units, network = self.task.units, self.task.network
        if units is None:
            yield
            return
        units, params = units.of_nets(slice(self.number, self.number + 1)), self.host_params[: network.layout.n_params]
        before, params[:] = params.copy(), units.in_units(params[None], network)[0]
        shown = params.copy()
        try:
            yield
        finally:
            is_same = np.array_equal(params, shown)
            params[:] = before if is_same else units.for_standardized(params[None], network)[0]

    def copied(self, array: Any) -> np.ndarray:
        """Return a copy of an array of the fit's device in the host's memory."""
        return np.array(self.plan.backend.to_host(array))

    def undo_call(self) -> None:
        """Return to the parameters before a kernel call that an exception has ended: on a device it is half done."""
        if self.has_block and not self.shares_host_memory:
            self.train_state.params[:] = self.guard.before_call
            if self.optimizer_state is not None:
                self.optimizer_state.reset()  # it may be that of another step

    def make_finite(self) -> None:
        """Return to finite parameters, if an exception came between a kernel call and its check."""
        if self.has_block and not self.guard.is_finite():
            self.guard.restore()

    def copy_to_host(self) -> None:
        """Copy parameters and optimiser state to the host's arrays, where the device has arrays of its own."""
        if not self.has_block:
            return
        to_host, state = self.plan.backend.to_host, self.optimizer_state
        if not self.shares_host_memory:
            self.host_params[:] = to_host(self.train_state.params)
            if self._carried_array is not None:
                self._carried_array[:] = to_host(self.train_state.state).reshape(self._carried_array.shape)
        if state is not None and state.array is not None:
            state.scalars = self.train_state.scalars[0, CARRIED]

    def epoch_of_divergence(self) -> int:
        """Return the epoch in which the last step was, counted from 1: a loss that is not finite is found before its
        step, which is not counted then; parameters are found after it.
        """
        if not isinstance(self.task.rows, InMemory):
            return self.block.first_epoch + 1
        return (self.steps_in_block - (0 if self.train_state.scalars[0, DIVERGED] else 1)) // self.n_batches + 1

    def go_on_from(self, params: np.ndarray, state: np.ndarray, scalars: np.ndarray) -> None:
        """Begin with these parameters, optimiser state and scalars, of a fit that goes on."""
        self.host_params[:] = params
        if self._carried_array is None:
            self._carried_array = self._zero_state()
        self._carried_array[: len(state)] = state
        self.carried, self._resumed_scalars = scalars[CARRIED], scalars
        if self.optimizer_state is not None:
            self.optimizer_state.scalars = self.carried


class Records:
    """Records of all epochs of one net: losses and accuracies, and the metrics of the user.

    metric : METRIC_* code of the training samples
    held_out_metric : METRIC_* code of the held-out samples; None without any
    """

    def __init__(self, history: History, n_epochs: int, metric: int, held_out_metric: int | None):
        self.history, self._metric, self._held_out_metric = history, metric, held_out_metric
        self.loss, self.accuracy = np.empty((2, n_epochs))  # memory is taken as epochs are finished, not before
        self.validation = np.empty((n_epochs if held_out_metric is not None else 0, 2))  # loss, accuracy
        self.n_validated = 0
        self.best_epoch: int | None = None
        self.metrics: Any = None  # FitMetrics, of a fit that has some

    def n_recorded(self, n_epochs: int) -> int:
        """Return how many of the first n_epochs epochs have all their records."""
        return n_epochs if self._held_out_metric is None else min(n_epochs, self.n_validated)

    def publish(self, n: int) -> History:
        """Let the history have the records of the first n epochs, and return it."""
        records: dict[str, Any] = {"loss": self.loss[:n], "best_epoch": self.best_epoch}
        if self._metric != METRIC_NONE:
            records["accuracy"] = self.accuracy[:n]
        if self._held_out_metric is not None:
            records["validation_loss"] = self.validation[:n, 0]
            if self._held_out_metric != METRIC_NONE:
                records["validation_accuracy"] = self.validation[:n, 1]
        if self.metrics is not None:
            records |= self.metrics.records(n)
        vars(self.history).update(records)
        return self.history

    def best_score(self) -> BestScore:
        """Return the lowest validation loss so far."""
        losses, accuracies = self.validation[: self.n_validated].T
        return BestScore.of(losses, None if self._held_out_metric in (None, METRIC_NONE) else accuracies)
