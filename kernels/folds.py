"""From a vector's lanes to one number, or to one for each of four vectors.

total(v)  totals(v0, v1, v2, v3)  largest(v)  any_of(mask)
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .simd import FLAGS, I32, Vector, constant


def _fold(builder, v, lanes, combine):
    """Halve a vector until one element is left."""
    while lanes > 1:
        lanes //= 2
        low = builder.shuffle_vector(v, v, constant(I32, range(lanes)))
        high = builder.shuffle_vector(v, v, constant(I32, range(lanes, 2 * lanes)))
        v = combine(low, high)
    return builder.extract_element(v, ir.Constant(I32, 0))


@intrinsic
def total(typing_context, v):
    """The sum over lanes, by halves."""

    def build(context, builder, sig, args):
        return _fold(builder, args[0], v.lanes, lambda a, b: builder.fadd(a, b, flags=FLAGS))

    return v.dtype(v), build


@intrinsic
def totals(typing_context, v0, v1, v2, v3):
    """A vector of the four sums: they share their steps, which are those of two of them."""

    def build(context, builder, sig, args):
        def halves_added(parts, n, size):
            """Of vectors of n groups of `size` lanes each, side by side, the sums of each group's halves."""
            both = parts if len(parts) == 2 else parts * 2
            picks = [group * size + k for group in range(len(parts) * n) for k in range(size // 2)]
            low, high = (
                builder.shuffle_vector(*both, constant(I32, [pick + shift for pick in picks]))
                for shift in (0, size // 2)
            )
            return builder.fadd(low, high, flags=FLAGS)

        size = v0.lanes
        first, second = (halves_added(args[k : k + 2], 1, size) for k in (0, 2))
        found, size = halves_added([first, second], 2, size // 2), size // 4
        while size > 1:
            found, size = halves_added([found], 4, size), size // 2
        return found

    return Vector(v0.dtype, 4)(v0, v1, v2, v3), build


@intrinsic
def largest(typing_context, v):
    """The maximum over lanes; any NaN may be lost."""

    def build(context, builder, sig, args):
        return _fold(builder, args[0], v.lanes, lambda a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))

    return v.dtype(v), build


@intrinsic
def any_of(typing_context, mask):
    """Whether any lane is true."""

    def build(context, builder, sig, args):
        bits = builder.bitcast(args[0], ir.IntType(mask.lanes))
        return builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))

    return types.boolean(mask), build
