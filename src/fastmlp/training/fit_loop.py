"""Fit loop: trains epoch by epoch, and handles records, callbacks, interruption and divergence.

This module names no device, and leaves all arithmetic on samples to the kernels.
"""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from math import sqrt

import numpy as np

from ..callbacks import epochs_ahead
from ..console.nets_progress import BestScore, PartProgress, progress_of_fit
from ..console.progress_bar import Progress
from ..execution.buffer_cache import buffers
from ..execution.plan import Plan
from ..execution.unrolled_code import pays_to_compile
from ..history import History
from ..kernels.structs import DIVERGED, METRIC_NONE, Samples
from ..kernels.system import interrupts
from .best_epoch import Checkpoint
from .call_autotune import STEP, CallAutotuner
from .divergence import warn_of_divergence
from .epoch_records import write_records
from .fit_base import FitBase
from .fit_options import Options
from .fit_state import FitState, Saver
from .kernel_call_configs import TrainConfigs
from .state_transfer import can_go_on, is_complete, start_from, state_of
from .time_limit import CallSizes, reserving

# Cost of scoring the records and calling the kernel, 30 us, in multiply-adds of one core. With half of it the folds of
# a cross-validation take 5 % longer, with twice as much 2 % less.
CHECK_COST = 1_000_000


