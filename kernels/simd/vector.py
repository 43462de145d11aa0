"""Explicit SIMD for Numba: a vector of lanes as a value, so that vectorisation does not depend on LLVM's heuristics.

LLVM gives up on a loop silently, and Numba's small loops are unrolled into scalar code before the vectoriser sees them.
Here a register is a type: `Vector(float32, 16)` is LLVM's `<16 x float>`, legal on every processor (two AVX2 or four
SSE registers where there is no AVX-512). Arithmetic with a number broadcasts the number in the vector's own dtype, so
that a formula may contain `1.0 - a * a` and stay in float32.

    where(mask, a, b)  sqrt(v)  absolute(v)  ratio(a, b)  multiply_add(a, b, c)  keep_first(v, n, other)
    negated_lane_numbers(v)

Loads, stores and other functions that access memory are in load_store.py, sums over lanes in reductions.py.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba import types
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import models, overload, register_model

from ..formulas.numpy_math import absolute, multiply_add, ratio, sqrt, where
from ..jit.cpu_features import FEATURES
from ..jit.intrinsics import Emit, emits

FLAGS = ("contract", "nsz", "arcp", "afn")  # as in decorators.py, for the instructions written here
I32 = ir.IntType(32)


class Vector(types.Type):
    """Numba type of a SIMD vector: `lanes` numbers of `dtype`, in as many registers as the processor needs for them."""

    def __init__(self, dtype, lanes):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Vector({dtype}, {lanes})")


class Mask(types.Type):
    """Numba type of a mask: a truth value per lane. `where(mask, 1.0, 0.0)` makes a vector of `dtype` from it."""

    def __init__(self, dtype, lanes):
        self.dtype, self.lanes = dtype, lanes
        super().__init__(name=f"Mask({dtype}, {lanes})")


def llvm_type(vector: Vector) -> ir.VectorType:
    return ir.VectorType(ir.FloatType() if vector.dtype == types.float32 else ir.DoubleType(), vector.lanes)


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, llvm_type(vector))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, mask):
        super().__init__(manager, mask, ir.VectorType(ir.IntType(1), mask.lanes))


# ---- building blocks in LLVM's terms


def constant(element, values):
    return ir.Constant(ir.VectorType(element, len(values)), list(values))


def splat(builder, x, lanes):
    one = ir.Constant(ir.VectorType(x.type, lanes), ir.Undefined)
    one = builder.insert_element(one, x, ir.Constant(I32, 0))
    return builder.shuffle_vector(one, one, constant(I32, [0] * lanes))


def as_vector(emit, vector, kind, value):
    """Return a number of any Numba type, or a vector, as a vector."""
    if isinstance(kind, Vector):
        return value
    return splat(emit.builder, emit.context.cast(emit.builder, value, kind, vector.dtype), vector.lanes)


def intrinsic_name(name, vector):
    """Return the mangled name of an LLVM intrinsic; llvmlite does not mangle vector types."""
    return f"llvm.{name}.v{vector.lanes}f{vector.dtype.bitwidth}"


def lanes_below(builder, n, lanes):
    iota = constant(I32, range(lanes))
    return builder.icmp_signed("<", iota, splat(builder, builder.trunc(n, I32), lanes))


# ---- operators


def _vector_among(arguments):
    """Return the vector type of a binary operation, None if it has no vector operand."""
    if len(arguments) == 2:
        a, b = arguments
        if isinstance(a, Vector) and (a == b or isinstance(b, types.Number)):
            return a
        if isinstance(b, Vector) and isinstance(a, types.Number):
            return b
    return None


def _define_binary(op, result_of, instruction):
    @infer_global(op)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            vector = _vector_among(args)
            return None if vector is None else signature(result_of(vector), *args)

    def lower(context, builder, sig, args):
        emit, vector = Emit(context, builder, sig.args, sig.return_type), _vector_among(sig.args)
        return instruction(builder, *(as_vector(emit, vector, t, x) for t, x in zip(sig.args, args, strict=True)))

    for pair in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(op, *pair)(lower)


def _define_operators():
    for name in ("add", "sub", "mul", "truediv"):
        instruction = "fdiv" if name == "truediv" else f"f{name}"
        for op in (getattr(operator, name), getattr(operator, f"i{name}")):
            _define_binary(op, lambda v: v, lambda b, x, y, i=instruction: getattr(b, i)(x, y, flags=FLAGS))
    for op, symbol in ((operator.lt, "<"), (operator.le, "<="), (operator.gt, ">"), (operator.ge, ">=")):
        _define_binary(op, lambda v: Mask(v.dtype, v.lanes), lambda b, x, y, s=symbol: b.fcmp_ordered(s, x, y))


_define_operators()


def _define(op, kind, n_operands, instruction):
    """Define an operator whose operands, and result, have one type of this kind."""

    @infer_global(op)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            suits = len(args) == n_operands and isinstance(args[0], kind) and set(args) == {args[0]}
            return signature(args[0], *args) if suits else None

    lower_builtin(op, *[kind] * n_operands)(lambda context, builder, sig, args: instruction(builder, *args))


_define(operator.neg, Vector, 1, lambda b, x: b.fneg(x, flags=FLAGS))
_define(operator.and_, Mask, 2, lambda b, x, y: b.and_(x, y))
_define(operator.invert, Mask, 1, lambda b, x: b.not_(x))


# ---- functions of vectors


@emits(lambda mask, a, b: Vector(mask.dtype, mask.lanes))
def _where(emit, mask, a, b):
    low, high = (as_vector(emit, emit.result, kind, x) for kind, x in zip(emit.kinds[1:], (a, b), strict=True))
    return emit.builder.select(mask, low, high)


def _unary(name):
    return emits(lambda v: v)(lambda emit, v: emit.call(intrinsic_name(name, emit.result), v.type, v, fastmath=FLAGS))


_sqrt, _absolute = _unary("sqrt"), _unary("fabs")


@emits(lambda v, z: v)
def with_sign(emit, v, z):
    """Return the numbers of v, none of which is negative, with the signs of those of z."""
    return emit.call(intrinsic_name("copysign", emit.result), v.type, v, z)


@emits(lambda a, b, c: c)
def _multiply_add(emit, a, b, c):
    """Fused multiply-add of vectors, or of numbers as in binary operations; c is a vector."""
    parts = [as_vector(emit, emit.result, kind, x) for kind, x in zip(emit.kinds, (a, b, c), strict=True)]
    return emit.call(intrinsic_name("fma", emit.result), c.type, *parts, fastmath=FLAGS)


@emits(lambda v: v)
def _reciprocal_estimate(emit, v):
    """Return 1 / v, accurate to 14 bits, for float32 vectors of one or two 512-bit registers."""
    t, mask = ir.VectorType(ir.FloatType(), 16), ir.Constant(ir.IntType(16), -1)
    rest = ir.Constant(t, ir.Undefined), mask
    return map_subvectors(emit.builder, v, 16, lambda x: emit.call("llvm.x86.avx512.rcp14.ps.512", t, x, *rest))


HAS_ESTIMATE = bool(FEATURES.get("avx512f"))


@overload(ratio)
def _overload_ratio(a, b):
    if not isinstance(b, Vector):
        return None
    if HAS_ESTIMATE and b.dtype == types.float32 and b.lanes in (16, 32):

        def estimated(a, b):
            r = _reciprocal_estimate(b)
            return a * (r + r * (1.0 - b * r))

        return estimated
    return lambda a, b: a / b


overload(multiply_add)(lambda a, b, c: (lambda a, b, c: _multiply_add(a, b, c)) if isinstance(c, Vector) else None)
overload(where)(lambda mask, a, b: (lambda mask, a, b: _where(mask, a, b)) if isinstance(mask, Mask) else None)
overload(sqrt)(lambda v: (lambda v: _sqrt(v)) if isinstance(v, Vector) else None)
overload(absolute)(lambda v: (lambda v: _absolute(v)) if isinstance(v, Vector) else None)


@emits(lambda v, n, other: v)
def keep_first(emit, v, n, other):
    """Return the first n lanes of v, with `other` in the remaining lanes."""
    rest = as_vector(emit, emit.result, emit.kinds[2], other)
    return emit.builder.select(lanes_below(emit.builder, n, v.type.count), v, rest)


@emits(lambda v: v)
def negated_lane_numbers(emit, v):
    """Return 0, -1, -2, ... in the lanes of a vector like v.

    The largest of them over the lanes that a mask selects is the number of the first of these lanes, times -1.
    """
    return ir.Constant(v.type, [-float(lane) for lane in range(v.type.count)])


# ---- bits of floating-point numbers, for elementary.py, and instructions for a part of the lanes


@emits(lambda t: t)
def half_exp2(emit, t):
    """Return 2**(k - 1) for t = 1.5 * 2**m + k, m the mantissa's width: the low bits of such a t are the integer k."""
    width, mantissa, bias = (32, 23, 126) if emit.result.dtype == types.float32 else (64, 52, 1022)
    element, lanes = ir.IntType(width), t.type.count
    bits = emit.builder.bitcast(t, ir.VectorType(element, lanes))
    bits = emit.builder.shl(bits, constant(element, [mantissa] * lanes))
    bits = emit.builder.add(bits, constant(element, [bias << mantissa] * lanes))
    return emit.builder.bitcast(bits, t.type)


