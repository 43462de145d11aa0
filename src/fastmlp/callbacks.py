"""What may end a fit early: a patience on some record, and any function of the user's.

A callback is `callback(epoch, history)`, called after every epoch (counted from 0) with the records so far; returning
True, Python's or NumPy's, stops training. `history.net` is the net, whose parameters are up to date.

A callback that knows it has no reason to stop for some epochs may have a method `epochs_ahead()`: it is called again
after that many epochs (at least 1) and finds those in between in the history. One call into a kernel then takes them
all, which matters where an epoch is a few microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from .errors import checked_count, checked_number, takes, unknown_name
from .kernels.structs import METRIC_NONE

MONITORS = {"loss": 1.0, "validation_loss": 1.0, "accuracy": -1.0, "validation_accuracy": -1.0}  # sign: less is better
# Of the metrics that fit knows by name (epoch_metrics.py).
METRIC_SIGNS = {
    "squared_error": 1.0, "absolute_error": 1.0, "r2": -1.0, "accuracy": -1.0, "log_loss": 1.0, "roc_auc": -1.0,
}  # fmt: skip
VALIDATION = "validation_"
SIGNS = {f"{part}{name}": sign for name, sign in METRIC_SIGNS.items() for part in ("", VALIDATION)} | MONITORS
Callback = Callable[[int, Any], Any]


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when `monitor` has not improved by more than `min_delta` for `patience` epochs; keep the best parameters.

    monitor : "validation_loss", "validation_accuracy", "loss" or "accuracy", or a metric that fit is asked for by name,
        such as "validation_squared_error"; None takes validation_loss where there is validation data, else loss.

    >>> EarlyStopping(patience=5).patience
    5
    """

    patience: int = 10
    monitor: str | None = None
    min_delta: float = 0.0

    def __post_init__(self):
        checked_count("patience", self.patience)
        checked_number("min_delta", self.min_delta, 0.0)
        if self.monitor is not None and self.monitor not in SIGNS:
            raise unknown_name("monitor", self.monitor, SIGNS)

    def check_monitor(self, metric: int, held_out_metric: int | None, metrics: Iterable[str] = ()) -> None:
        """A ValueError if what is to be watched will not be recorded.

        metric : of the samples to train on; held_out_metric : of those to validate on, None if there are none
        metrics : that fit was asked for
        """
        name = self.monitor or "loss"
        validates = name.startswith(VALIDATION)
        if validates and held_out_metric is None:
            raise ValueError(f"There is no {name} to monitor: give validation_data.")
        if name not in MONITORS and (wanted := name.removeprefix(VALIDATION)) not in metrics:
            raise ValueError(f"There is no {name} to monitor: ask for it with metrics=[{wanted!r}] in MLP.fit.")
        if name.endswith("accuracy") and METRIC_NONE in (metric, held_out_metric if validates else metric):
            where = "validation targets" if metric != METRIC_NONE else "targets"
            raise ValueError(f"There is no {name} to monitor: the {where} are numbers, not classes.")


def as_early_stopping(value: Any) -> EarlyStopping | None:
    """None or False: no stopping; True: the defaults; a number: that patience; an object: itself."""
    if value is None or value is False:
        return None
    if value is True:
        return EarlyStopping()
    if isinstance(value, EarlyStopping):
        return value
    return EarlyStopping(patience=checked_count("early_stopping", value))


def as_callbacks(value: Any) -> tuple[Callback, ...]:
    """A callback, a sequence of them, or None, as a tuple.

    Raises
    ------
    ValueError
        If something in it cannot be called, or not with two arguments.
    """
    if value is None:
        return ()
    callbacks = (value,) if callable(value) else tuple(value) if isinstance(value, (list, tuple)) else (value,)
    for callback in callbacks:
        if not callable(callback):
            raise ValueError(f"callbacks must be functions (epoch, history), but one of them is {callback!r}.")
        if not takes(callback, 2):
            raise ValueError(
                f"callbacks are called as callback(epoch, history), but {callback!r} does not take two arguments."
            )
    return callbacks


def epochs_ahead(callbacks: Sequence[Callback]) -> int:
    """After how many epochs the first of the callbacks wants to be called."""
    return min(max(1, int(getattr(callback, "epochs_ahead", lambda: 1)())) for callback in callbacks)


class Best:
    """The best value of a record so far, and how long ago it was."""

    def __init__(self, rule: EarlyStopping, monitor: str):
        self.rule, self.monitor, self.sign = rule, monitor, SIGNS[monitor]
        self.value, self.epoch = float("inf"), -1

    def improves(self, epoch: int, value: float) -> bool:
        if self.sign * value < self.value - self.rule.min_delta:  # infinity at first; never true of NaN
            self.value, self.epoch = self.sign * value, epoch
            return True
        return False

    def is_late(self, epoch: int) -> bool:
        return epoch - self.epoch >= self.rule.patience
