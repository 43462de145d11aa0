"""Streamed fit: trains epoch by epoch on the blocks of a row file.

Each block is a fit of one epoch that goes on from the one before: with its optimiser state, and the learning rates of
its steps.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from ..console.progress_bar import Progress
from ..execution.buffer_cache import buffers
from ..execution.plan import Plan
from ..history import History
from ..kernels.jit import interrupts
from ..kernels.structs import METRIC_NONE, Samples
from ..streams.shuffled_blocks import Block, Blocks
from .best_epoch import BestEpoch
from .divergence import warn_of_divergence
from .fit_loop import Fit
from .fit_options import Options
from .optimizer_state import OptimizerState
from .time_limit import reserving


class StreamedFit:
    """One fit to the blocks of a row file in progress. `run` changes the parameters in place and fills the history.

    make_plan : function (n_samples) -> Plan, for blocks
    validation : plan and samples, or None
    params : (n_padded,), the net's parameters, padded
    n_samples, metric : number of all rows, and METRIC_* code of their targets
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
    ):
        self._make_plan, self._blocks, self._metric, self._params = make_plan, blocks, metric, params
        self._validation, self._options, self._history = validation, options, history
        self._n_batches = -(-n_samples // options.batch_size)
        assert self._n_batches > 1, "rows of one batch are trained on in memory"
        self._search = BestEpoch(options, validation is not None, self._n_batches)
        self._state = options.state or OptimizerState()
        self._records: dict[str, list[float]] = {"loss": []}
        if metric != METRIC_NONE:
            self._records["accuracy"] = []
        if validation is not None:
            self._records["validation_loss"] = []
            if validation[1].metric != METRIC_NONE:
                self._records["validation_accuracy"] = []

    def run(self) -> None:
        start, history = time.perf_counter(), self._history
        try:
            with Progress(self._options.epochs, self._options.verbose, bar=self._options.verbose < 2) as progress:
                history.stopped_by = self._train(progress)
        except KeyboardInterrupt:
            history.stopped_by = "interrupt"
        except BaseException:
            history.stopped_by = "error"
            raise
        finally:
            with interrupts.deferred():
                if self._search.scored.final is not None:
                    self._search.restore(self._as_state(), lambda first, n: None)
                self._publish(min(map(len, self._records.values())))
                history.seconds = time.perf_counter() - start

    def _train(self, progress: Progress) -> str:
        """Train until the fit ends; return why it ended."""
        for epoch in range(self._options.epochs):
            sums, n_done = np.zeros(2), 0
            for number, block in enumerate(self._blocks.epoch(epoch)):
                part = self._train_block(block, epoch, number, n_done)
                if part.stopped_by == "divergence" and self._options.warns:
                    warn_of_divergence(epoch + 1, self._options.epochs, self._options.optimizer.learning_rate)
                if part.stopped_by != "epochs":
                    return part.stopped_by
                n = len(block.X)
                sums += n * part.loss[0], n * (part.accuracy[0] if part.accuracy is not None else 0.0)
                n_done += n
                progress.show(epoch + min(1.0, n_done / (self._n_batches * self._options.batch_size)), part.loss[0])
            if reason := self._after_epoch(epoch, *(sums / n_done)):
                return reason
        return "epochs"

    def _train_block(self, block: Block, epoch: int, number: int, n_done: int) -> History:
        """Train on a block, the epoch's block of this number, after n_done rows of the epoch; return its records."""
        options, n = self._options, len(block.X)
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
            warns=False,
            state=self._state,
        )
        empty = block.X[:0].reshape(-1)
        data = Samples(n, block.X.reshape(-1), block.Y.reshape(-1), False, empty, True, self._metric)
        plan, history = self._make_plan(n), History()
        try:
            Fit(plan, data, None, self._params, of_block, history).run()
        finally:
            plan.release()
        return history

    def _after_epoch(self, epoch: int, loss: float, accuracy: float) -> str:
        """Record the epoch, validate, score and call back; return why training should stop, or ""."""
        found = {"loss": loss, "accuracy": accuracy}
        limit = self._options.time_limit
        if self._validation is not None:
            plan, data = self._validation
            with buffers.borrow_team(plan.backend, plan.n_threads) as team, reserving(limit):
                results = plan.evaluate(team, plan.place(data), self._params, self._params[:0])
            found["validation_loss"], found["validation_accuracy"] = results
        for name, values in self._records.items():
            values.append(found[name])
        self._publish(epoch + 1)
        if self._search.may_stop_early:
            reason, _ = self._search.score(self._history, self._as_state(), None, epoch, epoch + 1, True)
            self._publish(epoch + 1)
            if reason:
                return reason
        answers = [callback(epoch, self._history) for callback in self._options.callbacks]
        return "callback" if any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers) else ""

    def _as_state(self) -> Any:
        """Return the parameters as BestEpoch takes them."""
        return SimpleNamespace(params=self._params)

    def _publish(self, n_epochs: int) -> None:
        """Set the history's records to those of the first n_epochs epochs, all at once."""
        records: dict[str, Any] = {name: np.array(values[:n_epochs]) for name, values in self._records.items()}
        vars(self._history).update(records, best_epoch=self._search.epoch)
