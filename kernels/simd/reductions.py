"""Horizontal reductions: from the lanes of a vector to one number, or to one number for each of several vectors.

sum_lanes(v)  sum_lanes_4(v0, v1, v2, v3)  sum_lanes_8(u0, u1, u2, u3, v0, v1, v2, v3)  largest(v)  any_of(mask)
"""

from __future__ import annotations

from llvmlite import ir
from numba import types

from ..jit.intrinsics import emits
from .vector import FLAGS, I32, Vector, constant


def _fold(builder, v, combine):
    """Halve a vector until one element is left, which is returned."""
    lanes = v.type.count
    while lanes > 1:
        lanes //= 2
        low = builder.shuffle_vector(v, v, constant(I32, range(lanes)))
        high = builder.shuffle_vector(v, v, constant(I32, range(lanes, 2 * lanes)))
        v = combine(low, high)
    return builder.extract_element(v, ir.Constant(I32, 0))


@emits(lambda v: v.dtype)
def sum_lanes(emit, v):
    """Return the sum over lanes, added up by halves."""
    return _fold(emit.builder, v, lambda a, b: emit.builder.fadd(a, b, flags=FLAGS))


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
    (sums,) = vectors
    while size > 1:
        size //= 2
        swapped = builder.shuffle_vector(sums, sums, constant(I32, [lane ^ size for lane in range(lanes)]))
        sums = builder.fadd(sums, swapped, flags=FLAGS)
    return builder.shuffle_vector(sums, sums, constant(I32, range(0, lanes, lanes // n)))


@emits(lambda *kinds: Vector(kinds[0].dtype, 4))
def sum_lanes_4(emit, v0, v1, v2, v3):
    """Return a vector of the four sums over lanes."""
    return _totals(emit.builder, (v0, v1, v2, v3))


@emits(lambda *kinds: types.UniTuple(Vector(kinds[0].dtype, 4), 2))
def sum_lanes_8(emit, u0, u1, u2, u3, v0, v1, v2, v3):
    """Return two vectors: the sums over lanes of the first four and of the last four vectors."""
    builder, first, last = emit.builder, (u0, u1, u2, u3), (v0, v1, v2, v3)
    if u0.type.count < 8:
        halves = [_totals(builder, first), _totals(builder, last)]
    else:
        both = _totals(builder, first + last)
        halves = [builder.shuffle_vector(both, both, constant(I32, range(k, k + 4))) for k in (0, 4)]
    return emit.context.make_tuple(builder, emit.result, halves)


@emits(lambda v: v.dtype)
def largest(emit, v):
    """Return the maximum over lanes; NaN may be lost."""
    b = emit.builder
    return _fold(b, v, lambda x, y: b.select(b.fcmp_ordered(">", x, y), x, y))


@emits(lambda mask: types.boolean)
def any_of(emit, mask):
    """Whether any lane is true."""
    bits = emit.builder.bitcast(mask, ir.IntType(mask.type.count))
    return emit.builder.icmp_unsigned("!=", bits, ir.Constant(bits.type, 0))
