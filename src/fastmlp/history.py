"""History: the records of one fit of a net."""

from __future__ import annotations

import copyreg
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .console.stopwatch import is_compile_time_worth_showing
from .errors import unknown_name

RECORDS = ("loss", "accuracy", "validation_loss", "validation_accuracy")
VALIDATION = "validation_"  # prefix of the names of records on held-out samples


class History:
    """Records and settings of one fit, as `MLP.fit` returns them. Records have one value per finished epoch.

    loss : (epochs,)                 mean loss over the epoch's samples, computed before each step's update, without the
                                     L2 penalty
    accuracy : (epochs,) or None     fraction of correct samples, weighted by sample weights; None for regression
    validation_loss, validation_accuracy : (epochs,) or None    loss and accuracy on the held-out samples, computed
                                     after each epoch
    metrics, validation_metrics : dict of (epochs,)    records that fit was given as `metrics=`, by name, computed after
                                     each epoch; history.record("validation_NAME") returns one of the latter
    seconds : float                  wall time of the fit in seconds, compiling included
    compile_seconds : float          part of `seconds` in which kernels were compiled or loaded: 0.0 if all of them had
                                     been loaded before, as after a first fit of the same kind
    training_seconds : float         seconds - compile_seconds, the time that the same fit takes when repeated
    best_epoch : int or None         with early stopping, the epoch whose parameters the net has after the fit, also
                                     after Ctrl-C. Counted from 0, like the epoch of a callback and the index into
                                     records; printed messages count from 1
    stopped_by : str                 "epochs", "early_stopping", "callback", "interrupt", "divergence" or, if the fit
                                     raised an exception, "error"
    settings : dict                  the arguments of fit, as numbers and text
    samples : dict                   {"training": (X, y), "validation": (X, y)}: at most 2,000 samples of each, for
                                     plots; never saved or pickled
    optimizer : Optimizer or None    the optimiser of the fit
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
        """Arguments of fit, as numbers and text.

        May be set to a function that returns them. It is called on first use, since formatting the arguments takes
        longer than a short fit.
        """
        if callable(self._settings):
            self._settings = self._settings()
        return self._settings

    @settings.setter
    def settings(self, values: dict[str, Any] | Callable[[], dict[str, Any]]) -> None:
        self._settings = values

    def __getstate__(self) -> dict[str, Any]:
        # No samples, so that no file of a net contains the user's data, and settings evaluated, since a function cannot
        # be pickled. No net either: the net refers to this history, and skops cannot write reference cycles.
        # MLP.__setstate__ sets it again.
        return {**self.__dict__, "_settings": self.settings, "samples": {}, "net": None}

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the state for pickle and copy, which handle reference cycles, with the net."""
        return copyreg.__newobj__, (type(self),), {**self.__getstate__(), "net": self.net}  # type: ignore[attr-defined]

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.loss)

    @property
    def training_seconds(self) -> float:
        """Wall time of the fit in seconds, without compiling."""
        return self.seconds - self.compile_seconds

    def records(self) -> dict[str, np.ndarray]:
        """Return all records of the fit by name: "loss", "validation_loss", "squared_error" and so on."""
        records = {name: values for name in RECORDS if (values := getattr(self, name)) is not None}
        metrics = self.metrics | {f"{VALIDATION}{name}": values for name, values in self.validation_metrics.items()}
        return records | {name: values for name, values in metrics.items() if name not in RECORDS}

    def record(self, name: str) -> np.ndarray:
        """Return one record, (epochs,), by name.

        Raises
        ------
        ValueError
            If this fit has no record of that name.
        """
        values = getattr(self, name) if name in RECORDS else self.records().get(name)
        if values is None and name in RECORDS:
            reason = "give validation_data" if name.startswith(VALIDATION) else "the task is not a classification"
            raise ValueError(f"There is no {name} to monitor: {reason}.")
        if values is None:
            raise unknown_name("record", name, self.records())
        return values

    def plot(self, quantity: str | Sequence[str] = "loss", *, log: bool | None = None, ax: Any = None) -> Any:
        """Plot records over epochs and return the Axes; see fastmlp.plots.history."""
        from .plots.curves import history

        return history(self, quantity, log=log, ax=ax)

    def report(self, path: str | os.PathLike, X: Any = None, y: Any = None, **options: Any) -> None:
        """Write a self-contained HTML page about the fit: settings, curves, verdict, plots of the net, and timing.

        path : str or path     file to write
        X, y : samples for the verdict and the plots; by default those of the fit, or up to 2,000 of them
        options : as for fastmlp.report.write
        """
        from .report import write

        write(self, path, X, y, **options)

    def __repr__(self) -> str:
        if not self.epochs:
            return f"History(epochs=0, stopped_by={self.stopped_by!r})"
        last_values = {name: values[-1] for name, values in self.records().items() if len(values)}
        figures = ", ".join(f"{name}={value:.4g}" for name, value in last_values.items())
        if self.best_epoch is not None:
            figures += f", best_epoch={self.best_epoch}"
        seconds = f"seconds={self.seconds:.3g}"
        if is_compile_time_worth_showing(self.compile_seconds, self.seconds):
            seconds += f", compile_seconds={self.compile_seconds:.3g}"
        return f"History(epochs={self.epochs}, {figures}, {seconds}, stopped_by={self.stopped_by!r})"
