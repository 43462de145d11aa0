"""The records of a fit."""

from __future__ import annotations

import copyreg
import os
from collections.abc import Callable
from typing import Any

import numpy as np

RECORDS = ("loss", "accuracy", "validation_loss", "validation_accuracy")


class History:
    """What `fit` returns. Arrays have one value per finished epoch.

    loss : (epochs,)                 mean over the epoch's samples, before each step's update, without L2 penalty
    accuracy : (epochs,) or None     share of samples (of their weight, where they have one) that were right; None for
                                     regression
    validation_loss, validation_accuracy : (epochs,) or None    measured after each epoch
    seconds : float                  wall time of the fit
    best_epoch : int or None         with early stopping: the epoch, from 0, whose parameters were kept
    stopped_by : str                 "epochs", "early_stopping", "callback", "interrupt", "divergence" or, if
                                     a callback raised, "error"
    settings : dict                  how fit was called, as numbers and text
    samples : dict                   {"training": (X, y), "validation": (X, y)}: at most 2,000 of each, for pictures;
                                     never saved or pickled
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
        self._settings: dict[str, Any] | Callable[[], dict[str, Any]] = {}
        self.samples: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.optimizer: Any = None

    @property
    def settings(self) -> dict[str, Any]:
        """How fit was called, as numbers and text. It may be set to a function, which is called when they are needed:
        writing them takes longer than a short fit.
        """
        if callable(self._settings):
            self._settings = self._settings()
        return self._settings

    @settings.setter
    def settings(self, values: dict[str, Any] | Callable[[], dict[str, Any]]) -> None:
        self._settings = values

    def __getstate__(self) -> dict[str, Any]:
        # Without the samples, so that no file of a net has its owner's data in it; a function could not be pickled. And
        # without the net, which holds this history: skops writes trees, not circles. MLP.__setstate__ puts it back.
        return {**self.__dict__, "_settings": self.settings, "samples": {}, "net": None}

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickle and copy, which know circles, with the net."""
        return copyreg.__newobj__, (type(self),), {**self.__getstate__(), "net": self.net}  # type: ignore[attr-defined]

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

    def plot(self, quantity: str = "loss", *, log: bool | None = None, ax: Any = None) -> Any:
        """The curves of the fit as a picture; returns its Axes. See fastmlp.plots.history."""
        from .plots.curves import history

        return history(self, quantity, log=log, ax=ax)

    def report(self, path: str | os.PathLike, X: Any = None, y: Any = None, **options: Any) -> None:
        """Write one self-contained HTML page about the fit: settings, curves, verdict, what was learned, and the time.

        X, y : samples for the verdict and the pictures; those of the fit, or up to 2,000 of them, if not given
        options : as for fastmlp.report.write
        """
        from .report import write

        write(self, path, X, y, **options)

    def __repr__(self) -> str:
        if not self.epochs:
            return f"History(epochs=0, stopped_by={self.stopped_by!r})"
        last = {name: values[-1] for name in RECORDS if (values := getattr(self, name)) is not None}
        figures = ", ".join(f"{name}={value:.4g}" for name, value in last.items())
        return f"History(epochs={self.epochs}, {figures}, seconds={self.seconds:.3g}, stopped_by={self.stopped_by!r})"
