"""Streamed fit: trains epoch by epoch on the blocks of a row file.

Each block is a fit of one epoch that goes on from the one before: with its optimiser state, and the learning rates of
its steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..console.nets_progress import BestScore, PartProgress, progress_of_fit
from ..console.progress_bar import Progress
from ..execution.buffer_cache import buffers
from ..execution.plan import Plan
from ..history import RECORDS, History
from ..kernels.structs import METRIC_NONE, N_SCALARS, STEPS_DONE, Samples
from ..kernels.system import interrupts
from ..streams.shuffled_blocks import Block, Blocks
from .best_epoch import BestEpoch, ScoredEpochs
from .divergence import warn_of_divergence
from .fit_loop import Fit
from .fit_options import Options
from .fit_state import FitState, Saver
from .optimizer_state import CARRIED, OptimizerState
from .stream_state import Place, StreamState
from .time_limit import reserving

NO_RECORDS: dict[str, Any] = {"loss": np.empty(0), "accuracy": np.empty(0), "validation": np.empty((0, 2))}


class StreamedFit:
    """One fit to the blocks of a row file in progress. `run` changes the parameters in place and fills the history.

    make_plan : function (n_samples) -> Plan, for blocks
    validation : plan and samples, or None
    params : (n_padded,), the net's parameters, padded
    n_samples, metric : number of all rows, and METRIC_* code of their targets
    saver : takes the fit's state whenever one is due, and has the state to start from

    An interruption may come between any two lines. The fit then ends as it would have ended there: parameters are
    finite and, with early stopping, the best so far; all records have the same length.
    """

    def __init__(
        self,
        make_plan: Callable[[int], Plan],
        blocks: Blocks,
        n_samples: int,
        metric: int,
        validation: tuple[Plan, Samples] | None,
        params: np.ndarray,
        options: Options,
        history: History,
        saver: Saver[StreamState] | None = None,
    ):
        self._make_plan, self._blocks, self._metric, self._params = make_plan, blocks, metric, params
        self._validation, self._options, self._history = validation, options, history
        self._n_batches = -(-n_samples // options.batch_size)
        assert self._n_batches > 1, "rows of one batch are trained on in memory"
        self._search = BestEpoch(options, validation is not None, self._n_batches)
        self._state = options.state or OptimizerState()
        self._table = np.empty((0, len(RECORDS)))  # a row for each finished epoch
        metrics = [metric] if validation is None else [metric, validation[1].metric]
        # Columns that are records: losses, and accuracies of classes.
        self._kept = [k for k in range(2 * len(metrics)) if k % 2 == 0 or metrics[k // 2] != METRIC_NONE]
        self._place = Place()
        self._ended_by = ""  # why records have ended the fit
        self._begun: FitState | None = None  # of the block in which this fit starts
        self._saver = saver
        self._reached: StreamState | None = None  # from which another fit would go on; only with a saver
        self._saved: StreamState | None = None  # the state that the saver has
        if saver is not None and saver.start is not None:
            self._start_from(saver.start)

    def run(self) -> None:
        start, history = time.perf_counter(), self._history
        try:
            with progress_of_fit(self._options.epochs, self._options.verbose, self._options.progress) as progress:
                history.stopped_by = self._train(progress)
            if history.stopped_by != "divergence":
                self._save()
            self._end()
        except KeyboardInterrupt:
            with interrupts.deferred():  # a second Ctrl-C is raised after the end of this block
                history.stopped_by = "interrupt"
                self._end()
                self._save()
        except BaseException:
            with interrupts.deferred():
                history.stopped_by = "error"
                self._end()
            raise
        finally:
            history.seconds = time.perf_counter() - start

    def _end(self) -> None:
        """Write the parameters that the fit ends with, and its records."""
        search = self._search
        if search.may_stop_early:  # an epoch that was not scored does not count
            self._table = self._table[: search.scored.n_epochs]
        search.restore(self._as_state(), lambda first, n: None)
        self._publish()

    def _train(self, progress: Progress | PartProgress) -> str:
        """Train until the fit ends; return why it ended."""
        options = self._options
        if self._ended_by:  # before the state that this fit started from
            return self._ended_by
        for epoch in range(len(self._table), options.epochs):
            with closing(self._blocks.epoch(epoch, self._place.n_blocks)) as blocks:  # its thread ends here
                for block in blocks:
                    part, after = self._train_block(block, epoch)
                    if part.stopped_by == "divergence" and options.warns:
                        warn_of_divergence(epoch + 1, options.epochs, options.optimizer)
                    if part.stopped_by == "epochs" or after is not None:  # Ctrl-C may come in the last kernel call
                        self._count(len(block.X), part, after)
                    if part.stopped_by != "epochs":
                        return part.stopped_by
                    fraction = self._place.n_rows / (self._n_batches * options.batch_size)
                    progress.show(epoch + min(1.0, fraction), part.loss[0], self._find_best)
            reason = self._after_epoch(epoch, *(self._place.sums / self._place.n_rows))
            progress.show(epoch + 1.0, self._table[epoch, 0], self._find_best)
            self._place, self._ended_by = Place(), "" if reason == "callback" else reason
            self._reach()
            if reason:
                return reason
        return "epochs"

    def _find_best(self) -> BestScore:
        """Return the lowest validation loss so far."""
        has_classes = self._validation is not None and self._validation[1].metric != METRIC_NONE
        return BestScore.of(self._table[:, 2], self._table[:, 3] if has_classes else None)

    def _train_block(self, block: Block, epoch: int) -> tuple[History, FitState | None]:
        """Train on a block, the next one of an epoch.

        Returns
        -------
        The block's records, and the state after its last step if that was reached and there is a saver.
        """
        options, n, (number, n_done, _) = self._options, len(block.X), self._place
        first, total = epoch * self._n_batches + n_done // options.batch_size, options.epochs * self._n_batches
        seed = np.random.SeedSequence([options.seed, epoch, number]).generate_state(1, np.uint64)[0]
        of_block = replace(
            options,
            epochs=1,
            batch_size=min(options.batch_size, n),
            shuffle=options.shuffle and n > options.batch_size,
            seed=int(seed >> np.uint64(1)),
            **options.from_step(first, total),
            early_stopping=None,
            callbacks=(),
            verbose=0,
            progress=None,
            warns=False,
            state=self._state,
        )
        empty = block.X[:0].reshape(-1)
        data = Samples(n, block.X.reshape(-1), block.Y.reshape(-1), False, empty, True, self._metric)
        saver = None if self._saver is None else BlockSaver(self._begun, self._is_due, self._reach)
        self._begun = None
        plan, history = self._make_plan(n), History()
        try:
            Fit(plan, data, None, self._params, of_block, history, saver).run()
        finally:
            plan.release()
        return history, None if saver is None else saver.at_end

    def _count(self, n: int, part: History, after: FitState | None) -> None:
        """Count a block of n rows as trained; part, after : as _train_block returns them"""
        n_blocks, n_rows, sums = self._place
        accuracy = 0.0 if part.accuracy is None else part.accuracy[0]
        self._place = Place(n_blocks + 1, n_rows + n, sums + n * np.array([part.loss[0], accuracy]))
        self._reach(after and before_next_block(after))

    def _after_epoch(self, epoch: int, loss: float, accuracy: float) -> str:
        """Record the epoch, validate, score and call back; return why training should stop, or ""."""
        records = [loss, accuracy, np.nan, np.nan]
        limit = self._options.time_limit
        if self._validation is not None:
            plan, data = self._validation
            with buffers.borrow_team(plan.backend, plan.n_threads) as team, reserving(limit):
                records[2:] = plan.evaluate(team, plan.place(data), self._params, self._params[:0])
        self._table = np.vstack([self._table, records])
        self._publish()
        if self._search.may_stop_early:
            reason, _ = self._search.score(self._history, self._as_state(), None, epoch, epoch + 1, True)
            self._publish()
            if reason:
                return reason
        answers = [callback(epoch, self._history) for callback in self._options.callbacks]
        return "callback" if any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers) else ""

    def _as_state(self) -> Any:
        """Return the parameters as BestEpoch takes them."""
        return SimpleNamespace(params=self._params)

    def _publish(self) -> None:
        """Set the history's records, all at once."""
        records: dict[str, Any] = {RECORDS[k]: np.array(self._table[:, k]) for k in self._kept}
        vars(self._history).update(records, best_epoch=self._search.epoch)

    # ---- the state of the fit, from which another fit can go on

    def _start_from(self, start: StreamState) -> None:
        """Take a state of a fit of the same net, rows and settings."""
        fit, n = start.fit, start.n_epochs
        validation = fit.validation if len(fit.validation) else np.full((n, 2), np.nan)
        self._table = np.column_stack([fit.loss, fit.accuracy, validation])
        self._place, self._ended_by, self._search.scored = start.place, fit.ended_by, fit.scored
        self._params[:] = fit.params
        state = self._state.fitted(self._options.optimizer, len(self._params), self._params.dtype)
        state[: len(fit.optimizer_state)] = fit.optimizer_state
        self._state.scalars = fit.scalars[CARRIED]
        self._begun = fit if fit.scalars[STEPS_DONE] else None
        self._reached = self._saved = start
        self._history.epochs_before = n

    def _is_due(self) -> bool:
        return self._saver is not None and self._saver.is_due(len(self._table))

    def _reach(self, block: FitState | None = None) -> None:
        """Make the present state the one from which another fit would go on, and give it to the saver if one is due.

        block : state of the fit of a block that has begun, or of the next one; None if that is to be copied
        """
        if self._saver is None:
            return
        table = self._table
        n_validated = 0 if self._validation is None else len(table)
        fit = replace(
            block or self._before_next_block(),
            loss=table[:, 0],
            accuracy=table[:, 1],
            validation=table[:n_validated, 2:],
            n_checked=len(table),
            ended_by=self._ended_by,
            n_final_epochs=len(table) if self._ended_by else 0,
            scored=self._search.scored,
        )
        self._reached = StreamState(fit, self._place)
        if self._is_due():
            self._save()

    def _before_next_block(self) -> FitState:
        """Return the state of the fit of the next block before its first step, as copies in the host's memory."""
        assert self._state.array is not None, "a block is trained"
        assert self._state.scalars is not None, "a block is trained"
        n_state = self._options.optimizer.rule.n_state
        arrays = self._params.copy(), self._state.array[:n_state].copy(), first_scalars(self._state.scalars)
        return FitState(*arrays, **NO_RECORDS, n_checked=0)

    def _save(self) -> None:
        """Give the last state to the saver, unless it has it already."""
        if self._saver is not None and self._reached is not None and self._reached is not self._saved:
            self._saver.save(self._reached, self._reached.n_epochs)
            self._saved = self._reached


