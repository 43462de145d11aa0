"""Step counter in device memory: kernels read it, and a step's last kernel advances it.

All values that differ from step to step are in it, so that the arguments of a launch never change.
"""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ..build.structs import Struct

CLOCK = Struct(
    "Clock",
    """
    long long step; long long first; long long end; long long n_batches; long long arrived;
    const T* settings; double* records; const double* dropout_factors
""",
)


class StepCounter:
    """One CLOCK struct at a fixed device address; pass `array` to kernels that take a Clock*."""

    def __init__(self):
        self.array = cupy.zeros(8 * len(CLOCK.types), np.uint8)
        self._in_use: tuple = ()

    def set(self, first: int, n: int, n_batches: int, settings: Any, records: Any, dropout_factors: Any = None) -> None:
        """Set the struct before a call's steps.

        first : number of the first step
        n : number of steps
        n_batches : number of batches in an epoch
        settings : (n_steps, len(StepSettings._fields)), one row per step; or None
        records : float64 (n_epochs, 2), sums of losses and correct samples of every epoch that has a step in the call
        dropout_factors : float64 (n_steps,), factors on the dropout rates; or None
        """
        packed = CLOCK.pack(
            step=first,
            first=first,
            end=first + n,
            n_batches=n_batches,
            arrived=0,
            settings=settings,
            records=records,
            dropout_factors=dropout_factors,
        )
        host = np.frombuffer(packed, np.uint8)
        self.array.set(host, stream=cupy.cuda.get_current_stream())
        self._in_use = (
            settings,
            records,
            dropout_factors,
            host,
        )  # kept alive: kernels and the copy have only their addresses
