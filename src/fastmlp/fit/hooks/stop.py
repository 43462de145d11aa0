"""Hook that ends a fit once its flag is set: by Ctrl-C, or by another thread."""

from __future__ import annotations

from ...runtime.ctrl_c import StopFlag
from . import Hook


class Stop(Hook):
    reason = "interrupt"

    def __init__(self, flag: StopFlag):
        self._flag = flag

    def limit(self, n: int) -> int:
        return 0 if self._flag.is_set() else n
