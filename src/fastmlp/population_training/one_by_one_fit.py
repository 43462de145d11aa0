"""Training of a population one by one: each thread trains one net at a time, with the kernels of a single net.

For nets that are too large for a SIMD lane, or too few to fill all lanes. Each thread has the buffers of one net, and
takes nets until none is left.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Event

import numpy as np

from ..console.compile_notice import CompileNotices
from ..console.nets_progress import NetsInTraining, PartProgress
from ..console.progress_bar import Progress
from ..data.population_data import samples_of_net
from ..errors import is_per_net
from ..execution.dispatch import one_by_one_threads
from ..execution.plan import Plan
from ..history import History
from ..kernels.structs import ALL_EPOCHS, CONVERGED, DIVERGED_NET, RUNNING, STOPPED_EARLY
from ..optimizers import settings_of
from ..runtime.memory_check import check_epochs
from ..training.fit_loop import Fit
from ..training.fit_options import Options
from ..training.fits_on_threads import run_on_threads
from ..training.time_limit import OutOfTime, TimeLimit
from .checkpoint_saver import PopulationSaver
from .task_and_outcome import PopulationOutcome, PopulationTask

STATUS = {
    "converged": CONVERGED,
    "divergence": DIVERGED_NET,
    "early_stopping": STOPPED_EARLY,
    "epochs": ALL_EPOCHS,
    "interrupt": RUNNING,
    "time_limit": RUNNING,
}


def train_one_by_one(
    task: PopulationTask,
    outcome: PopulationOutcome,
    members: np.ndarray,
    n_epochs: int,
    progress: Progress | PartProgress,
    saver: PopulationSaver | None = None,
) -> None:
    """Train nets one by one, as many at a time as there are threads; on a GPU one after another, on the current stream.

    task : PopulationTask     its params are trained in place
    outcome : PopulationOutcome     written
    members : (n_members,)     numbers of the nets to train
    n_epochs : int     largest number of epochs per net
    saver : PopulationSaver or None     takes the states of the nets in training

    After a KeyboardInterrupt or OutOfTime every net has the parameters reached so far or, with early stopping, those of
    its best epoch.
    """
    check_epochs(n_epochs, task.n_batches, 2 if task.held_out is None else 4)
    stop, before = Event(), progress.done
    show = lambda nets: progress.show(before + nets.done, float("nan"), nets.find_best)
    n_threads = one_by_one_threads(task.device, len(members))
    waiting = iter(members.tolist())
    in_training = NetsInTraining(show) if n_threads == 1 else NetsInTraining()
    seconds_left = None if task.time_limit is None else task.time_limit.seconds - task.time_limit.elapsed()

    def work() -> None:
        with task.device.on(), CompileNotices(task.verbose > 0):
            trainer = NetTrainer(task, n_epochs, stop, saver, seconds_left, in_training)
            try:
                for net in waiting:  # the threads share a list iterator, which gives each net to one thread
                    if stop.is_set():
                        return
                    trainer.train(net, outcome)
                    if n_threads == 1:
                        show(in_training)
            finally:
                trainer.release()

    if n_threads == 1:  # in this thread, since starting and joining another one takes a millisecond
        return work()
    run_on_threads(work, n_threads, stop, lambda: show(in_training))


class NetTrainer:
    """Trainer of one thread: plans and buffers with which the thread trains one net after another."""

    def __init__(
        self,
        task: PopulationTask,
        n_epochs: int,
        stop: Event,
        saver: PopulationSaver | None,
        seconds_left: float | None = None,
        in_training: NetsInTraining | None = None,
    ):
        self.task, self.n_epochs, self.stop, self.saver = task, n_epochs, stop, saver
        self.in_training = NetsInTraining() if in_training is None else in_training
        # of this thread, which alone knows how long it has waited for kernels
        self.limit = None if seconds_left is None else TimeLimit(seconds_left)
        self.padded = task.network.layout.padded(task.dtype)
        self.differs_per_net = any(map(is_per_net, settings_of(task.optimizer).values()))
        self.plan: Plan | None = None
        self.evaluation: Plan | None = None
        self.validation: Plan | None = None
        if task.held_out is not None:
            self.evaluation = plan = Plan.for_evaluation(
                task.network, task.device, task.dtype, task.held_out.n_samples, n_threads=1, precision=task.precision
            )
            self.validation = plan.with_net(plan.net._replace(margin=task.net.margin))

    def plan_of(self, net: int) -> Plan:
        task = self.task
        l2 = float(task.l2[net]) if is_per_net(task.l2) else task.l2
        dropout = task.dropout[net] if task.dropout.ndim == 2 else task.dropout
        if self.plan is None or not task.device.is_host:  # l2 and dropout may be compiled into a GPU's kernels
            network = task.network
            if not task.device.is_host:
                network = replace(network, l2=l2, dropout=tuple(dropout[:-1].tolist()))
            self.plan = Plan.for_training(
                network,
                task.device,
                task.dtype,
                task.data.n_samples,
                task.batch_size,
                task.shuffle,
                n_threads=1,
                precision=task.precision,
            )
        return self.plan.with_net(self.plan.net._replace(margin=task.net.margin, l2=l2, dropout=dropout))

    def release(self) -> None:
        """Release the buffers, after the last net."""
        for plan in (self.plan, self.evaluation):
            if plan is not None:
                plan.release()

    def train(self, net: int, outcome: PopulationOutcome) -> None:
        """Train one net, and write its parameters to the task and its results to the outcome.

        Raises
        ------
        KeyboardInterrupt
            If the fit was interrupted.
        OutOfTime
            If its time is over.
        """
        task, history = self.task, History()
        params = self.padded[: task.network.layout.n_params]
        params[:] = task.params[net]
        validation = None
        if self.validation is not None and task.held_out is not None:
            validation = self.validation, task.held_out
        data = samples_of_net(task.data, task.strides, net)
        slot = None if self.saver is None else self.saver.slot(net, params)
        Fit(self.plan_of(net), data, validation, self.padded, self._options(net), history, slot).run()
        task.params[net] = params
        record_fit(task, net, history, outcome)
        self.in_training.end(net)
        if self.saver is not None and outcome.status[net] != RUNNING:
            self.saver.end(net, by_last_epoch=outcome.status[net] == ALL_EPOCHS)
        if history.stopped_by == "time_limit":
            raise OutOfTime
        if history.stopped_by == "interrupt":  # Ctrl-C reaches the main thread only; it waits unless it trains
            raise KeyboardInterrupt

    def _options(self, net: int) -> Options:
        task = self.task
        return Options(
            epochs=self.n_epochs,
            batch_size=task.batch_size,
            shuffle=task.shuffle,
            seed=int(task.seeds[net]),
            optimizer=task.optimizer.of_net(net) if self.differs_per_net else task.optimizer,
            factors=task.factors,
            decay_factors=task.optimizer.decay_factors,
            dropout_factors=task.dropout_factors,
            early_stopping=task.early_stopping,
            callbacks=(),
            verbose=0,
            warns=False,
            converged=task.converged,
            time_limit=self.limit,
            stop=self.stop,
            progress=self.in_training.begin(net, self.n_epochs),
        )


def record_fit(task: PopulationTask, net: int, history: History, outcome: PopulationOutcome) -> None:
    """Write the results of a net's fit to the outcome."""
    n = outcome.epochs[net] = history.epochs
    if n:
        outcome.loss[net] = history.loss[-1]
        outcome.accuracy[net] = np.nan if history.accuracy is None else history.accuracy[-1]
        reached = outcome.record_epochs <= n
        with np.errstate(over="ignore"):
            outcome.records[reached, net] = history.loss[outcome.record_epochs[reached] - 1]
    if history.stopped_by == "divergence":
        outcome.loss[net] = np.nan
    if task.monitor is not None and history.best_epoch is not None:
        outcome.best_epochs[net] = history.best_epoch + 1
        outcome.best_value[net] = history.record(task.monitor)[history.best_epoch]
    outcome.status[net] = STATUS[history.stopped_by]  # last, since until then the net counts as interrupted
