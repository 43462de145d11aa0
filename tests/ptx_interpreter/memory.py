"""Opcodes with effects beyond a thread's registers: loads, stores, atomics, and shuffles (PTX ISA, section 9.7).

Device memory is the emulator's; shared memory is that of some blocks.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from cuda_emulator import memory as device_memory

from .program import Address, Instruction, Operand, PtxError, Vector

if TYPE_CHECKING:
    from .machine import Machine

LANES = 32
ALL = np.uint32(0xFFFFFFFF)


class DeviceMemory:
    """The arrays of the emulator at the time of a launch."""

    def __init__(self):
        self._arrays = device_memory.usable_by_kernels()
        self._starts = np.array([start for start, _ in self._arrays], np.int64)
        ends = [start + size for start, size in self._arrays]
        self._ends = np.array([*ends, 0], np.int64)  # the last one for addresses before all arrays, whose place is -1
        self._views: dict[tuple[int, np.dtype], np.ndarray] = {}

    def view(self, lanes, addresses, dtype: np.dtype, size: int):
        if (addresses % size).any():
            raise PtxError(f"a misaligned access of {size} bytes of device memory")
        places = np.searchsorted(self._starts, addresses, side="right") - 1
        outside = addresses + size > self._ends[places]
        if outside.any():
            raise PtxError(f"an access of {size} bytes outside of arrays, at {int(addresses[outside][0]):#x}")
        first = places[0]
        for place in (first,) if (places == first).all() else np.unique(places):
            which = np.flatnonzero(places == place)
            elements = (addresses[which] - self._starts[place]) // dtype.itemsize
            yield which, self._array(int(place), dtype), (elements,)

    def _array(self, place: int, dtype: np.dtype) -> np.ndarray:
        if (place, dtype) not in self._views:
            start, size = self._arrays[place]
            length = size // dtype.itemsize
            raw = (ctypes.c_uint8 * (length * dtype.itemsize)).from_address(start)
            self._views[place, dtype] = np.frombuffer(memoryview(raw), dtype)
        return self._views[place, dtype]


class SharedMemory:
    """Shared memory of some blocks, full of NaN at first.

    blocks : block of each thread
    """

    def __init__(self, n_blocks: int, size: int, blocks: np.ndarray):
        self._bytes = np.full((n_blocks, -(-size // 16) * 16), 0xFF, np.uint8)
        self._size, self._blocks = size, blocks

    def view(self, lanes, addresses, dtype: np.dtype, size: int):
        if (addresses % size).any():
            raise PtxError(f"a misaligned access of {size} bytes of shared memory")
        if (addresses < 0).any() or (addresses + size > self._size).any():
            raise PtxError(f"an access of {size} bytes past the end of shared memory, of {self._size} bytes")
        yield np.arange(len(lanes)), self._bytes.view(dtype), (self._blocks[lanes], addresses // dtype.itemsize)


def _next(index: tuple, j: int) -> tuple:
    return (*index[:-1], index[-1] + j)


def _elements(operand: Operand) -> tuple:
    return operand.elements if isinstance(operand, Vector) else (operand,)


def load(machine: Machine, i: Instruction, mask: np.ndarray | None) -> None:
    """Registers = memory."""
    if i.has("param"):
        machine.write(i.destination, machine.parameter(i.sources[0]), mask)
        return
    n, raw = i.vector_length, i.type.raw
    space, lanes, addresses = machine.access(i, i.sources[0], i.type.size * n, mask)
    results = [np.zeros(machine.n_lanes, raw) for _ in range(n)]
    for which, array, index in space.view(lanes, addresses, raw, i.type.size * n):
        for j, result in enumerate(results):
            result[lanes[which]] = array[_next(index, j)]
    for target, result in zip(_elements(i.destination), results, strict=True):
        machine.write(target, result.view(i.type.dtype), mask)


def store(machine: Machine, i: Instruction, mask: np.ndarray | None) -> None:
    """Memory = registers. Of threads that write to one place, the last one wins."""
    n, raw = i.vector_length, i.type.raw
    values = [machine.read_lanes(each, i.type).view(raw) for each in _elements(i.sources[1])]
    space, lanes, addresses = machine.access(i, i.sources[0], i.type.size * n, mask)
    for which, array, index in space.view(lanes, addresses, raw, i.type.size * n):
        for j, value in enumerate(values):
            array[_next(index, j)] = value[lanes[which]]


CHANGES: dict[str, Callable[..., Any]] = {  # of atomics: (old value, operands) -> new value
    "exch": lambda old, x: x,
    "add": lambda old, x: old + x,
}


def atomic(machine: Machine, i: Instruction, mask: np.ndarray | None) -> None:
    """A thread after another: result = memory, memory = change(memory, operands)."""
    change = next(CHANGES[name] for name in i.modifiers if name in CHANGES)
    address, *operands = i.sources
    assert isinstance(address, Address)
    given = [machine.read_lanes(operand, i.type) for operand in operands]
    space, lanes, addresses = machine.access(i, address, i.type.size, mask)
    result = np.zeros(machine.n_lanes, i.type.dtype)
    for which, array, index in space.view(lanes, addresses, i.type.raw, i.type.size):
        typed = array.view(i.type.dtype)
        for n, lane in enumerate(lanes[which]):
            place = tuple(part[n] for part in index)
            result[lane] = typed[place]
            typed[place] = change(typed[place], *(values[lane] for values in given))
    machine.write(i.destination, result, mask)


def _check_whole(machine: Machine, i: Instruction, mask: np.ndarray | None) -> None:
    if mask is not None:
        warps = mask.reshape(-1, LANES)
        if not (warps.all(axis=1) | ~warps.any(axis=1)).all():
            raise PtxError(f"{i.opcode} by a part of a warp")


def shuffle(machine: Machine, i: Instruction, mask: np.ndarray | None) -> None:
    """Read a register of another lane. All lanes must take part, as all shuffles of this project have it."""
    value, offset, limits, members = map(machine.read_lanes, i.sources, i.reads)
    _check_whole(machine, i, mask)
    if (members if mask is None else members[mask]).min() != ALL:
        raise PtxError("shfl with a mask of fewer than 32 lanes")
    offset, limits, lane = (offset & 31).astype(int), limits.astype(int), machine.lane_of_warp
    limit, segment = limits & 31, limits >> 8 & 31
    lowest, highest = lane & segment, lane & segment | limit & ~segment
    source = {"down": lane + offset, "bfly": lane ^ offset, "idx": lowest | offset & ~segment & 31}[i.modifiers[1]]
    is_inside = source <= highest
    result, inside = i.destination.elements if isinstance(i.destination, Vector) else (i.destination, None)
    machine.write(result, value[machine.first_of_warp + np.where(is_inside, source, lane)], mask)
    machine.write(inside, is_inside, mask)


EFFECTS = {"ld": load, "st": store, "atom": atomic, "shfl": shuffle}
