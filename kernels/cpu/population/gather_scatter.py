"""Numbers of nets into their lanes and back: of one net, or of a whole block of nets that follow each other in memory.

A block's are a matrix, a row per net, that is turned in registers, square by square: element by element it would take
four to eight times as many instructions, each a store that the loads after it wait for.
"""

from __future__ import annotations

from ...jit.decorators import helper, selector
from ...simd.load_store import broadcast, transpose_square
from ..workspace import VECTOR_BYTES

SIDES = tuple(side for side in (2, 4, 8, 16) if side <= VECTOR_BYTES // 4)  # of squares; every net has two parameters


def _make_squares(side):
    @helper
    def squares(a, a0, n_rows, n_columns, out, out0):
        """out[j, i] = a[i, j]; the last squares of a row and column overlap those before."""
        for i in range(0, n_rows, side):
            row = min(i, n_rows - side)
            for j in range(0, n_columns, side):
                column = min(j, n_columns - side)
                transpose_square(
                    a, a0 + row * n_columns + column, n_columns, out, out0 + column * n_rows + row, n_rows, side
                )  # fmt: skip

    return squares


_squares = selector([_make_squares(side) for side in SIDES], 6)


@helper
def transpose(a, a0, n_rows, n_columns, out, out0):
    """out[j, i] = a[i, j] for a matrix with at least two rows and two columns."""
    which = -1
    for side in SIDES:
        if side <= min(n_rows, n_columns):
            which += 1
    _squares(which, a, a0, n_rows, n_columns, out, out0)


def make_copies(lanes):
    """(fill_lane, enter_lane, leave_lane, enter_block, leave_block) for blocks p (n, lanes) of this many lanes; a net's
    n numbers are in params from index `start` on.
    """

    @helper
    def fill_lane(p, lane, n, x):
        for q in range(n):
            p[q * lanes + lane] = broadcast(p, x)

    @helper
    def enter_lane(params, start, n, p, lane):
        for q in range(n):
            p[q * lanes + lane] = params[start + q]

    @helper
    def leave_lane(p, lane, n, params, start):
        for q in range(n):
            params[start + q] = p[q * lanes + lane]

    @helper
    def enter_block(params, start, n, p):
        transpose(params, start, lanes, n, p, 0)

    @helper
    def leave_block(p, n, params, start):
        transpose(p, 0, n, lanes, params, start)

    return fill_lane, enter_lane, leave_lane, enter_block, leave_block
