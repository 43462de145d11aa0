"""Hooks that look at the fit of one net: its progress, a monitor of known failures, and the user's callbacks."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...callbacks import epochs_ahead
from ..one_net import OneNet
from .hook import Fit, Hook


class ShowProgress(Hook):
    def __init__(self, fit: Fit):
        assert fit.progress is not None
        self._net: OneNet = fit.engine
        self._progress = fit.progress

    def after(self) -> str:
        net = self._net
        loss = net.records.loss[net.epochs_done - 1] if net.epochs_done else float("nan")
        self._progress.show(net.fraction_done, loss, net.records.best_score)
        return ""


class Watch(Hook):
    """Lets the monitor look at the losses."""

    def __init__(self, fit: Fit):
        self._net: OneNet = fit.engine
        self._monitor = fit.engine.task.monitor

    def after(self) -> str:
        net = self._net
        self._monitor.look(net.records.loss[: net.epochs_done], at_end=net.is_last_step_done)
        return ""


class Callbacks(Hook):
    def __init__(self, fit: Fit):
        self._net: OneNet = fit.engine
        self._callbacks = fit.engine.task.callbacks
        self._next = 0  # number of epochs after which they are called
        self._n_seen = 0  # number of epochs that they have seen

    def limit(self, n: int) -> int:
        net = self._net
        if net.at_epoch_end and net.epochs_done >= self._next:
            self._next = min(net.epochs_done + epochs_ahead(self._callbacks), net.n_epochs)
        return min(n, net.steps_to(self._next))

    def after(self) -> str:
        return self._call() if self._net.at_epoch_end and self._net.epochs_done >= self._next else ""

    def end(self, reason: str) -> str:
        """Call them once more if the time is over after an epoch that they have not seen."""
        if reason == "time_limit" and self._net.at_epoch_end and self._net.epochs_done > self._n_seen:
            return self._call() or reason
        return reason

    def go_on_from(self, state: dict[str, Any], n_epochs: int) -> None:
        self._n_seen, self._next = n_epochs, n_epochs + (not self._net.at_epoch_end)

    def _call(self) -> str:
        net = self._net
        self._n_seen = net.epochs_done
        history = net.records.publish(net.epochs_done)
        net.copy_to_host()
        answers = [callback(net.epochs_done - 1, history) for callback in self._callbacks]  # all of them are called
        return "callback" if any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers) else ""
