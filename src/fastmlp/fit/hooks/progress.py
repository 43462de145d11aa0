"""Hooks that show a fit: the progress of one net, and a monitor that watches for known failures."""

from __future__ import annotations

from ...console.nets_progress import PartProgress
from ...console.progress_bar import Progress
from ..one_net import OneNet
from . import Hook


class ShowProgress(Hook):
    def __init__(self, net: OneNet, progress: Progress | PartProgress):
        self._net, self._progress = net, progress

    def after(self) -> str:
        net = self._net
        loss = net.records.loss[net.epochs_done - 1] if net.epochs_done else float("nan")
        self._progress.show(net.fraction_done, loss, net.records.best_score)
        return ""


class Watch(Hook):
    """Lets the monitor look at the losses."""

    def __init__(self, net: OneNet):
        self._net, self._monitor = net, net.task.monitor

    def after(self) -> str:
        net = self._net
        self._monitor.look(net.records.loss[: net.epochs_done], at_end=net.is_last_step_done)
        return ""
