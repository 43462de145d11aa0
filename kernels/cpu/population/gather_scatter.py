"""Gather and scatter of parameters between nets and lanes, for one net or for a block of nets adjacent in memory.

The parameters of adjacent nets are a matrix with a row per net, which is transposed in registers, square by square.
Element by element it would take four to eight times as many instructions, each a store that later loads wait for.
`lanes` is the number of nets of a block, a simd.lanes.Lanes; a block's array p is (n, lanes).
"""

from __future__ import annotations

from ...jit.decorators import helper, selector
from ...simd.load_store import scalar_like, transpose_square
from ..workspace import VECTOR_BYTES

# Sides of the squares; every net has at least two parameters.
SIDES = tuple(side for side in (2, 4, 8, 16) if side <= VECTOR_BYTES // 4)


def _make_squares(side):
    @helper
    def squares(a, a0, n_rows, n_columns, out, out0):
        """Write out[j, i] = a[i, j]; the last squares of a row or column overlap the squares before them."""
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

    n_rows, n_columns : numbers, or a Lanes each
    """
    which = -1
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