def first_scalars(carried: np.ndarray) -> np.ndarray:
    """Return the scalars of a fit, float64 (N_SCALARS,), before its first step; carried : those of CARRIED"""
    scalars = np.zeros(N_SCALARS)
    scalars[CARRIED] = carried
    return scalars


def before_next_block(after: FitState) -> FitState:
    """Return the state of the fit of the next block before its first step; after : state at the end of a block"""
    return replace(after, scalars=first_scalars(after.scalars[CARRIED]))


class BlockSaver:
    """Saver of the fit of one block: passes on its states within the block, and keeps the state at its end.

    begun : FitState or None     state to start from, with the records of a whole fit, of which a block has none
    is_due : function that returns whether a state is due
    take : function that gets a state within the block

    at_end : FitState or None     state after the last step, with finite parameters; None before it is reached
    """

    def __init__(self, begun: FitState | None, is_due: Callable[[], bool], take: Callable[[FitState], None]):
        self._is_due, self._take = is_due, take
        self.start: FitState | None = None
        self.at_end: FitState | None = None
        if begun is not None:
            self.start = replace(begun, **NO_RECORDS, n_checked=0, ended_by="", scored=ScoredEpochs())

    def is_due(self, epochs_done: int) -> bool:
        return self._is_due()

    def epochs_left(self, epochs_done: int) -> int | None:
        return None

    def save(self, state: FitState, epochs_done: int) -> None:
        if epochs_done:
            self.at_end = state
        else:
            self._take(state)
