"""Emulated pointers into device memory, and the copies that they make."""

from __future__ import annotations

import ctypes

from .memory import Allocation
from .runtime import Device, runtime
from .streams import get_current_stream


class MemoryPointer:
    """Emulated cupy.cuda.MemoryPointer: an address, and the allocation that it keeps alive."""

    def __init__(self, mem: Allocation, offset: int):
        self.mem, self.ptr = mem, mem.ptr + offset

    device = property(lambda self: Device(self.mem.device_id))
    device_id = property(lambda self: self.mem.device_id)

    def __add__(self, offset: int) -> MemoryPointer:
        return MemoryPointer(self.mem, self.ptr - self.mem.ptr + offset)

    __radd__ = __add__

    def __int__(self) -> int:
        return self.ptr

    def copy_from_host_async(self, mem, size, stream=None):
        runtime.memcpyAsync(self.ptr, _address(mem), size, runtime.memcpyHostToDevice, _stream_ptr(stream))

    def copy_to_host_async(self, mem, size, stream=None):
        runtime.memcpyAsync(_address(mem), self.ptr, size, runtime.memcpyDeviceToHost, _stream_ptr(stream))

    def copy_from_device_async(self, src, size, stream=None):
        runtime.memcpyAsync(self.ptr, src.ptr, size, runtime.memcpyDeviceToDevice, _stream_ptr(stream))

    def memset_async(self, value, size, stream=None):
        runtime.memsetAsync(self.ptr, value, size, _stream_ptr(stream))


def _address(mem) -> int:
    return mem.value if isinstance(mem, ctypes.c_void_p) else int(mem)


def _stream_ptr(stream) -> int:
    return (get_current_stream() if stream is None else stream).ptr


def alloc(size: int) -> MemoryPointer:
    return MemoryPointer(Allocation(size), 0)
