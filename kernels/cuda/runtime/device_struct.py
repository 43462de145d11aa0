"""Structs at fixed addresses of device memory: arguments of launches never change, while what kernels read does."""

from __future__ import annotations

from typing import Any

import cupy
import numpy as np

from ..build.structs import Struct


class DeviceStruct:
    """One struct at a fixed device address; pass `array` to kernels that take a pointer to it."""

    def __init__(self, struct: Struct):
        self.array = cupy.zeros(8 * len(struct.types), np.uint8)
        self._struct = struct
        self._in_use: tuple = ()

    def set(self, **values: Any) -> None:
        """Write all fields, asynchronously, on the current stream; those that are not given are 0."""
        host = np.frombuffer(self._struct.pack(**self._struct.empty | values), np.uint8)
        self.array.set(host, stream=cupy.cuda.get_current_stream())
        self._in_use = (values, host)  # kept alive: kernels and the copy have only their addresses
