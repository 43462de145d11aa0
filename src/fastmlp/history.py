"""History: the records of one fit of a net."""

from __future__ import annotations

import copyreg
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from .console.fit_time import is_compile_time_worth_showing
from .errors import unknown_name

RECORDS = ("loss", "accuracy", "validation_loss", "validation_accuracy")
FALLING_FROM = 20  # epochs from which a loss has a trend; fewer are often a part of a loop of the user's
# Share that the last tenth of the epochs has in the whole fall of a loss that still falls steeply. It is 0.1 of a
# straight line, and 0.03 of an exponential decay that has come about 85 % of its way.
STEEP = 0.03
LEAST_FALL = 0.01  # share of the present loss that it falls in the last tenth: less is noise, or worth nothing
VALIDATION = "validation_"  # prefix of the names of records on held-out samples


class FitSettings:
    """Attribute for the arguments of a fit, as numbers and text.

    It may be set to a function that returns them. It is called on first use, since formatting the arguments takes
    longer than a short fit.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __set__(self, record: Any, settings: dict[str, Any] | Callable[[], dict[str, Any]]) -> None:
        record.__dict__[self._name] = settings

    def __get__(self, record: Any, owner: type) -> Any:
        if record is None:
            return dict  # of a dataclass, the value of a field that is not given
        if callable(settings := record.__dict__[self._name]):
            settings = record.__dict__[self._name] = settings()
        return settings


class History:
    """Records and settings of one fit, as `MLP.fit` returns them. Records have one value per finished epoch.

    Parameters
    ----------
    net : MLP, optional
        The net of the fit. Users do not make histories.
    net_number : int, optional
        Number of the net in a population, counted from 0.

    Attributes
    ----------
    loss : ndarray of float64, shape (epochs,)
        Mean loss over the epoch's samples, computed before each step's update, without the L2 penalty.
    accuracy : ndarray of float64, shape (epochs,), or None
        Fraction of correct samples, weighted by sample weights; None for regression.
    validation_loss : ndarray of float64, shape (epochs,), or None
        Loss on the held-out samples, computed after each epoch.
    validation_accuracy : ndarray of float64, shape (epochs,), or None
        Accuracy on the held-out samples, computed after each epoch.
    metrics : dict of str to ndarray of shape (epochs,)
        Records that fit was given as `metrics=`, by name, computed after each epoch on the training samples.
    validation_metrics : dict of str to ndarray of shape (epochs,)
        The same records on the held-out samples; `history.record("validation_NAME")` returns one of them.
    epochs : int
        Number of finished epochs.
    epochs_before : int
        Number of these epochs that an earlier call of fit trained, if this one went on from its checkpoint; else 0.
    best_epoch : int or None
        With early stopping, the epoch whose parameters the net has after the fit, also after Ctrl-C. Counted from 0,
        like the epoch of a callback and the index into records; printed messages count from 1.
    stopped_by : str
        Why the fit ended, such as "epochs" or "early_stopping", or "error" if it raised an exception; the guide to
        training has all reasons.
    still_falling : bool
        Whether all epochs were trained, and the training loss still fell steeply in the last of them: by more than 3 %
        of its whole fall, and 1 % of its present value, between the last two tenths of the epochs. More epochs, smaller
        batches or a higher learning rate may then lower it much further. False for fewer than 20 epochs.
    seconds : float
        Wall time of the fit in seconds, compiling included.
    compile_seconds : float
        Part of `seconds` in which kernels were compiled or loaded: 0.0 if all of them had been loaded before, as after
        a first fit of the same kind.
    training_seconds : float
        seconds - compile_seconds, the time that the same fit takes when repeated.
    settings : dict
        The arguments of fit, as numbers and text.
    samples : dict
        {"training": (X, y), "validation": (X, y)}: at most 2,000 samples of each, for plots; never saved or pickled.
    optimizer : Optimizer or None
        The optimiser of the fit.
    net : MLP or None
        The net of the fit.
    net_number : int or None
        Number of the net in the population whose callbacks get this history; None for a fit of an MLP.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> history = fastmlp.MLP((2, 4, 1), random_state=0).fit(X, y, epochs=20, metrics=["r2"])
    >>> history.epochs, history.loss.shape, sorted(history.records())
    (20, (20,), ['loss', 'r2'])
    """

    settings = FitSettings()

    def __init__(self, net: Any = None, net_number: int | None = None):
        self.net, self.net_number = net, net_number
        self.loss = np.empty(0)
        self.accuracy: np.ndarray | None = None
        self.validation_loss: np.ndarray | None = None
        self.validation_accuracy: np.ndarray | None = None
        self.metrics: dict[str, np.ndarray] = {}
        self.validation_metrics: dict[str, np.ndarray] = {}
        self.seconds = self.compile_seconds = 0.0
        self.best_epoch: int | None = None
        self.epochs_before = 0
        self.stopped_by = "epochs"
        self.settings = {}
        self.samples: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self.optimizer: Any = None

    def __getstate__(self) -> dict[str, Any]:
        # No samples, so that no file of a net contains the user's data, and settings evaluated, since a function cannot
        # be pickled. No net either: the net refers to this history, and skops cannot write reference cycles.
        # MLP.__setstate__ sets it again.
        return {**self.__dict__, "settings": self.settings, "samples": {}, "net": None}

    def __reduce__(self) -> tuple[Any, ...]:
        """Return the state for pickle and copy, which handle reference cycles, with the net."""
        return copyreg.__newobj__, (type(self),), {**self.__getstate__(), "net": self.net}  # type: ignore[attr-defined]

    @property
    def epochs(self) -> int:
        """Number of finished epochs."""
        return len(self.loss)

    @property
    def still_falling(self) -> bool:
        """Whether all epochs were trained, and the training loss still fell steeply in the last of them."""
        return self.stopped_by == "epochs" and self.best_epoch is None and _falls_steeply(self.loss)

    @property
    def training_seconds(self) -> float:
        """Wall time of the fit in seconds, without compiling."""
        return self.seconds - self.compile_seconds

    def records(self) -> dict[str, np.ndarray]:
        """Return all records of the fit by name.

        Returns
        -------
        dict of str to ndarray of shape (epochs,)
            "loss", "validation_loss", "squared_error" and so on.
        """
        records = {name: values for name in RECORDS if (values := getattr(self, name)) is not None}
        metrics = self.metrics | {f"{VALIDATION}{name}": values for name, values in self.validation_metrics.items()}
        return records | {name: values for name, values in metrics.items() if name not in RECORDS}

    def record(self, name: str) -> np.ndarray:
        """Return one record by name.

        Parameters
        ----------
        name : str
            "loss", "accuracy", the name of a metric, or one of these after `validation_`.

        Returns
        -------
        ndarray of float64, shape (epochs,)

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

    def plot(self, quantity: str = "loss", *, log: bool | None = None, ax: Any = None) -> Any:
        """Plot a record over epochs; see fastmlp.plots.history.

        Parameters
        ----------
        quantity : str, default "loss"
            "loss", "accuracy" or the name of a metric.
        log : bool, optional
            Whether the axis of the quantity is logarithmic. By default it is for a positive loss.
        ax : matplotlib.axes.Axes, optional
            Axes to draw in; a new figure by default.

        Returns
        -------
        matplotlib.axes.Axes
        """
        from .plots.learning_curves import history

        return history(self, quantity, log=log, ax=ax)

    def report(self, path: str | os.PathLike, X: Any = None, y: Any = None, **options: Any) -> None:
        """Write a self-contained HTML page about the fit: settings, curves, verdict, and plots of the net.

        Parameters
        ----------
        path : str or path
            File to write.
        X : array_like of shape (n_samples, n_features), optional
            Samples for the verdict and the plots; by default those of the fit, or up to 2,000 of them.
        y : array_like, optional
            Targets of X, as for fit.
        **options
            Further arguments of fastmlp.report.write.
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
        falling = ", still_falling=True" if self.still_falling else ""
        return f"History(epochs={self.epochs}, {figures}, {seconds}, stopped_by={self.stopped_by!r}{falling})"


def _falls_steeply(loss: np.ndarray) -> bool:
    """Return whether a loss (epochs,) still falls steeply, by the means of its last two tenths.

    >>> _falls_steeply(np.linspace(2, 1, 100)), _falls_steeply(np.exp(-np.linspace(0, 10, 100)))
    (True, False)
    """
    if len(loss) < FALLING_FROM:
        return False
    tenth = len(loss) // 10
    last, before = float(loss[-tenth:].mean()), float(loss[-2 * tenth : -tenth].mean())
    fall = before - last
    return fall > STEEP * (float(loss[0]) - last) and fall > LEAST_FALL * abs(last)
