"""The records of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np


class History:
    """What `fit` returns. Arrays have one value per finished epoch.

    loss : (epochs,)                 mean over the epoch's samples, before each step's update, without L2 penalty
    accuracy : (epochs,) or None     share of samples (of their weight, where they have one) that were right; None for
                                     regression
    validation_loss, validation_accuracy : (epochs,) or None    measured after each epoch
    seconds : float                  wall time of the fit
    best_epoch : int or None         with early stopping: the epoch, from 0, whose parameters were kept
    stopped_by : str                 "epochs", "early_stopping", "callback", "interrupt" or "divergence"
    optimizer : object or None       the optimiser that was used
    """

    def __init__(self, net: Any = None):
        self.net = net
        self.loss = np.empty(0)
        self.accuracy: np.ndarray | None = None
        self.validation_loss: np.ndarray | None = None
        self.validation_accuracy: np.ndarray | None = None
        self.seconds = 0.0
        self.best_epoch: int | None = None
        self.stopped_by = "epochs"
        self.optimizer: Any = None

    @property
    def epochs(self) -> int:
        """How many epochs were finished."""
        return len(self.loss)

    def record(self, name: str) -> np.ndarray:
        """One record by name.

        Raises
        ------
        ValueError
            If this fit has no such record.
        """
        values = getattr(self, name)
        if values is None:
            reason = "give validation_data" if name.startswith("validation") else "the task is not a classification"
            raise ValueError(f"There is no {name} to monitor: {reason}.")
        return values

    def __repr__(self) -> str:
        if not self.epochs:
            return f"History(epochs=0, stopped_by={self.stopped_by!r})"
        last = {
            name: values[-1]
            for name in ("loss", "accuracy", "validation_loss", "validation_accuracy")
            if (values := getattr(self, name)) is not None
        }
        figures = ", ".join(f"{name}={value:.4g}" for name, value in last.items())
        return f"History(epochs={self.epochs}, {figures}, seconds={self.seconds:.3g}, stopped_by={self.stopped_by!r})"
