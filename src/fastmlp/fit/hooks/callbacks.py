"""Hook that calls the user's callbacks after epochs of one net, and ends the fit if one of them says so."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...callbacks import epochs_ahead
from ..one_net import OneNet
from .hook import Fit, Hook


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
        with net.params_in_units():
            answers = [callback(net.epochs_done - 1, history) for callback in self._callbacks]  # all of them are called
        return "callback" if any(isinstance(answer, (bool, np.bool_)) and answer for answer in answers) else ""
