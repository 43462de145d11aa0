"""Opcodes of whole warps: shuffles (PTX ISA, section 9.7)."""

from __future__ import annotations

import numpy as np

from .instructions import Instruction
from .operands import Vector
from .protocols import Threads
from .types import PtxError

LANES = 32
ALL = np.uint32(0xFFFFFFFF)


def _check_whole(machine: Threads, i: Instruction, mask: np.ndarray | None) -> None:
    if mask is not None:
        warps = mask.reshape(-1, LANES)
        if not (warps.all(axis=1) | ~warps.any(axis=1)).all():
            raise PtxError(f"{i.opcode} by a part of a warp")


def shuffle(machine: Threads, i: Instruction, mask: np.ndarray | None) -> None:
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


WARPS = {"shfl": shuffle}
