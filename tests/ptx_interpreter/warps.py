"""Opcodes of whole warps: shuffles, and products of tensor cores with their fragments (PTX ISA, section 9.7)."""

from __future__ import annotations

import numpy as np

from .arithmetic import from_bfloat16_bits
from .instructions import Instruction
from .operands import Address, Vector
from .protocols import Threads
from .types import TYPES, U32, PtxError

LANES = 32
ALL = np.uint32(0xFFFFFFFF)
F32 = TYPES["f32"]
LANE = np.arange(LANES)
GROUP, IN_GROUP = LANE // 4, LANE % 4  # of a lane, in fragments


def _check_whole(machine: Threads, i: Instruction, mask: np.ndarray | None) -> None:
    if mask is not None:
        warps = mask.reshape(-1, LANES)
        if not (warps.all(axis=1) | ~warps.any(axis=1)).all():
            raise PtxError(f"{i.opcode} by a part of a warp")


def wait_for_warp(machine: Threads, i: Instruction, mask: np.ndarray | None) -> None:
    """bar.warp: threads in lockstep have nothing to wait for, and those that branched apart must have met again."""
    _check_whole(machine, i, mask)


def shuffle(machine: Threads, i: Instruction, mask: np.ndarray | None) -> None:
    """Read a register of another lane. All lanes must take part, as all shuffles of this project have it."""
    value, offset, limits, members = map(machine.read_lanes, i.sources, i.reads)
    _check_whole(machine, i, mask)
    if (members if mask is None else members[mask]).min() != ALL:
        raise PtxError("shfl with a mask of fewer than 32 lanes")
    offset, limits, lane = (offset & 31).astype(int), limits.astype(int), machine.lane_of_warp
    limit, segment = limits & 31, limits >> 8 & 31
    lowest, highest = lane & segment, lane & segment | limit & ~segment
    source = {
        "up": lane - offset,
        "down": lane + offset,
        "bfly": lane ^ offset,
        "idx": lowest | offset & ~segment & 31,
    }[i.modifiers[1]]
    is_inside = source >= highest if i.has("up") else source <= highest
    result, inside = i.destination.elements if isinstance(i.destination, Vector) else (i.destination, None)
    machine.write(result, value[machine.first_of_warp + np.where(is_inside, source, lane)], mask)
    machine.write(inside, is_inside, mask)


def load_matrix(machine: Threads, i: Instruction, mask: np.ndarray | None) -> None:
    """ldmatrix: 8 x 8 matrices of 16-bit numbers, of which lanes 8 n .. 8 n + 7 give the rows of the n-th one."""
    _check_whole(machine, i, mask)
    address = i.sources[0]
    assert isinstance(address, Address)
    assert isinstance(i.destination, Vector)
    space, lanes, addresses = machine.access(i, address, 16, mask)
    rows = np.zeros((machine.n_lanes, 8), np.uint32)
    for which, array, index in space.view(lanes, addresses, np.dtype(np.uint16), 16):
        for j in range(8):
            rows[lanes[which], j] = array[(*index[:-1], index[-1] + j)]
    matrices = rows.reshape(-1, 4, 8, 8)  # (warps, matrices, rows, columns)
    if i.has("trans"):
        matrices = matrices.swapaxes(2, 3)
    for n, register in enumerate(i.destination.elements):
        low, high = (matrices[:, n, GROUP, 2 * IN_GROUP + j].reshape(-1) for j in (0, 1))
        machine.write(register, low | high << np.uint32(16), mask)


def multiply_matrices(machine: Threads, i: Instruction, mask: np.ndarray | None) -> None:
    """mma.m16n8k16: D = A B + C, A (16, 16) and B (16, 8) of 16-bit numbers, C and D (16, 8) of float32."""
    if i.modifiers[2:5] != ("m16n8k16", "row", "col") or i.type != F32:
        raise PtxError(f"the interpreter has no {i.text}")
    _check_whole(machine, i, mask)
    a, b, c = (operand.elements for operand in i.sources if isinstance(operand, Vector))
    n_warps = machine.n_lanes // LANES
    A, B, C = np.zeros((n_warps, 16, 16)), np.zeros((n_warps, 16, 8)), np.zeros((n_warps, 16, 8))
    for n, half in enumerate(_halves(machine, i, a)):
        A[:, GROUP + 8 * (n // 2 % 2), IN_GROUP * 2 + n % 2 + 8 * (n // 4)] = half
    for n, half in enumerate(_halves(machine, i, b)):
        B[:, IN_GROUP * 2 + n % 2 + 8 * (n // 2), GROUP] = half
    places = [(GROUP + 8 * (n // 2), IN_GROUP * 2 + n % 2) for n in range(4)]
    for (row, column), register in zip(places, c, strict=True):
        C[:, row, column] = machine.read_lanes(register, F32).reshape(n_warps, LANES)
    D = (A @ B + C).astype(np.float32)
    assert isinstance(i.destination, Vector)
    for (row, column), register in zip(places, i.destination.elements, strict=True):
        machine.write(register, D[:, row, column].reshape(-1), mask)


def _halves(machine: Threads, i: Instruction, registers: tuple):
    """Yield the lower and upper number of each register, (warps, lanes)."""
    for register in registers:
        bits = machine.read_lanes(register, U32).reshape(-1, LANES)
        for shift in (0, 16):
            half = (bits >> np.uint32(shift)).astype(np.uint16)
            yield from_bfloat16_bits(half) if i.has("bf16") else half.view(np.float16)


WARPS = {"shfl": shuffle, "ldmatrix": load_matrix, "mma": multiply_matrices}
