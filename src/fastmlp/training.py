"""A fit: epochs, records, early stopping, callbacks, interruption, divergence. No device names, no mathematics."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .callbacks import Best, Callback, EarlyStopping
from .errors import DivergenceWarning
from .history import History
from .kernels.arguments import DIVERGED, METRIC_NONE, STEPS_DONE, Course, Data
from .kernels.optimizers import CODES
from .optimizers import Optimizer
from .pace import Pace
from .plan import Plan, products
from .progress import Progress

if TYPE_CHECKING:
    from .monitor import Monitor


@dataclass(frozen=True)
class Options:
    """How to train; every value is checked."""

    epochs: int
    batch_size: int
    shuffle: bool
    seed: int
    optimizer: Optimizer
    factors: Callable[[np.ndarray, int], np.ndarray]
    early_stopping: EarlyStopping | None
    callbacks: Sequence[Callback]
    verbose: int
    monitor: Monitor | None = None
    warns: bool = True  # of divergence; a population does so once, for all its nets


class Fit:
    """One fit in progress. `run` changes params in place and fills the history."""

    def __init__(
        self,
        plan: Plan,
        data: Data,
        validation: tuple[Plan, Data] | None,
        params: np.ndarray,
        options: Options,
        history: History,
    ):
        self.plan, self.data, self.validation, self.options, self.history = plan, data, validation, options, history
        state = options.optimizer.initial_state(len(params), params.dtype)
        self.memory = plan.make_memory(params, state, options.epochs)
        self.n_batches = -(-data.n_samples // options.batch_size)
        self.n_steps = options.epochs * self.n_batches
        self._validation_records: list[tuple[float, float]] = []
        self._empty = np.empty(0, params.dtype)
        self._proven = params.copy()  # the last parameters that are known to give a finite loss
        self._before_call = self._proven
        self._best_params: np.ndarray | None = None
        self._best: Best | None = None
        if options.early_stopping is not None:
            default = "loss" if validation is None else "validation_loss"
            self._best = Best(options.early_stopping, options.early_stopping.monitor or default)

    @property
    def steps_done(self) -> int:
        return int(self.memory.scalars[0, STEPS_DONE])

    @property
    def params_before_last_step(self) -> np.ndarray:
        """Those that gave the last loss, where a call is a step, as with a full batch and callbacks; (n_params,)."""
        return self._before_call[: self.plan.network.layout.n_params]

    def run(self) -> None:
        start, module = time.perf_counter(), self.plan.backend
        try:
            with (
                module.Team(self.plan.n_threads) as team,
                Progress(self.options.epochs, self.options.verbose) as progress,
            ):
                self.history.stopped_by = self._train(team, progress)
        except KeyboardInterrupt:
            self.history.stopped_by = "interrupt"
        finally:
            self._record()
            self.history.seconds = time.perf_counter() - start
        if self._best is not None and self._best_params is not None and self.history.stopped_by != "interrupt":
            self.memory.params[:] = self._best_params

    def _train(self, team, progress: Progress) -> str:
        by_epoch = bool(self.options.callbacks) or self._best is not None or self.validation is not None
        pace = Pace(self.plan.n_threads, products(self.plan.network, self.options.batch_size))
        while (done := self.steps_done) < self.n_steps:
            epoch = done // self.n_batches
            left = (epoch + 1) * self.n_batches - done if by_epoch else self.n_steps - done
            n_threads, n_steps = pace.next()
            n_steps = min(n_steps, left)
            began = time.perf_counter()
            if not self._call(team, n_threads, done, n_steps):
                return "divergence"
            pace.record(n_threads, n_steps, time.perf_counter() - began)
            epochs_done = self.steps_done // self.n_batches
            if epochs_done:
                progress.show(self.steps_done / self.n_batches, self.memory.epoch_loss[epochs_done - 1])
            if self.options.monitor is not None:
                at_end = self.steps_done >= self.n_steps
                self.options.monitor.look(self.memory.epoch_loss[:epochs_done], self.memory.params, at_end=at_end)
            if by_epoch and epochs_done > epoch and (reason := self._after_epoch(team, epoch)):
                return reason
        return "epochs"

    def _call(self, team, n_threads: int, first: int, n_steps: int) -> bool:
        """Train n_steps from step `first` on; False if the loss was not finite, after restoring finite parameters."""
        options, memory = self.options, self.memory
        layer_factors = options.optimizer.layer_factors(self.plan.network.layout.shapes)
        course = Course(
            batch_size=options.batch_size,
            shuffle=options.shuffle,
            seed=options.seed,
            rule=CODES[options.optimizer.rule.name],
            hyper=options.optimizer.hyper,
            factors=np.array(
                np.broadcast_to(options.factors(np.arange(first, first + n_steps), self.n_steps), n_steps), np.float64
            ),
            layered=layer_factors.size > 0,
            layer_factors=layer_factors,
        )
        before = self._before_call = memory.params.copy()
        self.plan.backend.train(
            self.plan.family, team, n_threads, self.plan.net, self.data, course, memory, self.plan.work, first, n_steps
        )
        if not memory.scalars[0, DIVERGED] and np.isfinite(memory.params.sum()):
            self._proven = before
            return True
        memory.params[:] = before if self.steps_done > first else self._proven
        if options.warns:
            warnings.warn(
                f"The loss stopped being finite in epoch {self.steps_done // self.n_batches}; training ended and the "
                f"last finite parameters were restored. Lower the learning rate (it is "
                f"{options.optimizer.learning_rate:g}), set clip_norm=1.0, or scale the inputs and targets.",
                DivergenceWarning,
                stacklevel=5,
            )
        return False

    def _after_epoch(self, team, epoch: int) -> str:
        """Validate, judge, call back. Returns why training should stop, or an empty string."""
        if self.validation is not None:
            plan, data = self.validation
            self._validation_records.append(plan.evaluate(team, data, self.memory.params, self._empty))
        self._record()
        if self._best is not None:
            if self._best.improves(epoch, float(self.history.record(self._best.monitor)[-1])):
                # A full batch's loss is that of the parameters before its only step.
                of_before = self.n_batches == 1 and not self._best.monitor.startswith("validation")
                self._best_params = self._before_call if of_before else self.memory.params.copy()
                self.history.best_epoch = epoch
            elif self._best.is_late(epoch):
                return "early_stopping"
        stops = [callback(epoch, self.history) is True for callback in self.options.callbacks]
        return "callback" if any(stops) else ""

    def _record(self) -> None:
        """Bring the history up to the last finished epoch."""
        n = self.steps_done // self.n_batches
        self.history.loss = self.memory.epoch_loss[:n]
        if self.data.metric != METRIC_NONE:
            self.history.accuracy = self.memory.epoch_right[:n]
        if self.validation is not None:
            records = np.array(self._validation_records).reshape(-1, 2)
            self.history.validation_loss = records[:, 0]
            if self.validation[1].metric != METRIC_NONE:
                self.history.validation_accuracy = records[:, 1]
