"""Emulated device memory: allocations are registered, guarded on both sides, and filled with ones, which are NaN."""

from __future__ import annotations

import ctypes
import weakref
from bisect import bisect_right, insort

import numpy as np

from .build import ASAN
from .state import LOCK, EmulatorError, counts, device, settings
from .streams import is_busy, refuse_capture

ALIGNMENT = 256
GUARD = 0 if ASAN else 64  # bytes; AddressSanitizer has its own guards, directly after the last byte
LIBC = ctypes.CDLL(None)
LIBC.posix_memalign.argtypes = [ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t, ctypes.c_size_t]
_starts: list[int] = []
_live: dict[int, weakref.ref] = {}
_freed: list[tuple[int, int]] = []  # start and size of arrays that pending operations may still use
_faults: list[str] = []
_pinned: list[tuple[int, int, weakref.ref]] = []
_used = 0


class OutOfMemoryError(MemoryError):
    """Emulated cupy.cuda.memory.OutOfMemoryError."""

    def __init__(self, size, total, limit=0):
        super().__init__(f"Out of memory allocating {size:,} bytes (allocated so far: {total:,} bytes).")
        self._size, self._total, self._limit = size, total, limit


class Allocation:
    """Block of memory with `.ptr` and `.size`, freed when the last array in it is garbage-collected."""

    def __init__(self, size: int):
        global _used
        refuse_capture("memory is allocated")
        with LOCK:
            if _used + size > settings.limit:
                raise OutOfMemoryError(size, _used, settings.limit)
            place = ctypes.c_void_p()
            if LIBC.posix_memalign(ctypes.byref(place), ALIGNMENT, GUARD * 4 + max(size, 1) + GUARD):
                raise MemoryError
            self.ptr, self.size, self.device_id = place.value + GUARD * 4, size, device()
            ctypes.memset(self.ptr - GUARD, 0xFF, size + 2 * GUARD)
            _used += size
            insort(_starts, self.ptr)
            _live[self.ptr] = weakref.ref(self)
            counts["allocations"] += 1
            weakref.finalize(self, _free, self.ptr, size).atexit = False


def _free(ptr, size):
    global _used
    with LOCK:
        _used -= size
        if not _guards_are_whole(ptr, size):
            _faults.append(f"a kernel wrote next to an array of {size} bytes")
        del _starts[bisect_right(_starts, ptr) - 1], _live[ptr]
        # Like CuPy's pool, keep the memory while a stream has pending operations, which may still use it.
        _freed.append((ptr, size))
        if not is_busy():
            for start, _ in _freed:
                LIBC.free(ctypes.c_void_p(start - GUARD * 4))
            _freed.clear()


def usable_by_kernels() -> list[tuple[int, int]]:
    """Return (start, size) of all arrays that kernels may access now, by address."""
    with LOCK:
        held = [_live[start]() for start in _starts]
        return sorted([*_freed, *((allocation.ptr, allocation.size) for allocation in held if allocation is not None)])


def _guards_are_whole(ptr, size) -> bool:
    return GUARD == 0 or all(ctypes.string_at(p, GUARD) == b"\xff" * GUARD for p in (ptr - GUARD, ptr + size))


def check_guards(allocations=None) -> None:
    """Raise an error if a kernel wrote outside of an allocation.

    allocations : allocations to check; None for all. Faults found when memory was freed are reported in any case.
    """
    for allocation in [_live[ptr]() for ptr in _starts] if allocations is None else allocations:
        if allocation is not None and not _guards_are_whole(allocation.ptr, allocation.size):
            _faults.append(f"a kernel wrote next to an array of {allocation.size} bytes")
            ctypes.memset(allocation.ptr - GUARD, 0xFF, GUARD)
            ctypes.memset(allocation.ptr + allocation.size, 0xFF, GUARD)
    if _faults:
        faults = "; ".join(_faults)
        _faults.clear()
        raise EmulatorError(faults)


def find(ptr: int) -> Allocation | None:
    """Return the allocation that contains an address; None if there is none."""
    with LOCK:
        place = bisect_right(_starts, ptr) - 1
        if place < 0:
            return None
        allocation = _live[_starts[place]]()
        return allocation if allocation is not None and ptr <= allocation.ptr + allocation.size else None


def check_range(ptr: int, size: int, what: str) -> Allocation:
    """Return the allocation that contains [ptr, ptr + size), or raise an EmulatorError.

    what : name of the range, for the message
    """
    allocation = find(ptr)
    if allocation is None:
        raise EmulatorError(f"{what}: {ptr:#x} is no address of live device memory")
    if ptr + size > allocation.ptr + allocation.size:
        over = ptr + size - allocation.ptr - allocation.size
        raise EmulatorError(f"{what}: reaches {over} bytes past an array of {allocation.size} bytes")
    return allocation


def view(ptr: int, dtype, shape, strides=None) -> np.ndarray:
    """Return a NumPy view of raw memory; strides are in elements."""
    dtype = np.dtype(dtype)
    extent = 1 + sum((n - 1) * s for n, s in zip(shape, strides, strict=True)) if strides else int(np.prod(shape))
    if 0 in shape:
        return np.empty(shape, dtype)
    raw = (ctypes.c_uint8 * (extent * dtype.itemsize)).from_address(ptr)
    flat = np.frombuffer(raw, dtype)
    if strides is None:
        return flat.reshape(shape)
    return np.lib.stride_tricks.as_strided(flat, shape, [s * dtype.itemsize for s in strides])


class MemoryPool:
    """Emulated memory pool of cupy.get_default_memory_pool()."""

    def used_bytes(self) -> int:
        return _used

    def free_bytes(self) -> int:
        return 0

    def get_limit(self) -> int:
        return settings.limit


def alloc_pinned_memory(size: int):
    """Return host memory that counts as pinned, with the buffer protocol, `.ptr` and `.size`."""
    memory = type("PinnedMemoryPointer", (ctypes.c_uint8 * size,), {})()
    memory.ptr, memory.size = ctypes.addressof(memory), size
    _pinned.append((memory.ptr, size, weakref.ref(memory)))
    return memory


def is_pinned(ptr: int) -> bool:
    _pinned[:] = [place for place in _pinned if place[2]() is not None]
    return any(start <= ptr < start + max(size, 1) for start, size, _ in _pinned)
