"""The machine: registers of the threads of some blocks, branches and barriers.

Threads are elements of arrays, in warps of 32; the last warp of a block is filled up with threads that do not exist.
All threads at the lowest program counter advance together, so that threads that branched apart meet again. A register
is an array that is replaced, never changed, since others may be views of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from .arithmetic import COMPUTES
from .counters import Counters
from .memory import EFFECTS, LANES, DeviceMemory, SharedMemory
from .program import (
    RAW,
    Address,
    Constant,
    DynamicShared,
    Instruction,
    Kernel,
    Negated,
    Operand,
    Parameter,
    PtxError,
    Register,
    Special,
    Type,
    Vector,
    raw_of,
)


class Launch(NamedTuple):
    """What a kernel is launched with.

    arguments : {name of a parameter: its bits as a NumPy scalar}
    shared_bytes : dynamic shared memory
    """

    grid: tuple[int, int, int]
    block: tuple[int, int, int]
    arguments: dict[str, np.generic]
    shared_bytes: int

    @property
    def n_threads(self) -> int:
        return self.block[0] * self.block[1] * self.block[2]


class Machine:
    """Some blocks of a launch.

    blocks : their numbers
    counters : what to count in; None for nothing
    """

    def __init__(
        self, kernel: Kernel, launch: Launch, blocks: np.ndarray, memory: DeviceMemory, counters: Counters | None
    ):
        per_block = -(-launch.n_threads // LANES) * LANES
        self.kernel, self._launch, self._memory, self._counters = kernel, launch, memory, counters
        self.n_lanes = per_block * len(blocks)
        thread = np.tile(np.arange(per_block), len(blocks))
        self._exists, self._block = thread < launch.n_threads, np.repeat(np.arange(len(blocks)), per_block)
        self.lane_of_warp = thread % LANES
        self.first_of_warp = np.arange(self.n_lanes) - self.lane_of_warp
        self._special = self._special_registers(thread, np.repeat(blocks, per_block))
        self._dynamic = np.uint64(-(-kernel.shared_bytes // 16) * 16)
        self._shared = SharedMemory(len(blocks), int(self._dynamic) + launch.shared_bytes, self._block)
        self._registers: list[np.ndarray] = [np.zeros(self.n_lanes, RAW[bits]) for bits in kernel.register_bits]

    def _special_registers(self, thread: np.ndarray, block: np.ndarray) -> dict[str, np.ndarray]:
        found = {"%laneid": self.lane_of_warp.astype(np.uint32)}
        for name, number, sizes in (("tid", thread, self._launch.block), ("ctaid", block, self._launch.grid)):
            for axis, size in zip("xyz", sizes, strict=True):
                found[f"%{name}.{axis}"] = (number % size).astype(np.uint32)
                found[f"%n{name}.{axis}"] = np.full(self.n_lanes, size, np.uint32)
                number = number // size
        return found

    # ---- operands

    def read(self, operand: Operand, kind: Type):
        """Return an operand, as an array or a scalar of a type."""
        if type(operand) is Register:
            value = self._registers[operand.number]
            return value.view(kind.dtype) if operand.bits == kind.bits else value.astype(kind.raw).view(kind.dtype)
        if type(operand) is Constant:
            return operand.value
        if type(operand) is Special:
            return self._special[operand.name].astype(kind.raw, copy=False).view(kind.dtype)
        if type(operand) is Negated:
            return ~self._registers[operand.register.number]
        if type(operand) is DynamicShared:
            return kind.raw.type(self._dynamic)
        if type(operand) is Vector:
            return self._packed(operand, kind)
        raise PtxError(f"{operand} is no number")

    def read_lanes(self, operand: Operand, kind: Type) -> np.ndarray:
        """Return an operand, as an array with an element for each thread."""
        value = self.read(operand, kind)
        return value if np.ndim(value) else np.full(self.n_lanes, value)

    def _packed(self, operand: Vector, kind: Type):
        bits = kind.bits // len(operand.elements)
        whole = kind.raw.type(0)
        for n, element in enumerate(operand.elements):
            part = self.read(element, Type("b", bits)).astype(kind.raw)
            whole = whole | part << kind.raw.type(n * bits)
        return whole.view(kind.dtype)

    def write(self, operand: Operand, value, mask: np.ndarray | None) -> None:
        """Set a register, in the threads of the mask; None for all."""
        if operand is None:
            return
        if type(operand) is Vector:  # parts of a number, from the lowest bits on
            for n, element in enumerate(operand.elements):
                shift = value.dtype.itemsize * 8 // len(operand.elements) * n
                self.write(
                    element, raw_of(value, value.dtype.itemsize * 8) >> RAW[value.dtype.itemsize * 8](shift), mask
                )
            return
        assert type(operand) is Register
        value = value if operand.bits == 1 else raw_of(value, operand.bits)
        if mask is not None:
            value = np.where(mask, value, self._registers[operand.number])
        elif not np.ndim(value):
            value = np.full(self.n_lanes, value)
        self._registers[operand.number] = value

    def parameter(self, operand: Operand) -> np.generic:
        assert type(operand) is Parameter
        return self._launch.arguments[operand.name]

    def access(self, i: Instruction, operand: Operand, size: int, mask: np.ndarray | None):
        """Return (memory, threads that access it, their addresses); counts the access."""
        assert type(operand) is Address
        space = self._shared if i.is_shared else self._memory
        base = operand.base
        if isinstance(base, Register):
            addresses = self._registers[base.number].astype(np.int64) + operand.offset
        else:
            start = base.value if isinstance(base, Constant) else self._dynamic
            addresses = np.full(self.n_lanes, int(start) + operand.offset)
        if i.is_shared:
            addresses &= 0xFFFFFFFF
        if self._counters is not None and i.is_shared:
            self._counters.count_access(self.kernel.name, addresses, mask, size)
        lanes = np.arange(self.n_lanes) if mask is None else np.flatnonzero(mask)
        return space, lanes, addresses if mask is None else addresses[lanes]

    # ---- control

    def run(self) -> None:
        """Run all threads to their end."""
        groups: dict[int, np.ndarray] = {0: self._exists}  # program counter -> its threads
        waiting: dict[int, np.ndarray] = {}  # barrier -> threads that wait there
        while groups or waiting:
            if groups:
                place = min(groups)
                self._advance(place, groups.pop(place), groups, waiting)
            else:
                self._check_barriers(waiting)
                groups, waiting = {place + 1: mask for place, mask in waiting.items()}, {}

    def _check_barriers(self, waiting: dict[int, np.ndarray]) -> None:
        blocks = [set(self._block[mask]) for mask in waiting.values()]
        if len(set().union(*blocks)) < sum(map(len, blocks)):
            raise PtxError("threads of a block wait at different barriers")

    def _advance(self, place: int, mask: np.ndarray, groups: dict[int, np.ndarray], waiting: dict) -> None:
        """Run a group of threads until it parts, waits, ends or meets another group."""
        code, meets = self.kernel.code, min(groups, default=len(self.kernel.code))
        is_full = bool(mask.all())
        while place < len(code):
            i = code[place]
            if self._counters is not None:
                self._counters.count_instruction(self.kernel.name, mask)
            active = None if is_full else mask
            if i.guard is not None:
                active = self._guarded(i.guard, mask)
            place += 1
            if i.opcode == "bra":
                if i.guard is None or active is None or (active == mask).all():
                    place = i.target
                elif active.any():
                    _join(groups, i.target, active)
                    _join(groups, place, mask & ~active)
                    return
            elif i.opcode == "ret":
                if active is None or i.guard is None:
                    return
                mask, is_full = mask & ~active, False
                if not mask.any():
                    return
            elif i.opcode == "bar":
                self._check_barrier(i)
                _join(waiting, place - 1, mask)
                return
            elif active is None or active.any():
                self._execute(i, active)
            if place >= meets:
                _join(groups, place, mask)
                return

    def _guarded(self, guard: Register | Negated, mask: np.ndarray) -> np.ndarray | None:
        """Return the threads of a group that a predicate lets run; None for all threads there are."""
        value = self._registers[(guard.register if isinstance(guard, Negated) else guard).number]
        active = mask & (~value if isinstance(guard, Negated) else value)
        return None if active.all() else active

    @staticmethod
    def _check_barrier(i: Instruction) -> None:
        if i.guard is not None or i.text.split()[-1] != "0":
            raise PtxError(f"the interpreter has no {i.text!r}")

    def _execute(self, i: Instruction, mask: np.ndarray | None) -> None:
        if i.opcode in COMPUTES:
            values = [self.read(operand, kind) for operand, kind in zip(i.sources, i.reads)]  # noqa: B905
            self.write(i.destination, COMPUTES[i.opcode][0](i, *values), mask)
        elif i.opcode in EFFECTS:
            EFFECTS[i.opcode](self, i, mask)
        elif i.opcode != "membar":
            raise PtxError(f"a thread has run into {i.text!r}")


def _join(groups: dict[int, np.ndarray], place: int, mask: np.ndarray) -> None:
    groups[place] = groups[place] | mask if place in groups else mask
