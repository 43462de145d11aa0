"""Structs at fixed addresses of device memory: arguments of launches never change, while what kernels read does."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ..build.structs import CLOCK, Struct


class DeviceStruct:
    """One struct at a fixed device address; pass `array` to kernels that take a pointer to it."""

    def __init__(self, struct: Struct):
        self.array = cupy.zeros(8 * len(struct.types), np.uint8)
        self._struct = struct
        self._in_use: tuple = ()

    def set(self, **values: Any) -> None:
        """Write all fields, in the order of the current stream."""
        host = np.frombuffer(self._struct.pack(**values), np.uint8)
        self.array.set(host, stream=cupy.cuda.get_current_stream())
        self._in_use = (values, host)  # kept alive: kernels and the copy have only their addresses


class StepCounter(DeviceStruct):
    """Step counter, with all that differs from step to step: kernels read it, and a step's last kernel advances it."""

    def __init__(self):
        super().__init__(CLOCK)

    def start(
        self, first: int, n: int, n_batches: int, settings: Any = None, records: Any = None, dropout_factors: Any = None
    ) -> None:
        """Write the struct before a call's steps.

        first : number of the first step
        n : number of steps
        n_batches : number of batches in an epoch
        settings : (n_steps, len(StepSettings._fields)), one row per step; or None
        records : float64 (n_epochs, 2), sums of losses and correct samples of every epoch that has a step in the call;
            or None
        dropout_factors : float64 (n_steps,), factors on the dropout rates; or None
        """
        self.set(
            step=first,
            first=first,
            end=first + n,
            n_batches=n_batches,
            arrived=0,
            settings=settings,
            records=records,
            dropout_factors=dropout_factors,
        )