def map_subvectors(builder, v, size, function):
    """Apply a function of vectors with `size` lanes to a vector with any power of two of lanes.

    Longer vectors are processed in pieces; shorter ones are repeated to fill `size` lanes.
    """
    part = lambda first, n: builder.shuffle_vector(v, v, constant(I32, range(first, first + n)))
    n = v.type.count
    if n < size:
        wide = builder.shuffle_vector(v, v, constant(I32, [i % n for i in range(size)]))
        mapped = function(wide)
        return builder.shuffle_vector(mapped, mapped, constant(I32, range(n)))
    pieces = [function(part(first, size)) for first in range(0, n, size)]
    while len(pieces) > 1:
        both = constant(I32, range(2 * pieces[0].type.count))
        pieces = [builder.shuffle_vector(a, b, both) for a, b in zip(pieces[::2], pieces[1::2], strict=True)]
    return pieces[0]


@emits(lambda x: types.UniTuple(x, 2))
def split(emit, x):
    """Return (m, k) with x = m * 2**k and sqrt(1/2) <= m < sqrt(2), for normal positive x."""
    is_single, builder = emit.kinds[0].dtype == types.float32, emit.builder
    width, mantissa, root_half = (32, 23, 0x3F3504F3) if is_single else (64, 52, 0x3FE6A09E667F3BCD)
    element = ir.IntType(width)
    every = lambda value: constant(element, [value] * x.type.count)
    bits = builder.bitcast(x, ir.VectorType(element, x.type.count))
    exponent = builder.ashr(builder.sub(bits, every(root_half)), every(mantissa))
    bits = builder.sub(bits, builder.shl(exponent, every(mantissa)))
    m, k = builder.bitcast(bits, x.type), builder.sitofp(exponent, x.type)
    return emit.context.make_tuple(builder, emit.result, [m, k])
