"""Hook that computes loss and accuracy of the held-out samples after each epoch."""

from __future__ import annotations

import numpy as np

from ...execution.plan import Plan
from ..one_net import OneNet
from . import Hook


class Validation(Hook):
    """Validation of a net.

    plan : for the evaluation of the held-out samples, which is released by its maker
    """

    def __init__(self, net: OneNet, plan: Plan):
        assert net.task.held_out is not None
        self._net, self._plan, self._data = net, plan, plan.place(net.task.held_out)
        self._no_output = np.empty(0, plan.dtype)

    def limit(self, n: int) -> int:
        return min(n, self._net.steps_to(self._net.epochs_done + 1))

    def after(self) -> str:
        net, n = self._net, self._net.epochs_done
        if net.at_epoch_end and net.records.n_validated < n:
            scores = self._plan.evaluate_alone(self._data, net.state.params, self._no_output)
            net.records.validation[n - 1], net.records.n_validated = scores, n
        return ""
