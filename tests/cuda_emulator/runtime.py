"""Emulated devices, and runtime calls such as copies and waits."""

from __future__ import annotations

import ctypes
import types

from . import cublas, memory, streams
from .state import MOST_SHARED, MOST_SHARED_OPTED, counts, current, device, settings


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

    def synchronize(self):
        runtime.deviceSynchronize()

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

    cublas_handle = property(lambda self: cublas.HANDLE)
    pci_bus_id = property(lambda self: f"0000:{self.id:02X}:00.0")


ATTRIBUTES = {
    "MultiProcessorCount": 132,
    "WarpSize": 32,
    "MaxThreadsPerBlock": 1024,
    "MaxThreadsPerMultiProcessor": 2048,
    "MaxSharedMemoryPerBlock": MOST_SHARED,
    "MaxSharedMemoryPerBlockOptin": MOST_SHARED_OPTED,
    "MaxSharedMemoryPerMultiprocessor": 233472,
    "MaxRegistersPerBlock": 65536,
    "MaxRegistersPerMultiprocessor": 65536,
    "L2CacheSize": 52428800,
    "ClockRate": 1980000,
    "MemoryClockRate": 2619000,
    "GlobalMemoryBusWidth": 5120,
    "MaxGridDimX": 2**31 - 1,
    "MaxGridDimY": 65535,
    "MaxBlockDimX": 1024,
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
    is_hip = False
    memcpyHostToHost, memcpyHostToDevice, memcpyDeviceToHost, memcpyDeviceToDevice, memcpyDefault = range(5)
    CUDA_R_32F, CUDA_R_64F, CUDA_R_16F, CUDA_R_16BF = 0, 1, 2, 14
    streamCaptureModeGlobal, streamCaptureModeThreadLocal, streamCaptureModeRelaxed = range(3)

    def getDeviceCount(self):
        _check_device(0)
        return settings.n_devices

    def getDevice(self):
        return device()

    def setDevice(self, device_id):
        current.device = _check_device(device_id)

    def deviceSynchronize(self):
        streams.refuse_capture("a device is waited for")
        counts["synchronizations"] += 1
        streams.drain_all()

    def memGetInfo(self):
        free = settings.limit - memory.MemoryPool().used_bytes()
        return free if settings.free is None else settings.free, settings.limit

    def driverGetVersion(self):
        return 13000 if settings.available else 0

    def runtimeGetVersion(self):
        return 13000

    def deviceGetAttribute(self, attribute, device_id):
        numbers = {75: int(settings.compute_capability[:-1]), 76: int(settings.compute_capability[-1]), 16: 132}
        return numbers[attribute]

    def getDeviceProperties(self, device_id):
        _check_device(device_id)
        return {
            "name": b"Emulated GPU",
            "totalGlobalMem": settings.limit,
            "multiProcessorCount": 132,
            "warpSize": 32,
            "major": int(settings.compute_capability[:-1]),
            "minor": int(settings.compute_capability[-1]),
            "maxThreadsPerBlock": 1024,
            "sharedMemPerBlock": MOST_SHARED,
            "sharedMemPerBlockOptin": MOST_SHARED_OPTED,
            "sharedMemPerMultiprocessor": 233472,
            "regsPerBlock": 65536,
            "regsPerMultiprocessor": 65536,
            "l2CacheSize": 52428800,
            "maxThreadsPerMultiProcessor": 2048,
        }

    def memcpy(self, dst, src, size, kind):
        counts["synchronizations"] += 1
        streams.Stream.null._drain()
        self.memcpyAsync(dst, src, size, kind, 0)

    def memcpyAsync(self, dst, src, size, kind, stream):
        if kind in (self.memcpyHostToDevice, self.memcpyDeviceToDevice, self.memcpyDefault):
            memory.check_range(dst, size, "destination of a copy")
        if kind in (self.memcpyDeviceToHost, self.memcpyDeviceToDevice):
            memory.check_range(src, size, "source of a copy")
        name = {self.memcpyHostToDevice: "host_to_device", self.memcpyDeviceToHost: "device_to_host"}.get(kind)
        counts[name or "device_to_device"] += 1
        for host in [src] * (kind == self.memcpyHostToDevice) + [dst] * (kind == self.memcpyDeviceToHost):
            if streams.stream_at(stream).is_capturing() and not memory.is_pinned(host):
                streams.refuse_capture("a copy from or to pageable memory")
        streams.stream_at(stream)._ask(lambda: ctypes.memmove(dst, src, size))

    def memset(self, ptr, value, size):
        self.memsetAsync(ptr, value, size, 0)

    def memsetAsync(self, ptr, value, size, stream):
        memory.check_range(ptr, size, "memset")
        streams.stream_at(stream)._ask(lambda: ctypes.memset(ptr, value, size))

    def streamSynchronize(self, stream):
        streams.stream_at(stream).synchronize()


runtime = _Runtime("cupy.cuda.runtime")
