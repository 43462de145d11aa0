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
from numba.core import cgutils
from numba.core.imputils import lower_builtin
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, models, overload, register_model

from ..formulas.numpy_math import absolute, multiply_add, ratio, sqrt, where
from ..jit.cpu_features import FEATURES

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


def as_vector(context, builder, vector, numba_type, value):
    if isinstance(numba_type, Vector):
        return value
    return splat(builder, context.cast(builder, value, numba_type, vector.dtype), vector.lanes)


def intrinsic_name(name, vector):
    """Return the mangled name of an LLVM intrinsic; llvmlite does not mangle vector types."""
    return f"llvm.{name}.v{vector.lanes}f{vector.dtype.bitwidth}"


def lanes_below(context, builder, n, lanes):
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


def _define_binary(op, result_of, emit):
    @infer_global(op)
    class _Template(AbstractTemplate):
        def generic(self, args, kws):
            vector = _vector_among(args)
            return None if vector is None else signature(result_of(vector), *args)

    def lower(context, builder, sig, args):
        vector = _vector_among(sig.args)
        a, b = (as_vector(context, builder, vector, t, x) for t, x in zip(sig.args, args, strict=True))
        return emit(builder, a, b)

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


@infer_global(operator.neg)
class _Negate(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0], args[0]) if len(args) == 1 and isinstance(args[0], Vector) else None


@lower_builtin(operator.neg, Vector)
def _negate(context, builder, sig, args):
    return builder.fneg(args[0], flags=FLAGS)


@infer_global(operator.and_)
class _And(AbstractTemplate):
    def generic(self, args, kws):
        both = len(args) == 2 and isinstance(args[0], Mask) and args[0] == args[1]
        return signature(args[0], *args) if both else None


@lower_builtin(operator.and_, Mask, Mask)
def _and(context, builder, sig, args):
    return builder.and_(*args)


@infer_global(operator.invert)
class _Invert(AbstractTemplate):
    def generic(self, args, kws):
        return signature(args[0], args[0]) if len(args) == 1 and isinstance(args[0], Mask) else None


@lower_builtin(operator.invert, Mask)
def _invert(context, builder, sig, args):
    return builder.not_(args[0])


# ---- functions of vectors


@intrinsic
def _where(typing_context, mask, a, b):
    vector = Vector(mask.dtype, mask.lanes)

    def build(context, builder, sig, args):
        low, high = (as_vector(context, builder, vector, t, x) for t, x in zip(sig.args[1:], args[1:], strict=True))
        return builder.select(args[0], low, high)

    return vector(mask, a, b), build


def _unary(name):
    @intrinsic
    def call(typing_context, v):
        def build(context, builder, sig, args):
            t = llvm_type(v)
            f = cgutils.get_or_insert_function(builder.module, ir.FunctionType(t, [t]), intrinsic_name(name, v))
            return builder.call(f, args, fastmath=FLAGS)

        return v(v), build

    return call


_sqrt, _absolute = _unary("sqrt"), _unary("fabs")


@intrinsic
def with_sign(typing_context, v, z):
    """Return the numbers of v, none of which is negative, with the signs of those of z."""

    def build(context, builder, sig, args):
        t = llvm_type(v)
        f = cgutils.get_or_insert_function(builder.module, ir.FunctionType(t, [t, t]), intrinsic_name("copysign", v))
        return builder.call(f, args)

    return v(v, v), build


@intrinsic
def _multiply_add(typing_context, a, b, c):
    """Fused multiply-add of vectors, or of numbers as in binary operations; c is a vector."""

    def build(context, builder, sig, args):
        t = llvm_type(c)
        parts = [as_vector(context, builder, c, kind, value) for kind, value in zip(sig.args, args, strict=True)]
        f = cgutils.get_or_insert_function(builder.module, ir.FunctionType(t, [t] * 3), intrinsic_name("fma", c))
        return builder.call(f, parts, fastmath=FLAGS)

    return c(a, b, c), build


@intrinsic
def _reciprocal_estimate(typing_context, v):
    """Return 1 / v, accurate to 14 bits, for float32 vectors of one or two 512-bit registers."""

    def build(context, builder, sig, args):
        t, mask = ir.VectorType(ir.FloatType(), 16), ir.IntType(16)
        f = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(t, [t, t, mask]), "llvm.x86.avx512.rcp14.ps.512"
        )
        estimate = lambda x: builder.call(f, [x, ir.Constant(t, ir.Undefined), ir.Constant(mask, -1)])
        return map_subvectors(builder, args[0], 16, estimate)

    return v(v), build


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


