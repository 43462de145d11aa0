"""Fit loop: trains epoch by epoch, and handles records, callbacks, interruption and divergence.

No device is named here, and nothing is computed that the kernels compute.
"""

from __future__ import annotations

import time
import warnings
from contextlib import nullcontext, suppress
from math import sqrt

import numpy as np

from ..callbacks import epochs_ahead
from ..console.progress_bar import Progress
from ..data.finiteness import are_finite
from ..errors import DivergenceWarning
from ..execution.buffer_cache import buffers
from ..execution.dispatch import products
from ..execution.plan import Plan
from ..history import History
from ..kernels.formulas.update_rules import CODES, MOST_STATE
from ..kernels.jit import interrupts
from ..kernels.structs import DIVERGED, STEPS_DONE, Samples, TrainConfig, aligned_zeros
from ..schedules import factors_at
from .best_epoch import BestEpoch, Checkpoint
from .call_autotune import STEP, CallAutotuner
from .epoch_records import write_records
from .fit_options import Options
from .optimizer_state import CARRIED

# Cost of scoring the records and calling the kernel, 30 us, in multiply-adds of one core. With half of it the folds of
# a cross-validation take 5 % longer, with twice as much 2 % less.
CHECK_COST = 1_000_000


class Fit:
    """One fit in progress. `run` changes the parameters in place and fills the history.

    plan : kernel family, buffers and backend; data, validation : samples, the latter with a plan of their own
    params : (n_padded,), the net's parameters, padded

    An interruption may come between any two lines. The fit then ends as it would have ended there: parameters are
    finite and, with early stopping, the best so far; all records have one length.
    """

    def __init__(
        self,
        plan: Plan,
        data: Samples,
        validation: tuple[Plan, Samples] | None,
        params: np.ndarray,
        options: Options,
        history: History,
    ):
        self.plan, self.data, self.options, self.history = plan, plan.place(data), options, history
        self.validation = None if validation is None else (validation[0], validation[0].place(validation[1]))
        self._host_params = params
        self.memory = plan.make_memory(params, self._first_state(), options.epochs)
        if options.state is not None and options.state.scalars is not None:
            self.memory.scalars[:, CARRIED] = options.state.scalars
        self._hyper = options.optimizer.hyper
        self._layer_factors = options.optimizer.layer_factors(plan.network.layout.shapes)
        self.n_batches = -(-data.n_samples // options.batch_size)
        self.n_steps = options.epochs * self.n_batches
        self._validated, self._n_validated = np.empty((options.epochs if validation else 0, 2)), 0  # loss, accuracy
        self._empty = np.empty(0, params.dtype)
        # The last parameters known to give a finite loss, and the parameters before a call: equal until the second
        # call.
        self._proven = self._before_call = self._spare = plan.get_or_make("proven", self.memory.params.copy)
        self._search = BestEpoch(options, validation is not None, self.n_batches)
        self._call_began = 0  # first step of the present call
        self._overflowed = False  # whether the parameters stopped being finite while the loss was
        self._ended: int | None = None  # number of epochs the fit ends with, where training went on for more

    def _first_state(self) -> np.ndarray:
        """Return the optimiser state to begin with, in a buffer of the plan unless a later fit is to go on from it."""
        rule, n_padded, dtype = self.options.optimizer, len(self._host_params), self._host_params.dtype
        if self.options.state is not None:
            return self.options.state.fitted(rule, n_padded, dtype)
        state = self.plan.get_or_make("state", lambda: aligned_zeros((MOST_STATE, n_padded), dtype))
        rule.begin(state)
        return state

    @property
    def steps_done(self) -> int:
        return int(self.memory.scalars[0, STEPS_DONE])

    @property
    def epochs_done(self) -> int:
        return self.steps_done // self.n_batches if self._ended is None else self._ended

    @property
    def _n_sound(self) -> int:
        """Number of epochs done, without an epoch whose last step made parameters that are not finite."""
        return (self.steps_done - 1) // self.n_batches if self._overflowed else self.epochs_done

    @property
    def _n_recorded(self) -> int:
        """Number of epochs that have all their records."""
        return self.epochs_done if self.validation is None else min(self.epochs_done, self._n_validated)

    @property
    def _shares_host_memory(self) -> bool:
        """Whether kernels work on the host's own parameters and optimiser state."""
        return self.memory.params is self._host_params

    def _copy_to_host(self) -> None:
        """Copy parameters and optimiser state to the host's arrays, where the device has arrays of its own."""
        state, to_host = self.options.state, self.plan.backend.to_host
        if not self._shares_host_memory:
            self._host_params[:] = to_host(self.memory.params)
            if state is not None and state.array is not None:
                state.array[:] = to_host(self.memory.state).reshape(MOST_STATE, -1)
        if state is not None:
            state.scalars = self.memory.scalars[0, CARRIED]

    def run(self) -> None:
        start, module = time.perf_counter(), self.plan.backend
        # A plan's buffers are for its own number of threads: more threads would write beyond their end.
        n_validating = 0 if self.validation is None else self.validation[0].n_threads
        try:
            with (
                buffers.borrow_team(module, n_validating) if n_validating else nullcontext() as validation_team,
                buffers.borrow_team(module, self.plan.n_threads) as team,
                Progress(self.options.epochs, self.options.verbose, bar=self.options.verbose < 2) as progress,
            ):
                self.history.stopped_by = self._train(team, validation_team, progress)
                self._ended = self._n_recorded
                self._restore_final(team)
                self._copy_to_host()
                self._record(self._ended)
        except KeyboardInterrupt:
            with interrupts.deferred():  # a second Ctrl-C comes when all is whole
                self.history.stopped_by = "interrupt"
                self._end_early()
        except BaseException:
            with interrupts.deferred():
                self.history.stopped_by = "error"
                self._end_after_error()
            raise
        finally:
            self.history.seconds = time.perf_counter() - start

    def _end_early(self) -> None:
        """End the fit as it would have ended at the present line."""
        is_finite = self._is_finite()
        if not is_finite:
            self._restore_finite(self._call_began)
        search = self._search
        if self._ended is None and search.may_stop_early:
            first, checkpoint = search.scored.n_epochs, search.checkpoint
            if checkpoint is not None and checkpoint.epoch == first < self._n_sound and self.validation is None:
                self._score(first, self._n_sound, is_current=False)
            if self._ended is None:  # epochs that were not scored do not count
                self._ended = search.scored.n_epochs
        self._ended = self._n_recorded
        if search.scored.final is not None:
            with buffers.borrow_team(self.plan.backend, self.plan.n_threads) as team:
                self._restore_final(team)
        self._copy_to_host()
        self._record(self._ended)
        if not is_finite:
            self._warn_of_divergence(5)

    def _end_after_error(self) -> None:
        """End the fit as after an interruption, unless that fails too.

        Parameters on a device stay there: the device may be what failed.
        """
        with suppress(Exception):
            if self._shares_host_memory:
                return self._end_early()
        self._search.forget()
        self._record(self._n_recorded)

    def _train(self, team, validation_team, progress: Progress) -> str:
        """Train until the fit ends; return why it ended."""
        measures = self.validation is not None or self.options.metrics is not None
        checks = bool(self.options.callbacks) or self._search.may_stop_early or measures
        checked, next_check = 0, 0 if checks else self.options.epochs  # epochs after which records are checked
        n_products, n_params = products(self.plan.network, self.options.batch_size), self.memory.params.size
        make = lambda: CallAutotuner(self.plan.n_threads, n_products, n_params)
        autotuner = self.plan.get_or_make("autotuner", make)
        while (done := self.steps_done) < self.n_steps:
            if self.options.stop is not None and self.options.stop.is_set():
                raise KeyboardInterrupt
            epoch = done // self.n_batches
            n_threads, n_steps = autotuner.next()
            if checks and epoch >= next_check:
                checked, next_check = epoch, min(epoch + self._epochs_ahead(epoch, n_steps), self.options.epochs)
                needs_checkpoint = self._search.may_stop_early and next_check > epoch + 1
                self._search.checkpoint = Checkpoint.of(self.memory, epoch) if needs_checkpoint else None
            n_steps = min(n_steps, next_check * self.n_batches - done)
            began = time.perf_counter()
            went_well = self._call(team, n_threads, done, n_steps)
            autotuner.record(n_threads, n_steps, time.perf_counter() - began)
            if not went_well:
                scores = self._search.checkpoint is not None
                return (scores and self._score(checked, self._n_sound, is_current=False)) or "divergence"
            epochs_done = self.epochs_done
            self._show(progress, epochs_done)
            is_due = checks and epochs_done >= next_check
            if is_due and (reason := self._after_epochs(validation_team, checked, epochs_done)):
                return reason
        return "epochs"

    def _show(self, progress: Progress, epochs_done: int) -> None:
        """Show the progress, and let the monitor look at losses and units."""
        losses, monitor = self.memory.epoch_loss, self.options.monitor
        if epochs_done:
            progress.show(self.steps_done / self.n_batches, losses[epochs_done - 1])
        if monitor is not None:
            params = self.plan.backend.to_host(self.memory.params)
            monitor.look(losses[:epochs_done], params, at_end=self.steps_done >= self.n_steps, stacklevel=6)

    def _epochs_ahead(self, epoch: int, n_steps: int) -> int:
        """Return the number of epochs until records are checked next, of which a call trains n_steps.

        It is the number with the least expected cost: epochs trained beyond the end, and epochs that are replayed,
        against the checks themselves.
        """
        ahead = epochs_ahead(self.options.callbacks) if self.options.callbacks else self.options.epochs
        measures = self.validation is not None or self.options.metrics is not None
        scores = self._search.may_stop_early
        if measures or (scores and self.options.state is not None):
            return 1
        if scores:
            cost = self.n_batches * (products(self.plan.network, self.options.batch_size) + STEP)
            share = CHECK_COST / cost
            ahead = min(ahead, int(sqrt(share * (epoch + share))), n_steps // self.n_batches)
        return max(1, ahead)

    def _restore_final(self, team) -> None:
        """Write the parameters that the fit ends with."""
        self._search.restore(self.memory, lambda first, n: self._run_kernel(team, self.plan.n_threads, first, n))

    def _call(self, team, n_threads: int, first: int, n_steps: int) -> bool:
        """Train n_steps from step `first` on. If the loss is no longer finite, restore finite parameters, return False.

        An interruption finds a call on the host finished; a call on a device may be half done, and is undone.
        """
        memory, start = self.memory, None
        self._call_began = first
        before = self._before_call = self._spare
        before[:] = memory.params
        if memory.params is not self._host_params:
            state = memory.state if self.options.state is None else memory.state.copy()
            start = Checkpoint(self.epochs_done, before, state, memory.scalars.copy())
        try:
            self._run_kernel(team, n_threads, first, n_steps)
            is_finite = self._is_finite()
        except KeyboardInterrupt:
            if start is not None:
                with interrupts.deferred():
                    start.restore(memory)
            raise
        if is_finite:
            last, self._proven = self._proven, before
            self._spare = last if last is not before else self.plan.get_or_make("spare", self.memory.params.copy)
        else:
            self._restore_finite(first)
            self._warn_of_divergence(6)
        return is_finite

    def _is_finite(self) -> bool:
        return not self.memory.scalars[0, DIVERGED] and are_finite(self.memory.params, self.plan.backend.to_host)

    def _restore_finite(self, first: int) -> None:
        """Restore the last finite parameters after a call that began with step `first`."""
        self._overflowed = not self.memory.scalars[0, DIVERGED]
        self.memory.params[:] = self._before_call if self.steps_done > first else self._proven

    def _warn_of_divergence(self, stacklevel: int) -> None:
        options = self.options
        if options.warns:
            # A loss that is not finite is found before its step, which is not counted then; parameters are after it.
            epoch = (self.steps_done - (0 if self.memory.scalars[0, DIVERGED] else 1)) // self.n_batches + 1
            warnings.warn(
                f"The loss or the parameters stopped being finite in epoch {epoch} of {options.epochs}; training ended "
                f"and the last finite parameters were restored. Lower the learning rate (it is "
                f"{options.optimizer.learning_rate:g}), set clip_norm=1.0, or scale the inputs and targets.",
                DivergenceWarning,
                stacklevel=stacklevel,
            )

    def _run_kernel(self, team, n_threads: int, first: int, n_steps: int) -> None:
        options = self.options
        course = TrainConfig(
            batch_size=options.batch_size,
            shuffle=options.shuffle,
            seed=options.seed,
            rule=CODES[options.optimizer.rule.name],
            hyper=self._hyper,
            factors=factors_at(options.factors, first, n_steps, self.n_steps),
            layered=self._layer_factors.size > 0,
            layer_factors=self._layer_factors,
        )
        self.plan.train(team, n_threads, self.data, course, self.memory, first, n_steps)

    def _after_epochs(self, validation_team, first: int, last: int) -> str:
        """Validate, score and call back after epochs first <= e < last; return why training should stop, or ""."""
        if self.validation is not None:
            plan, data = self.validation
            self._validated[last - 1] = plan.evaluate(validation_team, data, self.memory.params, self._empty)
            self._n_validated = last
        if self.options.metrics is not None:
            self._copy_to_host()
            self.options.metrics.measure(last - 1)
        if self._search.may_stop_early and (reason := self._score(first, last)):
            return reason
        self._record(last)
        if self.options.callbacks:
            self._copy_to_host()
        answers = [callback(last - 1, self.history) for callback in self.options.callbacks]  # all of them are called
        return "callback" if any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers) else ""

    def _score(self, first: int, last: int, is_current: bool = True) -> str:
        """Score epochs first <= e < last; return why the fit ends, or "".

        is_current : whether the present parameters are those after epoch last - 1
        """
        self._record(last)
        reason, end = self._search.score(self.history, self.memory, self._before_call, first, last, is_current)
        if reason:
            self._ended, self._n_validated = end, min(self._n_validated, end)
        self._record(end)
        return reason

    def _record(self, n_epochs: int) -> None:
        """Bring the history's records to n_epochs epochs."""
        validated_metric = None if self.validation is None else self.validation[1].metric
        write_records(
            self.history,
            n_epochs,
            self.memory,
            self.data.metric,
            self._validated,
            validated_metric,
            self._search.epoch,
            {} if self.options.metrics is None else self.options.metrics.records(n_epochs),
        )
