"""Horizontal reductions: from the lanes of a vector to one number, or to one number for each of several vectors.

sum_lanes(v)  sum_lanes_4(v0, v1, v2, v3)  sum_lanes_8(u0, u1, u2, u3, v0, v1, v2, v3)  largest(v)  any_of(mask)
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from .vector import FLAGS, I32, Vector, constant


def _fold(builder, v, lanes, combine):
    """Halve a vector until one element is left, which is returned."""
    while lanes > 1:
        lanes //= 2
        low = builder.shuffle_vector(v, v, constant(I32, range(lanes)))
        high = builder.shuffle_vector(v, v, constant(I32, range(lanes, 2 * lanes)))
        v = combine(low, high)
    return builder.extract_element(v, ir.Constant(I32, 0))


@intrinsic
def sum_lanes(typing_context, v):
    """Return the sum over lanes, added up by halves."""

    def build(context, builder, sig, args):
        return _fold(builder, args[0], v.lanes, lambda a, b: builder.fadd(a, b, flags=FLAGS))

    return v.dtype(v), build


def _totals(builder, vectors):
    """Return a vector of the sums over lanes of n vectors; n is a power of two, at most the number of lanes.

    Vectors are combined in pairs: in the result, half of the lanes belong to each of the two. This takes a blend, one
    shuffle and one addition for both vectors, and all later steps are shared.
    """
    n, lanes = len(vectors), vectors[0].type.count
    size = lanes
    while len(vectors) > 1:  # pairs from both halves of the list, so that the sums come out in order
        half, size = len(vectors) // 2, size // 2
        kept = [lane + lanes * (lane // size % 2) for lane in range(lanes)]
        crossed = [lane ^ size for lane in range(lanes)]
        crossed = [lane + lanes * (i // size % 2) for i, lane in enumerate(crossed)]
        vectors = [
            builder.fadd(
                *(builder.shuffle_vector(a, b, constant(I32, picks)) for picks in (kept, crossed)), flags=FLAGS
            )
            for a, b in zip(vectors[:half], vectors[half:], strict=True)
        ]
    (found,) = vectors
    while size > 1:
        size //= 2
        swapped = builder.shuffle_vector(found, found, constant(I32, [lane ^ size for lane in range(lanes)]))
        found = builder.fadd(found, swapped, flags=FLAGS)
    return builder.shuffle_vector(found, found, constant(I32, range(0, lanes, lanes // n)))


@intrinsic
def sum_lanes_4(typing_context, v0, v1, v2, v3):
    """Return a vector of the four sums over lanes."""

    def build(context, builder, sig, args):
        return _totals(builder, args)

    return Vector(v0.dtype, 4)(v0, v1, v2, v3), build


@intrinsic
def sum_lanes_8(typing_context, u0, u1, u2, u3, v0, v1, v2, v3):
    """Return two vectors: the sums over lanes of the first four and of the last four vectors."""
    kind = Vector(u0.dtype, 4)

    def build(context, builder, sig, args):
        if u0.lanes < len(args):
            halves = [_totals(builder, args[:4]), _totals(builder, args[4:])]
        else:
            both = _totals(builder, args)
            halves = [builder.shuffle_vector(both, both, constant(I32, range(k, k + 4))) for k in (0, 4)]
        return context.make_tuple(builder, sig.return_type, halves)

    return types.UniTuple(kind, 2)(u0, u1, u2, u3, v0, v1, v2, v3), build


@intrinsic
def largest(typing_context, v):
    """Return the maximum over lanes; NaN may be lost."""

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