class Fit(FitBase):
    """One fit in progress. `run` changes the parameters in place and fills the history.

    plan, data, validation, params : as of FitBase
    saver : takes the fit's state whenever one is due, and has the state to start from

    An interruption may come between any two lines. The fit then ends as it would have ended there: parameters are
    finite and, with early stopping, the best so far; all records have the same length.
    """

    def __init__(
        self,
        plan: Plan,
        data: Samples,
        validation: tuple[Plan, Samples] | None,
        params: np.ndarray,
        options: Options,
        history: History,
        saver: Saver[FitState] | None = None,
    ):
        super().__init__(plan, data, validation, params, options, history)
        self._configs = TrainConfigs(options, plan.network.layout.shapes, self.n_steps)
        self._empty = np.empty(0, params.dtype)
        self._compiles = pays_to_compile(None if options.time_limit is None else options.time_limit.seconds)
        self._saver = saver
        if saver is not None and saver.start is not None:
            start_from(self, saver.start)

    def run(self) -> None:
        start, backend = time.perf_counter(), self.plan.backend
        # A plan's buffers are for its own number of threads: more threads would write beyond their end.
        n_validating = 0 if self.validation is None else self.validation[0].n_threads
        try:
            with (
                buffers.borrow_team(backend, n_validating) if n_validating else nullcontext() as validation_team,
                buffers.borrow_team(backend, self.plan.n_threads) as team,
                progress_of_fit(self.options.epochs, self.options.verbose, self.options.progress) as progress,
            ):
                self.history.stopped_by = self._train(team, validation_team, progress)
                if self.history.stopped_by != "divergence" and is_complete(self):
                    self._save()
                self.n_final_epochs = self.n_recorded
                self._restore_final(team)
                self.copy_to_host()
                self._write_records(self.n_final_epochs)
                if self.history.stopped_by == "divergence":
                    self._reset_optimizer_state()
        except KeyboardInterrupt:
            with interrupts.deferred():  # a second Ctrl-C is raised after the end of this block
                self.history.stopped_by = "interrupt"
                state = state_of(self) if self._saver is not None and can_go_on(self) else None
                self._end_early()
                if self._saver is not None and state is not None:
                    self._saver.save(state, len(state.loss))
        except BaseException:
            with interrupts.deferred():
                self.history.stopped_by = "error"
                self._end_after_error()
            raise
        finally:
            self.history.seconds = time.perf_counter() - start

    def _end_early(self) -> None:
        """End the fit as it would have ended at the present line."""
        is_finite = self.guard.is_finite()
        if not is_finite:
            self.guard.restore()
        self._score_finished_epochs()
        self.n_final_epochs = self.n_recorded
        if self.search.scored.final is not None:
            with buffers.borrow_team(self.plan.backend, self.plan.n_threads) as team:
                self._restore_final(team)
        self.copy_to_host()
        self._write_records(self.n_final_epochs)
        if not is_finite:
            self._reset_optimizer_state()
            self._warn_of_divergence()

    def _reset_optimizer_state(self) -> None:
        """Forget the state that later fits would go on from: after a divergence it may be anything."""
        if self.options.state is not None:
            self.options.state.reset()

    def _score_finished_epochs(self) -> None:
        """Score the epochs that were finished before the present line."""
        search = self.search
        if self.n_final_epochs is None and search.may_stop_early:
            first, checkpoint = search.scored.n_epochs, search.checkpoint
            if checkpoint is not None and checkpoint.epoch == first < self.n_finite_epochs and self.validation is None:
                self._score(first, self.n_finite_epochs, is_current=False)
            if self.n_final_epochs is None:  # epochs that were not scored do not count
                self.n_final_epochs = search.scored.n_epochs

    def _end_in_time(self, validation_team, checks_records: bool) -> str:
        """End the fit between two calls, since its time is over; return why it ended."""
        if checks_records and self.steps_done % self.n_batches == 0 and self.n_checked < self.epochs_done:
            return self._check(validation_team, self.epochs_done) or "time_limit"
        if is_complete(self):
            self._save()  # before epochs are scored that the next fit will score when it has finished the present one
        self._score_finished_epochs()
        return "time_limit"

    def _end_after_error(self) -> None:
        """End the fit as after an interruption, unless that fails too.

        Parameters on a device are not copied back, since the device itself may have failed.
        """
        with suppress(Exception):
            if self.shares_host_memory:
                return self._end_early()
        self.search.forget()
        self._write_records(self.n_recorded)

    def _train(self, team, validation_team, progress: Progress | PartProgress) -> str:
        """Train until the fit ends; return why it ended."""
        measures_epochs = self.validation is not None or self.options.metrics is not None
        checks_records = bool(self.options.callbacks) or self.search.may_stop_early or measures_epochs
        if self.ended_by:  # before the state that this fit started from
            return self.ended_by
        # Number of epochs after which records are checked.
        next_check = self.n_checked if checks_records else self.options.epochs
        if (begun := self.steps_done % self.n_batches) and self.options.shuffle and self.plan.device.is_host:
            self.plan.draw_order(self.data.n_samples, self.options.seed, self.epochs_done)
        if checks_records and self.steps_done > self.n_checked * self.n_batches:  # started from a state before a check
            next_check = self.epochs_done + (begun > 0)
            if not begun and (reason := self._check(validation_team, next_check)):
                return reason
        n_products, n_params = self.plan.products(self.options.batch_size), self.train_state.params.size
        make = lambda: CallAutotuner(self.plan.n_threads, n_products, n_params)
        autotuner = self.plan.get_or_make("autotuner", make)
        limit = self.options.time_limit
        sizes = None if limit is None else CallSizes(limit, self.n_batches)
        while (done := self.steps_done) < self.n_steps:
            if self.options.stop is not None and self.options.stop.is_set():
                raise KeyboardInterrupt
            epoch = done // self.n_batches
            n_threads, n_steps = autotuner.next()
            if sizes is not None and not (n_steps := min(n_steps, sizes.next(done))):
                return self._end_in_time(validation_team, checks_records)
            if checks_records and epoch >= next_check:
                next_check = min(epoch + self._epochs_ahead(epoch, n_steps), self.options.epochs)
                needs_checkpoint = self.search.may_stop_early and next_check > epoch + 1
                self.search.checkpoint = Checkpoint.copy_of(self.train_state, epoch) if needs_checkpoint else None
            n_steps = min(n_steps, next_check * self.n_batches - done, self._steps_until_saved(done))
            started = time.perf_counter()
            is_finite = self._train_steps(team, n_threads, done, n_steps)
            autotuner.record(n_threads, n_steps, time.perf_counter() - started)
            if sizes is not None:
                sizes.record(n_steps)
            if not is_finite:
                has_checkpoint = self.search.checkpoint is not None
                return (
                    has_checkpoint and self._score(self.n_checked, self.n_finite_epochs, is_current=False)
                ) or "divergence"
            epochs_done = self.epochs_done
            self._look(epochs_done)
            is_due = checks_records and epochs_done >= next_check
            reason = self._check(validation_team, epochs_done) if is_due else ""
            if epochs_done:
                last_loss = self.train_state.epoch_loss[epochs_done - 1]
                progress.show(self.steps_done / self.n_batches, last_loss, self._find_best)
            if reason:
                return reason
            if self._saver is not None and is_complete(self) and self._saver.is_due(epochs_done):
                self._save()
        return "epochs"

    def _look(self, epochs_done: int) -> None:
        """Let the monitor look at losses and units."""
        monitor = self.options.monitor
        if monitor is not None:
            params = self.plan.backend.to_host(self.train_state.params)
            losses = self.train_state.epoch_loss[:epochs_done]
            monitor.look(losses, params, at_end=self.steps_done >= self.n_steps)

    def _find_best(self) -> BestScore:
        """Return the lowest validation loss so far."""
        has_classes = self.validation is not None and self.validation[1].metric != METRIC_NONE
        losses, accuracies = self.validated[: self.n_validated].T
        return BestScore.of(losses, accuracies if has_classes else None)

    def _epochs_ahead(self, epoch: int, n_steps: int) -> int:
        """Return the number of epochs until records are checked next, of which a call trains n_steps.

        It is the number with the least expected cost: epochs trained beyond the end, and epochs that are replayed,
        against the checks themselves.
        """
        n_epochs = epochs_ahead(self.options.callbacks) if self.options.callbacks else self.options.epochs
        measures_epochs = self.validation is not None or self.options.metrics is not None
        may_stop_early = self.search.may_stop_early
        if measures_epochs or (may_stop_early and self.options.state is not None):
            return 1
        if may_stop_early:
            epoch_cost = self.n_batches * (self.plan.products(self.options.batch_size) + STEP)
            relative_cost = CHECK_COST / epoch_cost
            n_epochs = min(n_epochs, int(sqrt(relative_cost * (epoch + relative_cost))), n_steps // self.n_batches)
        return max(1, n_epochs)

    def _restore_final(self, team) -> None:
        """Write the parameters that the fit ends with."""
        self.search.restore(self.train_state, lambda first, n: self._call_kernel(team, self.plan.n_threads, first, n))

    def _train_steps(self, team, n_threads: int, first: int, n_steps: int) -> bool:
        """Train n_steps from step `first` on. If the loss is no longer finite, restore finite parameters, return False.

        An interruption finds a call on the host finished; a call on a device may be half done, and is undone.
        """
        train_state, checkpoint = self.train_state, None
        before_call = self.guard.begin_call(first)
        if train_state.params is not self.host_params:
            is_needed_after_interruption = self.options.state is not None or self._saver is not None
            state = train_state.state.copy() if is_needed_after_interruption else train_state.state
            checkpoint = Checkpoint(self.epochs_done, before_call, state, train_state.scalars.copy())
        try:
            self._call_kernel(team, n_threads, first, n_steps)
            is_finite = self.guard.is_finite()
        except KeyboardInterrupt:
            if checkpoint is not None:
                with interrupts.deferred():
                    checkpoint.restore(train_state)
            raise
        if is_finite:
            self.guard.end_call()
        else:
            self.guard.restore()
            self._warn_of_divergence()
        return is_finite

    def _warn_of_divergence(self) -> None:
        options = self.options
        if options.warns:
            # A loss that is not finite is found before its step, which is not counted then; parameters are after it.
            epoch = (self.steps_done - (0 if self.train_state.scalars[0, DIVERGED] else 1)) // self.n_batches + 1
            warn_of_divergence(epoch, options.epochs, options.optimizer)

    def _call_kernel(self, team, n_threads: int, first: int, n_steps: int) -> None:
        config = self._configs.of(first, n_steps)
        self.plan.train(team, n_threads, self.data, config, self.train_state, first, n_steps, self._compiles)

    def _check(self, validation_team, n_epochs: int) -> str:
        """Check the records of the epochs up to n_epochs; return why training should stop, or ""."""
        with reserving(self.options.time_limit):
            reason = self._after_epochs(validation_team, self.n_checked, n_epochs)
        self.n_checked, self.ended_by = n_epochs, "" if reason == "callback" else reason
        return reason

    def _after_epochs(self, validation_team, first: int, last: int) -> str:
        """Validate, score and call back after epochs first <= e < last; return why training should stop, or ""."""
        if self.validation is not None:
            plan, data = self.validation
            self.validated[last - 1] = plan.evaluate(validation_team, data, self.train_state.params, self._empty)
            self.n_validated = last
        if self.options.metrics is not None:
            self.copy_to_host()
            self.options.metrics.measure(last - 1)
        if self.search.may_stop_early and (reason := self._score(first, last)):
            return reason
        self._write_records(last)
        if self.options.callbacks:
            self.copy_to_host()
        results = [callback(last - 1, self.history) for callback in self.options.callbacks]  # all of them are called
        return "callback" if any(isinstance(result, (bool, np.bool_)) and result for result in results) else ""

    def _score(self, first: int, last: int, is_current: bool = True) -> str:
        """Score epochs first <= e < last; return why the fit ends, or "".

        is_current : whether the present parameters are those after epoch last - 1
        """
        self._write_records(last)
        before_call = self.guard.before_call
        reason, end = self.search.score(self.history, self.train_state, before_call, first, last, is_current)
        if reason:
            self.n_final_epochs, self.n_validated = end, min(self.n_validated, end)
        self._write_records(end)
        return reason

    def _write_records(self, n_epochs: int) -> None:
        """Set the history's records to those of the first n_epochs epochs."""
        validation_metric = None if self.validation is None else self.validation[1].metric
        write_records(
            self.history,
            n_epochs,
            self.train_state,
            self.data.metric,
            self.validated,
            validation_metric,
            self.search.epoch,
            {} if self.options.metrics is None else self.options.metrics.records(n_epochs),
        )

    # ---- the state of the fit, from which another fit can go on

    def _steps_until_saved(self, done: int) -> int:
        """Return the number of steps after which the state is due, or can be given if it is."""
        if self._saver is None:
            return self.n_steps
        epoch = done // self.n_batches
        left = self._saver.epochs_left(epoch)
        if left is None:
            left = 1 if not self.plan.device.is_host and self._saver.is_due(epoch) else self.options.epochs
        return (epoch + left) * self.n_batches - done

    def _save(self) -> None:
        """Give the state to the saver, unless it has it already."""
        if self._saver is not None and self.saved_steps != self.steps_done:
            self._saver.save(state_of(self), self.steps_done // self.n_batches)
            self.saved_steps = self.steps_done
