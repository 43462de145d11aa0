"""Skinny matrix products: with few columns, such as a net's few outputs, which would leave most of a tile empty.

A B is computed as dot products of A's rows, with lanes along k. This depends on n and k only, so a row of C has the
same bits whatever other rows there are. A' B is computed as sums of A's rows, with lanes along A's columns, and has the
same bits as with tiles.
"""

from __future__ import annotations

from ...jit.decorators import helper
from ...simd.load_store import fill, load, load_partial, load_scalar, store
from ...simd.reductions import sum_lanes_4
from ..workspace import K_BLOCK, VECTOR_BYTES

SIDE = VECTOR_BYTES // 4  # elements of a vector here
FEW = 8  # columns, at most
FOLD = 8  # cost of a row's sum over lanes, in multiply-adds; four rows are summed at once
TOGETHER = 4  # rows, or vectors of columns, at a time: their sums are independent


@helper
def are_few(trans_a, m, n, k):
    """Return whether the product with n columns is faster here than with tiles, which take a multiply-add for each row
    and each k.
    """
    if trans_a:
        return n <= FEW and n * ((m + TOGETHER * SIDE - 1) // (TOGETHER * SIDE)) * TOGETHER < m
    return n <= FEW and n * (k + FOLD * SIDE) < k * SIDE


@helper
def _put(value, adds, c, i):
    c[i] = load_scalar(c, i) + value if adds else value


@helper
def dots(m, n, k, a, a0, lda, b, b0, ldb, adds, c, c0, ldc, columns):
    """Write C = A B for k <= K_BLOCK, or add to C if `adds`.

    columns : scratch of n * K_BLOCK elements and a vector
    """
    whole = k - k % SIDE
    for j in range(n):
        for q in range(k):
            columns[j * K_BLOCK + q] = load_scalar(b, b0 + q * ldb + j)
    for i in range(0, m, TOGETHER):  # rows past the last repeat the last
        last = a0 + (m - 1) * lda
        r0 = a0 + i * lda
        r1, r2, r3 = min(r0 + lda, last), min(r0 + 2 * lda, last), min(r0 + 3 * lda, last)
        for j in range(n):
            s0 = s1 = s2 = s3 = fill(a, 0.0, SIDE)
            for q in range(0, whole, SIDE):
                v = load(columns, j * K_BLOCK + q, SIDE)
                s0 += load(a, r0 + q, SIDE) * v
                s1 += load(a, r1 + q, SIDE) * v
                s2 += load(a, r2 + q, SIDE) * v
                s3 += load(a, r3 + q, SIDE) * v
            if whole < k:
                left = k - whole
                v = load_partial(columns, j * K_BLOCK + whole, left, SIDE)
                s0 += load_partial(a, r0 + whole, left, SIDE) * v
                s1 += load_partial(a, r1 + whole, left, SIDE) * v
                s2 += load_partial(a, r2 + whole, left, SIDE) * v
                s3 += load_partial(a, r3 + whole, left, SIDE) * v
            store(columns, n * K_BLOCK, sum_lanes_4(s0, s1, s2, s3))
            for r in range(min(m - i, TOGETHER)):
                _put(load_scalar(columns, n * K_BLOCK + r), adds, c, c0 + (i + r) * ldc + j)


@helper
def sums_of_rows(m, n, k, a, a0, lda, b, b0, ldb, adds, c, c0, ldc, sums):
    """Write C = A' B for k <= K_BLOCK, or add to C if `adds`.

    sums : scratch of TOGETHER * SIDE elements
    """
    for i in range(0, m, TOGETHER * SIDE):
        columns = min(m - i, TOGETHER * SIDE)
        for j in range(n):
            s0 = s1 = s2 = s3 = fill(a, 0.0, SIDE)
            if columns == TOGETHER * SIDE:
                for p in range(k):
                    x, row = load_scalar(b, b0 + p * ldb + j), a0 + p * lda + i
                    s0 += load(a, row, SIDE) * x
                    s1 += load(a, row + SIDE, SIDE) * x
                    s2 += load(a, row + 2 * SIDE, SIDE) * x
                    s3 += load(a, row + 3 * SIDE, SIDE) * x
            else:
                for p in range(k):
                    x, row = load_scalar(b, b0 + p * ldb + j), a0 + p * lda + i
                    s0 += load_partial(a, row, columns, SIDE) * x
                    s1 += load_partial(a, row + SIDE, columns - SIDE, SIDE) * x
                    s2 += load_partial(a, row + 2 * SIDE, columns - 2 * SIDE, SIDE) * x
                    s3 += load_partial(a, row + 3 * SIDE, columns - 3 * SIDE, SIDE) * x
            store(sums, 0, s0)
            store(sums, SIDE, s1)
            store(sums, 2 * SIDE, s2)
            store(sums, 3 * SIDE, s3)
            for q in range(columns):
                _put(load_scalar(sums, q), adds, c, c0 + (i + q) * ldc + j)
