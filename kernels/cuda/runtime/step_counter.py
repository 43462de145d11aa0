"""What differs from step to step, in the device's memory: kernels read it there, and a step's last one moves it on."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ..build.structs import Struct

CLOCK = Struct("Clock", """
    long long step; long long first; long long n_batches; long long arrived;
    const T* settings; double* records
""")  # fmt: skip


class Clock:
    """One CLOCK, at an address that stays the same; `array` is what kernels take for a Clock*."""

    def __init__(self):
        self.array = cupy.zeros(8 * len(CLOCK.types), np.uint8)
        self._in_use: tuple = ()

    def set(self, first: int, n_batches: int, settings: Any, records: Any) -> None:
        """Before a call's steps, which begin with step `first`.

        settings : (n_steps, 12), one row each, in the order of Settings; or None
        records : float64 (n_epochs, 2), sums of losses and of right samples of every epoch that has a step in the call
        """
        packed = CLOCK.pack(
            step=first, first=first, n_batches=n_batches, arrived=0, settings=settings, records=records
        )  # fmt: skip
        host = np.frombuffer(packed, np.uint8)
        self.array.set(host, stream=cupy.cuda.get_current_stream())
        self._in_use = settings, records, host  # kernels and the copy know no more than their addresses
