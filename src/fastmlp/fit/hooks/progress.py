"""Hooks that show how far a fit has come, and let the monitor look for known failures."""

from __future__ import annotations

from ...console.nets_progress import BestScore
from ..lanes import Lanes
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


class ShowNets(Hook):
    """Shows how many nets are finished, and lets the monitor look at them."""

    def __init__(self, fit: Fit):
        self._lanes: Lanes = fit.engine
        self._progress, self._share = fit.progress, 0.0
        self._before = 0 if fit.progress is None else fit.progress.done

    def after(self) -> str:
        lanes, outcome, task, progress = self._lanes, self._lanes.outcome, self._lanes.task, self._progress
        if progress is not None:
            if lanes.trains_all_at_once:
                self._share = min(1.0, self._share + lanes.last_call[1] / lanes.n_epochs)
            done = self._before + lanes.n_finished + self._share * (lanes.n_members - lanes.n_finished)
            validates = task.monitored == "validation_loss"
            progress.show(done, float("nan"), (lambda: BestScore.of(outcome.best_value)) if validates else None)
        if task.monitor is not None:
            task.monitor.look_at_nets(outcome)
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
