"""Hooks of nets that are trained together: the epochs of a kernel call, and what is shown of the nets."""

from __future__ import annotations

from ...console.nets_progress import BestScore
from ..lanes import MOST_EPOCHS, Lanes
from .hook import Fit, Hook

CALL_SECONDS = (0.1, 0.3)  # range of a call's duration: a call cannot be interrupted and shows no progress
FIRST_CALL = 2e8  # multiply-adds of the first call on a CPU, over all lanes of a block
FULL_DEVICE = 10_000  # nets up to which an epoch takes a GPU as long as for one net
# Multiply-adds of the first call on a GPU, over all nets: milliseconds on a large GPU, 0.1 seconds on a small one.
FIRST_CALL_OF_DEVICE = 1e10


class CallsOfLanes(Hook):
    """Epochs of the kernel calls, by the duration of the last one."""

    def __init__(self, fit: Fit):
        self._lanes = lanes = fit.engine
        self._n_calls = 0
        task, n_nets, work = lanes.task, lanes.plan.choice.variant.lanes, FIRST_CALL
        if not task.device.is_host:  # a GPU trains all nets at once, and few nets take as long as many
            n_nets, work = max(lanes.n_members, FULL_DEVICE), FIRST_CALL_OF_DEVICE
        self._n = max(1, int(work / (n_nets * task.network.layout.products * task.rows.n_samples)))

    def limit(self, n: int) -> int:
        return min(n, self._n)

    def after(self) -> str:
        self._n_calls += 1
        if self._n_calls == 1:  # which may include compiling
            return ""
        _, _, seconds = self._lanes.last_call
        if seconds < CALL_SECONDS[0]:
            self._n = min(2 * self._n, MOST_EPOCHS)
        elif seconds > CALL_SECONDS[1]:
            self._n = max(1, self._n // 2)
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
