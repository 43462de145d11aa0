"""Opcodes that compute numbers or move bits: functions of an instruction and its sources, arrays of the types it reads.

Approximate functions are rounded correctly here: a GPU's may differ in the last places.
"""

from __future__ import annotations

import numpy as np

from .program import U64, Instruction

SMALLEST_NORMAL = 0x00800000  # bits of the smallest float32 that is no denormal
WORD, LOW_WORD = np.uint64(32), np.uint64(0xFFFFFFFF)
ROUNDINGS = {"rni": np.rint, "rmi": np.floor, "rpi": np.ceil, "rzi": np.trunc}


def flushed(x):
    """Return float32 numbers with zeros for denormals."""
    bits = x.view(np.uint32)
    is_denormal = (bits & np.uint32(0x7FFFFFFF)) - np.uint32(1) < np.uint32(SMALLEST_NORMAL - 1)
    if not is_denormal.any():
        return x
    return np.where(is_denormal, bits & np.uint32(0x80000000), bits).view(np.float32)


def _inputs(i: Instruction, *values):
    return [flushed(x) if x.dtype == np.float32 else x for x in values] if i.flushes else values


def _output(i: Instruction, result):
    if i.has("sat"):
        result = np.where(np.isnan(result), result.dtype.type(0), np.clip(result, 0, 1)).astype(result.dtype)
    return flushed(result) if i.flushes and result.dtype == np.float32 else result


def _rounded_down(exact, result):
    above = result.astype(exact.dtype) > exact
    return np.where(above, np.nextafter(result, result.dtype.type(-np.inf)), result)


def _cut(exact, result):
    beyond = np.abs(result.astype(exact.dtype)) > np.abs(exact)
    return np.where(beyond, np.nextafter(result, result.dtype.type(0)), result)


DIRECTED = {"rm": _rounded_down, "rz": _cut}


def _rounded(i: Instruction, function, *values):
    """Return a function of floating numbers, rounded once as the instruction says."""
    values = _inputs(i, *values)
    directed = next((DIRECTED[name] for name in i.modifiers if name in DIRECTED), None)
    if directed is None and len(values) < 3:
        return _output(i, function(*values))
    wide = np.float64 if i.type.bits == 32 else np.longdouble
    exact = function(*[x.astype(wide) for x in values])
    result = exact.astype(i.type.dtype)
    return _output(i, result if directed is None else directed(exact, result))


def _by_kind(function):
    """An opcode that is the same function of integers and of floating numbers."""
    return lambda i, *values: _rounded(i, function, *values) if i.type.is_float else function(*values)


def multiply(i: Instruction, a, b):
    if i.type.is_float:
        return _rounded(i, np.multiply, a, b)
    if i.has("wide"):
        wide = i.type.widened().dtype
        return a.astype(wide) * b.astype(wide)
    return _high_product(i, a, b) if i.has("hi") else a * b


def _high_product(i: Instruction, a, b):
    if i.type.bits == 32:
        wide = i.type.widened().dtype
        return (a.astype(wide) * b.astype(wide) >> wide.type(32)).astype(i.type.dtype)
    assert i.type == U64, i.text
    a_low, a_high, b_low, b_high = a & LOW_WORD, a >> WORD, b & LOW_WORD, b >> WORD
    carry = (a_low * b_low >> WORD) + (a_high * b_low & LOW_WORD) + (a_low * b_high & LOW_WORD)
    return a_high * b_high + (a_high * b_low >> WORD) + (a_low * b_high >> WORD) + (carry >> WORD)


def multiply_add(i: Instruction, a, b, c):
    """With a single rounding, as far as the 64 bits of extended precision go."""
    return _rounded(i, lambda a, b, c: a * b + c, a, b, c) if i.type.is_float else multiply(i, a, b) + c


def divide(i: Instruction, a, b):
    return _output(i, np.divide(*_inputs(i, a, b))) if i.type.is_float else _quotient(i, a, b)


def _quotient(i: Instruction, a, b):
    b = np.where(b == 0, b.dtype.type(1), b)
    toward_zero = a // b if i.type.kind == "u" else np.abs(a) // np.abs(b) * np.sign(a) * np.sign(b)
    return toward_zero.astype(a.dtype)


def remainder(i: Instruction, a, b):
    return a - _quotient(i, a, b) * b


def reciprocal(i: Instruction, a):
    if i.has("approx") and i.type.bits == 64:  # of the upper halves only, to be refined
        upper = np.uint64(0xFFFFFFFF00000000)
        return ((1.0 / (a.view(np.uint64) & upper).view(np.float64)).view(np.uint64) & upper).view(np.float64)
    (a,) = _inputs(i, a)
    return _output(i, a.dtype.type(1) / a)


