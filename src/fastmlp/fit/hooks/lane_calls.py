"""Hook that chooses the epochs of the kernel calls of nets that are trained together."""

from __future__ import annotations

from ..lanes import MOST_EPOCHS
from .hook import Fit, Hook

CALL_SECONDS = (0.1, 0.3)  # range of a call's duration: a call cannot be interrupted and shows no progress
FIRST_CALL = 2e8  # multiply-adds of the first call on a CPU, over all lanes of a block
FULL_DEVICE = 10_000  # nets up to which an epoch takes a GPU as long as for one net
# Multiply-adds of the first call on a GPU, over all nets: milliseconds on a large GPU, 0.1 seconds on a small one.
FIRST_CALL_OF_DEVICE = 1e10


class LaneCalls(Hook):
    """Epochs of the kernel calls, by the duration of the last one."""

    def __init__(self, fit: Fit):
        self._lanes = lanes = fit.engine
        self._n_calls = 0
        task, n_nets, work = lanes.task, lanes.plan.choice.variant.lanes, FIRST_CALL
        if not task.device.is_host:  # a GPU trains all nets at once, and few nets take as long as many
            n_nets, work = max(lanes.n_members, FULL_DEVICE), FIRST_CALL_OF_DEVICE
        self._n = max(1, int(work / (n_nets * task.work)))

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
