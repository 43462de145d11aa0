"""Gather and scatter of parameters between nets and lanes, for one net or for a block of nets adjacent in memory.

The parameters of adjacent nets are a matrix with a row per net, which is transposed in registers, square by square.
Element by element it would take four to eight times as many instructions, and later loads of whole vectors would wait
for stores of single elements. `lanes` is the number of nets of a block, a simd.lanes.Lanes; p is a block's array (n,
lanes).
"""

from __future__ import annotations

from ...jit.decorators import helper, selector
from ...simd.load_store import scalar_like, transpose_square
from ..workspace import VECTOR_BYTES

# Sides of the squares: from 2, since a net has at least two parameters, to the numbers of float32 in a vector.
SIDES = tuple(side for side in (2, 4, 8, 16) if side <= VECTOR_BYTES // 4)


def _make_squares(side):
    @helper
    def squares(a, a0, n_rows, n_columns, out, out0):
        """Write out[j, i] = a[i, j], where a begins at a0 and out at out0. The last squares of a row or column overlap
        those before them.
        """
        for i in range(0, n_rows, side):
            row = min(i, n_rows - side)
            for j in range(0, n_columns, side):
                column = min(j, n_columns - side)
                transpose_square(
                    a, a0 + row * n_columns + column, n_columns, out, out0 + column * n_rows + row, n_rows, side
                )

    return squares


_squares = selector([_make_squares(side) for side in SIDES], 6)


@helper
def transpose(a, a0, n_rows, n_columns, out, out0):
    """Write out[j, i] = a[i, j] for a matrix with at least two rows and two columns.

    a0, out0 : index at which the matrix begins in `a`, and its transpose in `out`
    n_rows, n_columns : each an int or a Lanes
    """
    which = -1  # index in SIDES of the largest that fits
    for side in SIDES:
        if side <= min(int(n_rows), int(n_columns)):
            which += 1
    _squares(which, a, a0, n_rows, n_columns, out, out0)


@helper
def fill_lane(p, lane, n, x, lanes):
    """Set the n numbers of one lane to x."""
    for q in range(n):
        p[q * lanes + lane] = scalar_like(p, x)


@helper
def load_lane(params, start, n, p, lane, lanes):
    """Copy one net, the n numbers in params from index `start` on, into a lane."""
    for q in range(n):
        p[q * lanes + lane] = params[start + q]


@helper
def store_lane(p, lane, n, params, start, lanes):
    """Copy a lane to the n numbers in params from index `start` on."""
    for q in range(n):
        params[start + q] = p[q * lanes + lane]


@helper
def load_block(params, start, n, p, lanes):
    """Copy as many adjacent nets as there are lanes, of n numbers each, into all lanes."""
    transpose(params, start, lanes, n, p, 0)


@helper
def store_block(p, n, params, start, lanes):
    """Copy all lanes to adjacent nets."""
    transpose(p, 0, n, lanes, params, start)
