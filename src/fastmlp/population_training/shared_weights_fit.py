"""Training of a population with shared weights: one fit of all nets, by the fit loop of one net."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..callbacks import Callback, tell_end
from ..console.nets_progress import line_start
from ..console.progress_bar import EpochLines, Progress
from ..history import History
from ..kernels.structs import aligned_zeros
from ..kernels.system import interrupts
from ..network.shared_weights_layout import SharedLayout
from ..runtime.memory_check import check_epochs
from ..training.fit_loop import Fit
from ..training.fit_options import Options
from ..training.time_limit import OutOfTime
from .checkpoint_saver import PopulationSaver
from .one_by_one_fit import STATUS, record_fit
from .shared_weights_plan import SharedPlan
from .task_and_outcome import PopulationOutcome, PopulationTask


def train_shared_weights(
    task: PopulationTask,
    outcome: PopulationOutcome,
    members: np.ndarray,
    n_epochs: int,
    progress: Progress,
    saver: PopulationSaver | None = None,
) -> None:
    """Train all nets together; arguments and interruptions as of train_one_by_one.

    members : all nets; saver : None

    Losses and accuracies of the training are means over the nets; those of held-out samples are of the mean of the
    nets' outputs, by which early stopping ends the fit of all.
    """
    assert len(members) == task.n_nets
    assert saver is None
    check_epochs(n_epochs, task.n_batches, 2 if task.held_out is None else 4)
    layout, history = SharedLayout(task.network, task.n_nets), History()
    vector = aligned_zeros(layout.n_padded, task.dtype)
    layout.read_nets(task.params, vector)
    arguments = layout, task.device, task.dtype
    plan = SharedPlan.for_training(*arguments, task.data.n_samples, task.batch_size, task.shuffle)
    validation = None
    if task.held_out is not None:
        validation = SharedPlan.for_evaluation(*arguments, task.held_out.n_samples), task.held_out
    lines = [EpochLines(n_epochs, line_start())] if task.verbose == 2 else []
    fit = Fit(plan, task.data, validation, vector, _options(task, n_epochs, lines), history)
    try:
        fit.run()
        tell_end(lines, history)
    finally:
        with interrupts.deferred():  # nets of which some have their scales would be wrong ones
            layout.write_nets(vector, task.params)
            if history.stopped_by in STATUS and (history.epochs or history.stopped_by != "epochs"):  # else an error
                for net in range(task.n_nets):
                    record_fit(task, net, history, outcome)
    if history.stopped_by == "time_limit":
        raise OutOfTime
    if history.stopped_by == "interrupt":
        raise KeyboardInterrupt


def _options(task: PopulationTask, n_epochs: int, callbacks: Sequence[Callback]) -> Options:
    return Options(
        epochs=n_epochs,
        batch_size=task.batch_size,
        shuffle=task.shuffle,
        seed=int(task.seeds[0]),
        optimizer=task.optimizer,
        factors=task.factors,
        decay_factors=task.optimizer.decay_factors,
        dropout_factors=task.dropout_factors,
        early_stopping=task.early_stopping,
        callbacks=callbacks,
        verbose=task.verbose,
        warns=False,
        time_limit=task.time_limit,
    )
