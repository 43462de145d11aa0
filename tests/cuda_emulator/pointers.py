"""Emulated pointers into device memory."""

from __future__ import annotations

from .memory import Allocation


class MemoryPointer:
    """Emulated cupy.cuda.MemoryPointer: an address, and the allocation that it keeps alive."""

    def __init__(self, mem: Allocation, offset: int):
        self.mem, self.ptr = mem, mem.ptr + offset


def alloc(size: int) -> MemoryPointer:
    return MemoryPointer(Allocation(size), 0)
