"""Skinny matrix products: with few columns, such as a net's few outputs, which would leave most of a tile empty.

A B is computed as dot products of A's rows, with lanes along k. This depends on n and k only, so a row of C has the
same bits whatever other rows there are. A' B is computed as sums of A's rows, with lanes along A's columns, and has the
same bits as with tiles.
"""

from __future__ import annotations

from typing import NamedTuple

from ...jit.decorators import Helper, helper
from ...simd.load_store import fill, load, load_partial, load_scalar, store
from ...simd.reductions import sum_lanes_4
from ..workspace import K_BLOCK, VECTOR_BYTES

SIDE = VECTOR_BYTES // 4  # elements of a vector here
MOST_COLUMNS = 8  # columns, at most
REDUCTION_COST = 8  # cost of a row's sum over lanes, in multiply-adds; four rows are summed at once
INTERLEAVED = 4  # rows, or vectors of columns, at a time: their sums are independent


@helper
def suits_dots(trans_a, m, n, k):
    """Return whether A B with n columns is faster by `dots` than with tiles, which take a multiply-add for each row and
    each k.
    """
    return not trans_a and n <= MOST_COLUMNS and n * (k + REDUCTION_COST * SIDE) < k * SIDE


@helper
def suits_sums_of_rows(trans_a, m, n, k):
    """Return whether A' B with n columns is faster by `sums_of_rows` than with tiles."""
    return (
        trans_a and n <= MOST_COLUMNS and n * ((m + INTERLEAVED * SIDE - 1) // (INTERLEAVED * SIDE)) * INTERLEAVED < m
    )


@helper
def _put(value, adds, c, i):
    c[i] = load_scalar(c, i) + value if adds else value


@helper
def dots(m, n, k, a, b, adds, c, columns):
    """Write C = A B for k <= K_BLOCK, or add to C if `adds`.

    a, b, c : Matrix
    columns : scratch of n * K_BLOCK elements and a vector
    """
    whole = k - k % SIDE
    for j in range(n):
        for q in range(k):
            columns[j * K_BLOCK + q] = load_scalar(b.data, b.start + q * b.stride + j)
    for i in range(0, m, INTERLEAVED):  # rows past the last repeat the last
        last = a.start + (m - 1) * a.stride
        r0 = a.start + i * a.stride
        r1, r2, r3 = min(r0 + a.stride, last), min(r0 + 2 * a.stride, last), min(r0 + 3 * a.stride, last)
        for j in range(n):
            s0 = s1 = s2 = s3 = fill(a.data, 0.0, SIDE)
            for q in range(0, whole, SIDE):
                v = load(columns, j * K_BLOCK + q, SIDE)
                s0 += load(a.data, r0 + q, SIDE) * v
                s1 += load(a.data, r1 + q, SIDE) * v
                s2 += load(a.data, r2 + q, SIDE) * v
                s3 += load(a.data, r3 + q, SIDE) * v
            if whole < k:
                n_left = k - whole
                v = load_partial(columns, j * K_BLOCK + whole, n_left, SIDE)
                s0 += load_partial(a.data, r0 + whole, n_left, SIDE) * v
                s1 += load_partial(a.data, r1 + whole, n_left, SIDE) * v
                s2 += load_partial(a.data, r2 + whole, n_left, SIDE) * v
                s3 += load_partial(a.data, r3 + whole, n_left, SIDE) * v
            store(columns, n * K_BLOCK, sum_lanes_4(s0, s1, s2, s3))
            for r in range(min(m - i, INTERLEAVED)):
                _put(load_scalar(columns, n * K_BLOCK + r), adds, c.data, c.start + (i + r) * c.stride + j)


@helper
def sums_of_rows(m, n, k, a, b, adds, c, sums):
    """Write C = A' B for k <= K_BLOCK, or add to C if `adds`.

    a, b, c : Matrix
    sums : scratch of INTERLEAVED * SIDE elements
    """
    for i in range(0, m, INTERLEAVED * SIDE):
        columns = min(m - i, INTERLEAVED * SIDE)
        for j in range(n):
            s0 = s1 = s2 = s3 = fill(a.data, 0.0, SIDE)
            if columns == INTERLEAVED * SIDE:
                for p in range(k):
                    x, row = load_scalar(b.data, b.start + p * b.stride + j), a.start + p * a.stride + i
                    s0 += load(a.data, row, SIDE) * x
                    s1 += load(a.data, row + SIDE, SIDE) * x
                    s2 += load(a.data, row + 2 * SIDE, SIDE) * x
                    s3 += load(a.data, row + 3 * SIDE, SIDE) * x
            else:
                for p in range(k):
                    x, row = load_scalar(b.data, b.start + p * b.stride + j), a.start + p * a.stride + i
                    s0 += load_partial(a.data, row, columns, SIDE) * x
                    s1 += load_partial(a.data, row + SIDE, columns - SIDE, SIDE) * x
                    s2 += load_partial(a.data, row + 2 * SIDE, columns - 2 * SIDE, SIDE) * x
                    s3 += load_partial(a.data, row + 3 * SIDE, columns - 3 * SIDE, SIDE) * x
            store(sums, 0, s0)
            store(sums, SIDE, s1)
            store(sums, 2 * SIDE, s2)
            store(sums, 3 * SIDE, s3)
            for q in range(columns):
                _put(load_scalar(sums, q), adds, c.data, c.start + (i + q) * c.stride + j)


@helper
def _never(trans_a, m, n, k):
    return False


@helper
def _nothing(m, n, k, a, b, adds, c, scratch):
    pass


class Skinny(NamedTuple):
    """Product for few columns, and when it is faster than tiles."""

    is_skinny: Helper
    skinny: Helper


NO_SKINNY, DOTS = Skinny(_never, _nothing), Skinny(suits_dots, dots)
SUMS_OF_ROWS = Skinny(suits_sums_of_rows, sums_of_rows)
