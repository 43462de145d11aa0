"""Emulated devices, and runtime calls such as copies and waits."""

from __future__ import annotations

import types

from . import memory
from .state import MOST_SHARED_OPTED, current, device, settings


class CUDARuntimeError(RuntimeError):
    """Emulated cupy.cuda.runtime.CUDARuntimeError."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Device:
    """Emulated cupy.cuda.Device."""

    def __init__(self, device_id=None):
        self.id = device() if device_id is None else int(device_id)
        self._stack = []

    def __int__(self):
        return self.id

    __index__ = __int__

    def __eq__(self, other):
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self):
        return hash(self.id)

    def __repr__(self):
        return f"<CUDA Device {self.id}>"

    def __enter__(self):
        self._stack.append(device())
        self.use()
        return self

    def __exit__(self, *_):
        runtime.setDevice(self._stack.pop())

    def use(self):
        runtime.setDevice(self.id)

    @property
    def mem_info(self):
        with self:
            return runtime.memGetInfo()

    @property
    def compute_capability(self) -> str:
        return settings.compute_capability

    @property
    def attributes(self):
        return dict(ATTRIBUTES)


ATTRIBUTES = {
    "MultiProcessorCount": 132,
    "MaxSharedMemoryPerBlockOptin": MOST_SHARED_OPTED,
    "MaxSharedMemoryPerMultiprocessor": 233472,
}


def _check_device(device_id: int) -> int:
    if not settings.available:
        text = "CUDA driver version is insufficient for CUDA runtime version"
        raise CUDARuntimeError(35, f"cudaErrorInsufficientDriver: {text}")
    if not settings.n_devices:
        raise CUDARuntimeError(100, "cudaErrorNoDevice: no CUDA-capable device is detected")
    if not 0 <= device_id < settings.n_devices:
        raise CUDARuntimeError(101, "cudaErrorInvalidDevice: invalid device ordinal")
    return device_id


class _Runtime(types.ModuleType):
    """Emulated module cupy.cuda.runtime."""

    CUDARuntimeError = CUDARuntimeError

    def getDeviceCount(self):
        _check_device(0)
        return settings.n_devices

    def setDevice(self, device_id):
        current.device = _check_device(device_id)

    def memGetInfo(self):
        free = settings.limit - memory.MemoryPool().used_bytes()
        return free if settings.free is None else settings.free, settings.limit

    def driverGetVersion(self):
        return 13000 if settings.available else 0

    def getDeviceProperties(self, device_id):
        _check_device(device_id)
        return {
            "name": b"Emulated GPU",
            "totalGlobalMem": settings.limit,
            "multiProcessorCount": ATTRIBUTES["MultiProcessorCount"],
            "major": int(settings.compute_capability[:-1]),
            "minor": int(settings.compute_capability[-1]),
        }


runtime = _Runtime("cupy.cuda.runtime")