@overload(multiply_add)
def _overload_multiply_add(a, b, c):
    return (lambda a, b, c: _multiply_add(a, b, c)) if isinstance(c, Vector) else None


@overload(where)
def _overload_where(mask, a, b):
    return (lambda mask, a, b: _where(mask, a, b)) if isinstance(mask, Mask) else None


@overload(sqrt)
def _overload_sqrt(v):
    return (lambda v: _sqrt(v)) if isinstance(v, Vector) else None


@overload(absolute)
def _overload_absolute(v):
    return (lambda v: _absolute(v)) if isinstance(v, Vector) else None


@intrinsic
def keep_first(typing_context, v, n, other):
    """Return the first n lanes of v, with `other` in the remaining lanes."""

    def build(context, builder, sig, args):
        rest = as_vector(context, builder, v, other, args[2])
        return builder.select(lanes_below(context, builder, args[1], v.lanes), args[0], rest)

    return v(v, types.intp, other), build


@intrinsic
def negated_lane_numbers(typing_context, v):
    """Return 0, -1, -2, ... in the lanes of a vector like v.

    The largest of them over the lanes that a mask selects is the number of the first of these lanes, times -1.
    """

    def build(context, builder, sig, args):
        return ir.Constant(llvm_type(v), [-float(lane) for lane in range(v.lanes)])

    return v(v), build


# ---- bits of floating-point numbers, for elementary.py, and instructions for a part of the lanes


@intrinsic
def half_exp2(typing_context, t):
    """Return 2**(k - 1) for t = 1.5 * 2**m + k, m the mantissa's width: the low bits of such a t are the integer k."""

    def build(context, builder, sig, args):
        width, mantissa, bias = (32, 23, 126) if t.dtype == types.float32 else (64, 52, 1022)
        element = ir.IntType(width)
        bits = builder.bitcast(args[0], ir.VectorType(element, t.lanes))
        bits = builder.shl(bits, constant(element, [mantissa] * t.lanes))
        bits = builder.add(bits, constant(element, [bias << mantissa] * t.lanes))
        return builder.bitcast(bits, llvm_type(t))

    return t(t), build


def map_subvectors(builder, v, size, function):
    """Apply a function of vectors with `size` lanes to a vector with any power of two of lanes.

    Longer vectors are processed in pieces; shorter ones are repeated to fill `size` lanes.
    """
    part = lambda first, n: builder.shuffle_vector(v, v, constant(I32, range(first, first + n)))
    n = v.type.count
    if n < size:
        wide = builder.shuffle_vector(v, v, constant(I32, [i % n for i in range(size)]))
        found = function(wide)
        return builder.shuffle_vector(found, found, constant(I32, range(n)))
    pieces = [function(part(first, size)) for first in range(0, n, size)]
    while len(pieces) > 1:
        both = constant(I32, range(2 * pieces[0].type.count))
        pieces = [builder.shuffle_vector(a, b, both) for a, b in zip(pieces[::2], pieces[1::2], strict=True)]
    return pieces[0]


@intrinsic
def split(typing_context, x):
    """Return (m, k) with x = m * 2**k and sqrt(1/2) <= m < sqrt(2), for normal positive x."""
    pair = types.UniTuple(x, 2)

    def build(context, builder, sig, args):
        width, mantissa, _bias = (32, 23, 127) if x.dtype == types.float32 else (64, 52, 1023)
        root_half = 0x3F3504F3 if width == 32 else 0x3FE6A09E667F3BCD
        element = ir.IntType(width)
        every = lambda value: constant(element, [value] * x.lanes)
        bits = builder.bitcast(args[0], ir.VectorType(element, x.lanes))
        shifted = builder.sub(bits, every(root_half))
        exponent = builder.ashr(shifted, every(mantissa))
        bits = builder.sub(bits, builder.shl(exponent, every(mantissa)))
        m, k = builder.bitcast(bits, llvm_type(x)), builder.sitofp(exponent, llvm_type(x))
        return context.make_tuple(builder, pair, [m, k])

    return pair(x), build
