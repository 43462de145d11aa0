"""The records of a fit."""

from __future__ import annotations

import copyreg
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .console.stopwatch import is_worth_telling
from .errors import unknown_name

RECORDS = ("loss", "accuracy", "validation_loss", "validation_accuracy")
VALIDATION = "validation_"  # how the names of records of the part held out begin


class History:
    """What `fit` returns. Arrays have one value per finished epoch.

    loss : (epochs,)                 mean over the epoch's samples, before each step's update, without L2 penalty
    accuracy : (epochs,) or None     share of samples (of their weight, where they have one) that were right; None for
                                     regression
    validation_loss, validation_accuracy : (epochs,) or None    measured after each epoch
    metrics, validation_metrics : dict of (epochs,)    what fit's metrics= asked for, by name, measured after each
                                     epoch; history.record("validation_NAME") gives one, too
    seconds : float                  wall time of the fit, compiling included
    compile_seconds : float          the part of it in which kernels were compiled or loaded: 0.0 if all of them were
                                     there, as they are after the first fit of a kind
    training_seconds : float         the rest: the time that the same fit takes again
    best_epoch : int or None         with early stopping: the epoch, from 0 like a callback's and like an index into the
                                     records, whose parameters were kept, by Ctrl-C too; printed sentences count from 1
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
        self.metrics: dict[str, np.ndarray] = {}
        self.validation_metrics: dict[str, np.ndarray] = {}
        self.seconds = self.compile_seconds = 0.0
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

    @property
    def training_seconds(self) -> float:
        """Wall time of the fit without compiling."""
        return self.seconds - self.compile_seconds

    def records(self) -> dict[str, np.ndarray]:
        """Every record that there is, by name: "loss", "validation_loss", "squared_error" and so on."""
        own = {name: values for name in RECORDS if (values := getattr(self, name)) is not None}
        others = self.metrics | {f"{VALIDATION}{name}": values for name, values in self.validation_metrics.items()}
        return own | {name: values for name, values in others.items() if name not in RECORDS}

    def record(self, name: str) -> np.ndarray:
        """One record by name.

        Raises
        ------
        ValueError
            If this fit has no such record.
        """
        values = getattr(self, name) if name in RECORDS else self.records().get(name)
        if values is None and name in RECORDS:
            reason = "give validation_data" if name.startswith(VALIDATION) else "the task is not a classification"
            raise ValueError(f"There is no {name} to monitor: {reason}.")
        if values is None:
            raise unknown_name("record", name, self.records())
        return values

    def plot(self, quantity: str | Sequence[str] = "loss", *, log: bool | None = None, ax: Any = None) -> Any:
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
        last = {name: values[-1] for name, values in self.records().items() if len(values)}
        figures = ", ".join(f"{name}={value:.4g}" for name, value in last.items())
        if self.best_epoch is not None:
            figures += f", best_epoch={self.best_epoch}"
        seconds = f"seconds={self.seconds:.3g}"
        if is_worth_telling(self.compile_seconds, self.seconds):
            seconds += f", compile_seconds={self.compile_seconds:.3g}"
        return f"History(epochs={self.epochs}, {figures}, {seconds}, stopped_by={self.stopped_by!r})"
