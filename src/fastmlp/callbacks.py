"""Callbacks and early stopping.

A callback is a function `callback(epoch, history)`, called after each epoch (counted from 0) with the records so far.
If it returns True (of Python or NumPy), the fit ends. `history.net` is the net, with up-to-date parameters. A method
`fit_ended(history)`, if it has one, is called when the fit has ended, for whatever reason.

A callback that need not be called for some epochs may have a method `epochs_ahead()`, which returns after how many
epochs (at least 1) to call it again; the history then has the records of the epochs in between. One kernel call trains
all these epochs, which matters where an epoch takes a few microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from .errors import accepts_n_arguments, checked_count, checked_number, unknown_name
from .kernels.structs import METRIC_NONE

# Records that every fit can monitor. Signs: multiplied by its sign, a smaller value is better.
MONITORS = {"loss": 1.0, "validation_loss": 1.0, "accuracy": -1.0, "validation_accuracy": -1.0}
# Signs of the metrics that fit knows by name (fit/metric_functions.py).
METRIC_SIGNS = {
    "squared_error": 1.0,
    "absolute_error": 1.0,
    "r2": -1.0,
    "accuracy": -1.0,
    "log_loss": 1.0,
    "roc_auc": -1.0,
}
MODES = {"min": 1.0, "max": -1.0}
VALIDATION = "validation_"
SIGNS = {f"{part}{name}": sign for name, sign in METRIC_SIGNS.items() for part in ("", VALIDATION)} | MONITORS
Callback = Callable[[int, Any], Any]


@dataclass(frozen=True)
class EarlyStopping:
    """Early stopping: end the fit when a record stops improving, with the parameters of the best epoch.

    Parameters
    ----------
    patience : int, default 10
        Number of epochs without an improvement after which the fit ends.
    monitor : str, optional
        Record to monitor: "validation_loss", "validation_accuracy", "loss", "accuracy", or a metric that fit is given,
        such as "validation_squared_error". By default "validation_loss" if there are held-out samples, else "loss".
    min_delta : float, default 0.0
        An epoch improves the record if it beats the best value by more than this; at least 0.
    mode : str, optional
        Whether a smaller ("min") or a larger value ("max") of the record is better. Needed for metrics that are
        functions of your own; it is known of all other records.

    Raises
    ------
    ValueError
        If a setting is out of range, or the record is unknown and mode is not given.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastmlp.MLP((2, 4, 1), random_state=0)
    >>> history = net.fit(X, y, epochs=1000, optimizer="rprop", early_stopping=EarlyStopping(20, min_delta=1e-3))
    >>> history.stopped_by, history.epochs - 1 - history.best_epoch
    ('early_stopping', 20)
    """

    patience: int = 10
    monitor: str | None = None
    min_delta: float = 0.0
    mode: str | None = None

    def __post_init__(self):
        checked_count("patience", self.patience)
        checked_number("min_delta", self.min_delta, 0.0)
        if self.mode is not None and self.mode not in ("min", "max"):
            raise unknown_name("mode", self.mode, MODES)
        name = "loss" if self.monitor is None else self.monitor
        if not isinstance(name, str) or (name not in SIGNS and self.mode is None):
            advice = ' For a metric of your own, say which values of it are better: mode="min" or mode="max".'
            raise ValueError(f"{unknown_name('monitor', name, SIGNS)}{advice}")
        if name in SIGNS and self.mode is not None and MODES[self.mode] != SIGNS[name]:
            better = "smaller" if SIGNS[name] > 0.0 else "larger"
            raise ValueError(f"mode is {self.mode!r}, but a {better} {name} is better: leave mode out.")

    def sign_of(self, monitor: str) -> float:
        """Return the number by which the monitored record is multiplied so that a smaller value is better.

        Parameters
        ----------
        monitor : str
            Name of the record, which is the default one if the rule names none.

        Returns
        -------
        float
            1.0 or -1.0.
        """
        return SIGNS[monitor] if monitor in SIGNS or self.mode is None else MODES[self.mode]

    def check_monitor(self, metric: int, held_out_metric: int | None, metrics: Iterable[str] = ()) -> None:
        """Check that the monitored record exists.

        Parameters
        ----------
        metric : int
            METRIC_* code of the training samples.
        held_out_metric : int or None
            METRIC_* code of the held-out samples; None without any.
        metrics : iterable of str, default ()
            Names given to fit as `metrics=`.

        Raises
        ------
        ValueError
            If the fit will not keep the monitored record.
        """
        name = self.monitor or "loss"
        validates = name.startswith(VALIDATION)
        if validates and held_out_metric is None:
            raise ValueError(f"There is no {name} to monitor: give validation_data.")
        if name not in MONITORS and (metric_name := name.removeprefix(VALIDATION)) not in metrics:
            example = f"[{metric_name!r}]" if metric_name in METRIC_SIGNS else f"{{{metric_name!r}: function}}"
            raise ValueError(f"There is no {name} to monitor: ask for it with metrics={example} in MLP.fit.")
        if (
            name in MONITORS
            and name.endswith("accuracy")
            and METRIC_NONE in (metric, held_out_metric if validates else metric)
        ):
            targets = "validation targets" if metric != METRIC_NONE else "targets"
            raise ValueError(f"There is no {name} to monitor: the {targets} are numbers, not classes.")


def as_early_stopping(value: Any) -> EarlyStopping | None:
    """Return fit's early_stopping argument as an EarlyStopping or None.

    value : None or False for no early stopping, True for the defaults, an int for this patience, or an EarlyStopping
    """
    if value is None or value is False:
        return None
    if value is True:
        return EarlyStopping()
    if isinstance(value, EarlyStopping):
        return value
    return EarlyStopping(patience=checked_count("early_stopping", value))


def as_callbacks(value: Any) -> tuple[Callback, ...]:
    """Return a callback, a sequence of callbacks or None as a tuple of callbacks.

    Raises
    ------
    ValueError
        If an element is not callable with two arguments.
    """
    if value is None:
        return ()
    callbacks = (value,) if callable(value) else tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for callback in callbacks:
        if not callable(callback):
            raise ValueError(f"callbacks must be functions (epoch, history), but one of them is {callback!r}.")
        if not accepts_n_arguments(callback, 2):
            raise ValueError(
                f"callbacks are called as callback(epoch, history), but {callback!r} does not take two arguments."
            )
    return callbacks


def epochs_ahead(callbacks: Sequence[Callback]) -> int:
    """Return the number of epochs until the next call of any of the callbacks, at least 1."""
    return min(max(1, int(getattr(callback, "epochs_ahead", lambda: 1)())) for callback in callbacks)


def tell_end(callbacks: Sequence[Callback], history: Any) -> None:
    """Call the method `fit_ended` of all callbacks that have one, even if one of them raises an error."""
    with ExitStack() as stack:
        for callback in reversed(callbacks):
            if (fit_ended := getattr(callback, "fit_ended", None)) is not None:
                stack.callback(fit_ended, history)


class Best:
    """Best value of a monitored record so far, and its epoch.

    rule : EarlyStopping     patience and min_delta
    monitor : str     name of the record
    value : float     best value times the record's sign, infinity before the first
    epoch : int     epoch of the best value, counted from 0; -1 before the first
    """

    def __init__(self, rule: EarlyStopping, monitor: str):
        self.rule, self.monitor, self.sign = rule, monitor, rule.sign_of(monitor)
        self.value, self.epoch = float("inf"), -1

    def improves(self, epoch: int, value: float) -> bool:
        if self.sign * value < self.value - self.rule.min_delta:  # infinity at first; never true of NaN
            self.value, self.epoch = self.sign * value, epoch
            return True
        return False

    def is_late(self, epoch: int) -> bool:
        return epoch - self.epoch >= self.rule.patience
