"""Sentences on a training, for `fastmlp train` and for verbose estimators of tables."""

from __future__ import annotations

import numpy as np

from ..console.fit_time import format_time
from ..errors import counted
from ..history import History
from ..population_result import PopulationResult


def final_figures(history: History | PopulationResult) -> str:
    """Return the loss and accuracy of the epoch whose parameters were kept, as text.

    They are those of the validation part if there is one, else those of the training part, weighted if rows have
    weights; of several nets, the mean loss.
    """
    if isinstance(history, PopulationResult):
        validated = history.best_value is not None
        losses = history.loss if history.best_value is None else history.best_value
        losses = losses[np.isfinite(losses)]
        part = "weighted " * bool(history.arguments.get("weighted")) + ("validation" if validated else "training")
        return f"mean {part} loss {losses.mean():.4g} of {counted(len(losses), 'net')}" if len(losses) else ""
    validated = history.validation_loss is not None and len(history.validation_loss) > 0
    loss = history.validation_loss if validated else history.loss
    accuracy = history.validation_accuracy if validated else history.accuracy
    epoch = history.epochs - 1 if history.best_epoch is None else history.best_epoch
    if loss is None or not 0 <= epoch < len(loss) or not np.isfinite(loss[epoch]):
        return ""
    weighted = "weighted " * bool(history.settings.get("weighted"))
    figures = f"{weighted}{'validation' if validated else 'training'} loss {loss[epoch]:.4g}"
    if accuracy is not None and epoch < len(accuracy):
        figures += f", {weighted}accuracy {accuracy[epoch]:.4f}"
    return f"{figures} in epoch {epoch + 1}"


def summary(history: History | PopulationResult) -> str:
    """Return one sentence on the training: number of epochs, time, and final loss and accuracy."""
    time = format_time(history.seconds, history.compile_seconds, ".1f")
    if isinstance(history, PopulationResult):
        epochs = history.epochs
        spread = f"{epochs.min():,} to {epochs.max():,} epochs each" if np.ptp(epochs) else counted(epochs[0], "epoch")
        text = f"Trained {counted(history.n_nets, 'net')} in {time}, {spread}"
        kept = "" if history.best_value is None else "; the best parameters of each on its held-out rows are kept"
    else:
        end = ", until there was no more improvement" if history.stopped_by == "early_stopping" else ""
        text = f"Trained {counted(history.epochs, 'epoch')} in {time}{end}"
        kept = "" if history.best_epoch is None else "; the best parameters on the validation part are kept"
    figures = final_figures(history)
    return f"{text}{kept}{figures and f': {figures}'}."
