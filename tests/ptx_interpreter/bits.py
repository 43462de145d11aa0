"""Opcodes that move, select and shift bits: functions of an instruction and of its sources."""

from __future__ import annotations

import numpy as np

from .arithmetic import SAME
from .instructions import Instruction


def move(i: Instruction, a):
    return a


def invert(i: Instruction, a):
    return ~a


def bitwise(function):
    return lambda i, a, b: function(a, b)


def select(i: Instruction, a, b, predicate):
    return np.where(predicate, a, b)


def _limited(i: Instruction, a, n):
    """Return (the count of a shift, of the type of what is shifted; whether all bits are shifted out)."""
    most = np.uint32(i.type.bits - 1)
    return np.minimum(n, most).astype(a.dtype), n > most


def shift_left(i: Instruction, a, n):
    count, is_over = _limited(i, a, n)
    return np.where(is_over, a.dtype.type(0), a << count)


def shift_right(i: Instruction, a, n):
    count, is_over = _limited(i, a, n)
    return a >> count if i.type.kind == "s" else np.where(is_over, a.dtype.type(0), a >> count)


def _ones(raw, length):
    """Return numbers whose lowest bits are set; of a length of at least all bits, all are."""
    bits = raw.itemsize * 8
    short = (raw.type(1) << np.minimum(length, bits - 1).astype(raw)) - raw.type(1)
    return np.where(length >= bits, ~raw.type(0), short)


def insert_field(i: Instruction, a, into, position, length):
    position, ones = (position & np.uint32(255)).astype(a.dtype), _ones(a.dtype, length & np.uint32(255))
    return into & ~(ones << position) | (a & ones) << position


BITS = {
    "mov": (move, SAME),
    "cvta": (move, SAME),  # generic addresses are those of global memory
    "not": (invert, SAME),
    "and": (bitwise(np.bitwise_and), SAME),
    "or": (bitwise(np.bitwise_or), SAME),
    "xor": (bitwise(np.bitwise_xor), SAME),
    "selp": (select, ("type", "type", "pred")),
    "shl": (shift_left, ("type", "u32")),
    "shr": (shift_right, ("type", "u32")),
    "bfi": (insert_field, ("type", "type", "u32", "u32")),
}
