"""A fit: epochs, records, early stopping, callbacks, interruption, divergence. No device names, no mathematics."""

from __future__ import annotations

import time
import warnings
from contextlib import nullcontext, suppress
from math import sqrt

import numpy as np

from ..callbacks import Best, epochs_ahead
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
from .call_autotune import STEP, CallAutotuner
from .epoch_records import Checkpoint, Judged, Kept, score_epochs, write_records
from .fit_options import Options
from .optimizer_state import CARRIED

# What a look at the records costs, with the call into the kernel, 30 us, as the multiply-adds that a core does in that
# time. Half and twice as much make folds 5 % slower and 2 % faster.
LOOK = 1_000_000


class Fit:
    """One fit in progress. `run` changes params in place and fills the history.

    Where only the records of training say when a fit ends, or which parameters were the best, it looks at several
    epochs at a time. Training repeats itself to the bit, so the parameters of an epoch in between are found again from
    those of the last look before.

    An interruption may come between any two lines. It ends the fit as it would have ended there: parameters are finite
    and, where early stopping chooses them, the best so far; records are of one length.
    """

    def __init__(
        self, plan: Plan, data: Samples, validation: tuple[Plan, Samples] | None, params: np.ndarray, options: Options,
        history: History,
    ):  # fmt: skip
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
        self._validated, self._n_validated = np.empty((options.epochs if validation else 0, 2)), 0  # loss, share right
        self._empty = np.empty(0, params.dtype)
        # The last parameters known to give a finite loss, and those before a call: the same until the second call.
        self._proven = self._before_call = self._spare = plan.get_or_make("proven", self.memory.params.copy)
        self._judged = Judged()
        self._last_look: Checkpoint | None = None
        self._call_began, self._overflowed = 0, False  # with which step; whether parameters have, and not the loss
        self._ended: int | None = None  # after how many epochs, where training went on for more
        rule, default = options.early_stopping, "loss" if validation is None else "validation_loss"
        self._best = None if rule is None else Best(rule, rule.monitor or default)

    def _first_state(self) -> np.ndarray:
        """The optimiser's, in memory of the plan's if nobody wants to go on with it."""
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
        """Epochs done, without one whose last step has made parameters that are not finite."""
        return (self.steps_done - 1) // self.n_batches if self._overflowed else self.epochs_done

    @property
    def _n_recorded(self) -> int:
        """Epochs of which all records are there."""
        return self.epochs_done if self.validation is None else min(self.epochs_done, self._n_validated)

    @property
    def _is_at_home(self) -> bool:
        """Whether kernels work on the host's own parameters and state."""
        return self.memory.params is self._host_params

    def _bring_home(self) -> None:
        """The present parameters into the host's, where the device has its own, and what the optimiser remembers."""
        state, to_host = self.options.state, self.plan.backend.to_host
        if not self._is_at_home:
            self._host_params[:] = to_host(self.memory.params)
            if state is not None and state.array is not None:
                state.array[:] = to_host(self.memory.state).reshape(MOST_STATE, -1)
        if state is not None:
            state.scalars = self.memory.scalars[0, CARRIED]

    def run(self) -> None:
        start, module = time.perf_counter(), self.plan.backend
        # Buffers are for a plan's own number of threads: more of them would write beyond the end.
        n_judges = 0 if self.validation is None else self.validation[0].n_threads
        try:
            with (
                buffers.borrow_team(module, n_judges) if n_judges else nullcontext() as judges,
                buffers.borrow_team(module, self.plan.n_threads) as team,
                Progress(self.options.epochs, self.options.verbose, bar=self.options.verbose < 2) as progress,
            ):
                self.history.stopped_by = self._train(team, judges, progress)
                self._ended = self._n_recorded
                self._restore_kept(team)
                self._bring_home()
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
        """End as the fit would have ended here, wherever here is."""
        is_finite = self._is_finite()
        if not is_finite:
            self._restore_finite(self._call_began)
        if self._ended is None and self._judges:
            first, look = self._judged.n_epochs, self._last_look
            if look is not None and look.epoch == first < self._n_sound and self.validation is None:
                self._judge(first, self._n_sound, is_now=False)
            if self._ended is None:  # epochs that nobody has judged do not count
                self._ended = self._judged.n_epochs
        self._ended = self._n_recorded
        if self._judged.kept is not None:
            with buffers.borrow_team(self.plan.backend, self.plan.n_threads) as team:
                self._restore_kept(team)
        self._bring_home()
        self._record(self._ended)
        if not is_finite:
            self._warn_of_divergence(5)

    def _end_after_error(self) -> None:
        """The same, unless it fails too. What a device has is left there: perhaps it is what failed."""
        with suppress(Exception):
            if self._is_at_home:
                return self._end_early()
        self._judged = self._judged._replace(epoch=-1)  # whatever was the best, it is not restored
        self._record(self._n_recorded)

    def _train(self, team, judges, progress: Progress) -> str:
        measures = self.validation is not None or self.options.metrics is not None
        looks = bool(self.options.callbacks) or self._judges or measures
        looked, next_look = 0, 0 if looks else self.options.epochs  # epochs by the end of which somebody wants to look
        module = self.plan.backend
        n_products, n_params = products(self.plan.network, self.options.batch_size), self.memory.params.size
        pace = self.plan.get_or_make("pace", lambda: CallAutotuner(self.plan.n_threads, n_products, n_params))
        while (done := self.steps_done) < self.n_steps:
            if self.options.stop is not None and self.options.stop.is_set():
                raise KeyboardInterrupt
            epoch = done // self.n_batches
            n_threads, n_steps = pace.next()
            if looks and epoch >= next_look:
                looked, next_look = epoch, min(epoch + self._epochs_ahead(epoch, n_steps), self.options.epochs)
                self._last_look = self._now() if self._judges and next_look > epoch + 1 else None
            n_steps = min(n_steps, next_look * self.n_batches - done)
            began = time.perf_counter()
            went_well = self._call(team, n_threads, done, n_steps)
            pace.record(n_threads, n_steps, time.perf_counter() - began)
            epochs_done = self.epochs_done
            if not went_well:
                if self._last_look is not None:
                    return self._judge(looked, self._n_sound, is_now=False) or "divergence"
                return "divergence"
            if epochs_done:
                progress.show(self.steps_done / self.n_batches, self.memory.epoch_loss[epochs_done - 1])
            if self.options.monitor is not None:
                at_end = self.steps_done >= self.n_steps
                params = module.to_host(self.memory.params)
                self.options.monitor.look(self.memory.epoch_loss[:epochs_done], params, at_end=at_end)
            if looks and epochs_done >= next_look and (reason := self._after_epochs(judges, looked, epochs_done)):
                return reason
        return "epochs"

    @property
    def _judges(self) -> bool:
        """Whether records may end the fit."""
        return self._best is not None or self.options.converged is not None

    def _epochs_ahead(self, epoch: int, n_steps: int) -> int:
        """Epochs until the next look, of which a call takes n_steps: as many as cost least, if those that turn out to
        have been too many, and those that must be found again, count against the looks.
        """
        ahead = epochs_ahead(self.options.callbacks) if self.options.callbacks else self.options.epochs
        measures = self.validation is not None or self.options.metrics is not None
        if measures or (self._judges and self.options.state is not None):
            return 1
        if self._judges:
            cost = self.n_batches * (products(self.plan.network, self.options.batch_size) + STEP)
            share = LOOK / cost
            ahead = min(ahead, int(sqrt(share * (epoch + share))), n_steps // self.n_batches)
        return max(1, ahead)

    def _now(self) -> Checkpoint:
        memory = self.memory
        return Checkpoint(self.epochs_done, memory.params.copy(), memory.state.copy(), memory.scalars.copy())

    def _go_back(self, moment: Checkpoint) -> None:
        memory = self.memory
        memory.params[:], memory.state[:], memory.scalars[:] = moment.params, moment.state, moment.scalars

    def _restore_kept(self, team) -> None:
        """The parameters to end with."""
        kept = self._judged.kept
        if kept is None:
            return
        if kept.moment is None:
            self.memory.params[:] = kept.params
            return
        self._go_back(kept.moment)
        if kept.n_epochs:  # no longer than a call
            first, n_steps = kept.moment.epoch * self.n_batches, kept.n_epochs * self.n_batches
            self._run_kernel(team, self.plan.n_threads, first, n_steps)

    def _call(self, team, n_threads: int, first: int, n_steps: int) -> bool:
        """Train n_steps from step `first` on; False if the loss was not finite, after restoring finite parameters.

        An interruption finds the host's call done, and a device's half done: that one is undone.
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
                    self._go_back(start)
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
        """The last finite parameters, after a call that began with step `first`."""
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
        self.plan.backend.train(
            self.plan.family, team, n_threads, self.plan.net, self.data, course, self.memory, self.plan.work, first,
            n_steps,
        )  # fmt: skip

    def _after_epochs(self, judges, first: int, last: int) -> str:
        """Validate, judge, call back after epochs first <= e < last. Returns why training should stop, or an empty
        string.
        """
        if self.validation is not None:
            plan, data = self.validation
            self._validated[last - 1] = plan.evaluate(judges, data, self.memory.params, self._empty)
            self._n_validated = last
        if self.options.metrics is not None:
            self._bring_home()
            self.options.metrics.measure(last - 1)
        if self._judges and (reason := self._judge(first, last)):
            return reason
        self._record(last)
        if self.options.callbacks:
            self._bring_home()
        said = [callback(last - 1, self.history) for callback in self.options.callbacks]  # all of them are called
        return "callback" if any(isinstance(answer, (bool, np.bool_)) and answer for answer in said) else ""

    def _judge(self, first: int, last: int, is_now: bool = True) -> str:
        """Which of epochs first <= e < last was the best so far, and which the last one, if the records say so.

        is_now : whether the present parameters are those after epoch last - 1
        """
        self._record(last)
        best, judged = self._best, self._judged
        if best is not None:
            best.value, best.epoch = judged.value, judged.epoch  # as they were, if this was begun and interrupted
        improved, reason, end = score_epochs(best, self.options.converged, self.history, first, last)
        kept = judged.kept
        if improved is not None:
            # A full batch's loss is that of the parameters before its only step.
            is_of_after = best is not None and best.monitor not in ("loss", "accuracy") and reason != "converged"
            of_before = self.n_batches == 1 and not is_of_after
            n_epochs = improved + (0 if of_before else 1)
            if n_epochs == last and is_now:
                kept = Kept(self.memory.params.copy())
            elif self._last_look is None:
                kept = Kept(self._before_call.copy())
            else:
                kept = Kept(moment=self._last_look, n_epochs=n_epochs - first)
        value, epoch = (judged.value, judged.epoch) if best is None else (best.value, best.epoch)
        self._judged = Judged(end, value, epoch, kept)
        if reason:
            self._ended, self._n_validated = end, min(self._n_validated, end)
        self._record(end)
        return reason

    def _record(self, n: int) -> None:
        """Bring the history to n epochs."""
        best_epoch = self._judged.epoch if self._judged.epoch >= 0 else None
        validated_metric = None if self.validation is None else self.validation[1].metric
        write_records(
            self.history, n, self.memory, self.data.metric, self._validated, validated_metric, best_epoch,
            {} if self.options.metrics is None else self.options.metrics.records(n),
        )  # fmt: skip