def _of_one(function):
    """A function of floating numbers, computed in float64."""

    def operation(i: Instruction, a):
        (a,) = _inputs(i, a)
        return _output(i, function(a.astype(np.float64)).astype(a.dtype))

    return operation


def negate(i: Instruction, a):
    return _output(i, -_inputs(i, a)[0]) if i.type.is_float else ~a + a.dtype.type(1)


def copy_sign(i: Instruction, sign, magnitude):
    return np.copysign(magnitude, sign)


def minimum(i: Instruction, a, b):
    return _output(i, np.fmin(*_inputs(i, a, b))) if i.type.is_float else np.minimum(a, b)


def maximum(i: Instruction, a, b):
    return _output(i, np.fmax(*_inputs(i, a, b))) if i.type.is_float else np.maximum(a, b)


# ---- comparisons

COMPARISONS = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal} | {
    "gt": np.greater,
    "ge": np.greater_equal,
}
UNSIGNED = {"lo": "lt", "ls": "le", "hi": "gt", "hs": "ge"}  # other names of the comparisons of unsigned numbers
COMBINED = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}


def compare(i: Instruction, a, b, other=None):
    result = _compare_floats(i, *_inputs(i, a, b)) if i.type.is_float else _compare(i.modifiers[0], a, b)
    combined = COMBINED.get(i.modifiers[1])
    return combined(result, other) if combined else result


def _compare(name: str, a, b):
    return COMPARISONS[UNSIGNED.get(name, name)](a, b)


def _compare_floats(i: Instruction, a, b):
    """Of NaN, comparisons are false, and those whose name ends in an additional u are true."""
    name, is_nan = i.modifiers[0], np.isnan(a) | np.isnan(b)
    if name in ("nan", "num"):
        return is_nan if name == "nan" else ~is_nan
    return _compare(name[:2], a, b) | is_nan if len(name) == 3 else _compare(name, a, b) & ~is_nan


# ---- conversions


def bfloat16_bits(x):
    """Return the bits of float32 numbers, rounded to nearest even."""
    bits = x.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + (bits >> np.uint32(16) & np.uint32(1))) >> np.uint32(16)
    return np.where(np.isnan(x), np.uint16(0x7FFF), rounded.astype(np.uint16))


def from_bfloat16_bits(bits):
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def convert(i: Instruction, a, low=None):
    if low is not None:  # two numbers to a pair of halves
        bits = bfloat16_bits if i.has("bf16x2") else lambda x: x.astype(np.float16).view(np.uint16)
        return bits(low).astype(np.uint32) | bits(a).astype(np.uint32) << np.uint32(16)
    if i.has("bf16"):
        return bfloat16_bits(a)
    to, source = i.types
    if not source.is_float:
        return a.astype(to.dtype)
    (a,) = _inputs(i, a)
    rounding = next((ROUNDINGS[name] for name in i.modifiers if name in ROUNDINGS), None)
    if to.is_float:
        return _output(i, (a if rounding is None else rounding(a)).astype(to.dtype))
    assert rounding is not None, i.text
    bounds = np.iinfo(to.dtype)
    whole = rounding(np.where(np.isnan(a), a.dtype.type(0), a).astype(np.longdouble))
    return np.clip(whole, np.longdouble(bounds.min), np.longdouble(bounds.max)).astype(to.dtype)


# ---- bits: moved, selected and shifted


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


# ---- opcode -> (function, types of the sources). A type is the instruction's ("type"), that with twice the bits
# ("wide"), the first one that is not the result's ("from"), or the one that is named.

SAME = ("type",) * 3
COMPUTES = {
    "add": (_by_kind(np.add), SAME),
    "sub": (_by_kind(np.subtract), SAME),
    "mul": (multiply, SAME),
    "mad": (multiply_add, ("type", "type", "wide")),
    "fma": (multiply_add, SAME),
    "div": (divide, SAME),
    "rem": (remainder, SAME),
    "abs": (_by_kind(np.abs), SAME),
    "neg": (negate, SAME),
    "min": (minimum, SAME),
    "max": (maximum, SAME),
    "rcp": (reciprocal, SAME),
    "sqrt": (_by_kind(np.sqrt), SAME),
    "rsqrt": (_of_one(lambda x: 1.0 / np.sqrt(x)), SAME),
    "ex2": (_of_one(np.exp2), SAME),
    "copysign": (copy_sign, SAME),
    "setp": (compare, ("type", "type", "pred")),
    "cvt": (convert, ("from", "from")),
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
