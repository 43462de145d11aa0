"""Matrix product (GEMM) on parts of flat arrays, single-threaded and blocked for the caches.

    make_product(after)   C = A B, or C = A' B with trans_a, for a B whose rows are contiguous, and a pass over C's rows
    plain_product         the product without a pass

A micro-kernel (microkernel.py) computes C tile by tile, for one block of at most K_BLOCK columns of A after another. A
block of B (K_BLOCK x n) stays in the second-level cache, and the panel that a tile reads stays in the first. B is
packed into panels as wide as a tile where its rows lie so far apart that the cache could not hold them, and A' is
packed into panels of ROWS columns (Goto and van de Geijn 2008).

B in panels: block after block of at most K_BLOCK rows, each contiguous, since it has to stay in cache. Panel j of a
block has the columns from j * width to (j + 1) * width, row after row; the last panel is padded with zeros.
"""

from __future__ import annotations

from ...jit.decorators import helper
from ...simd.load_store import fill, load, load_partial, load_scalar, offset, store, store_partial
from ..workspace import K_BLOCK, PACK_FROM, PACK_ROWS, ROWS, VECTOR_BYTES
from .microkernel import lanes_of, make_tile
from .skinny_gemm import are_few, dots, sums_of_rows

SIDE = VECTOR_BYTES // 4  # side of the squares that are transposed in registers; divides a panel's width
PIECE = ROWS if ROWS in (4, 8) else 2  # elements copied together; divides ROWS
_tile_full = make_tile(2, False)
_tile_wide, _tile_narrow = make_tile(2, True), make_tile(1, True)
ROW_VECTORS = VECTOR_BYTES // 4  # accumulators of a product whose A is one row: half the registers
_tile_row = make_tile(ROW_VECTORS, False, whole_rows=True, most_rows=1)
_tile_one = make_tile(2, False, whole_rows=True, most_rows=1)


@helper
def up_to(n, unit):
    return (n + unit - 1) // unit * unit


@helper
def blocks_of(k):
    return (k + K_BLOCK - 1) // K_BLOCK


@helper
def block_start(block, n_blocks, k):
    """Return the first of k columns in a block, rounded up to a multiple of SIDE, so that a block is whole squares."""
    return min(k, up_to(k * block // n_blocks, SIDE))


def make_copy_panels(put):
    """Return copy_panels(b, b0, ldb, k, n, width, out, out0, panel).

    put : helper that stores a vector, `store` or `store_past_caches`
    """

    @helper
    def copy_panels(b, b0, ldb, k, n, width, out, out0, panel):
        """Copy B (k, n) into panels of `width` columns, each (k, width) and contiguous, the last padded with zeros.

        panel : elements from the start of one panel to the start of the next
        """
        for j in range(0, n, width):
            columns, o = min(width, n - j), out0 + j // width * panel
            for p in range(k):
                row = b0 + p * ldb + j
                if columns == width:
                    for q in range(0, width, SIDE):
                        put(out, o + q, load(b, row + q, SIDE))
                else:
                    for q in range(0, width, SIDE):
                        put(out, o + q, load_partial(b, row + q, columns - q, SIDE))
                o += width

    return copy_panels


copy_panels = make_copy_panels(store)


@helper
def panel_sums(b, b0, k, n, first, last, adds, sums, sums0):
    """Write sums[j] = sum over the rows of a B (k, n) that is in panels, for columns first <= j < last.

    Rows are added from the first to the last.

    first, last : `first` is a multiple of SIDE, and so is `last` unless it is n
    adds : whether to add to what `sums` holds
    """
    width, n_blocks = 2 * lanes_of(b), blocks_of(k)
    for j in range(first, last, SIDE):
        column, columns = fill(b, 0.0, SIDE), min(last - j, SIDE)
        for block in range(n_blocks):
            p, end = block_start(block, n_blocks, k), block_start(block + 1, n_blocks, k)
            o = b0 + p * up_to(n, width) + j // width * width * (end - p) + j % width
            for i in range(o, o + (end - p) * width, width):
                column += load(b, i, SIDE)
        if adds:
            column = load_partial(sums, sums0 + j, columns, SIDE) + column
        store_partial(sums, sums0 + j, columns, column)


@helper
def copy_two_tiles(a, start, lda, k, out, o, o2):
    """Copy 2 * ROWS columns of A' into two contiguous panels (k, ROWS); a cache line of A' serves both."""
    for p in range(k):
        for q in range(0, ROWS, PIECE):
            store(out, o + p * ROWS + q, load(a, start + p * lda + q, PIECE))
            store(out, o2 + p * ROWS + q, load(a, start + p * lda + ROWS + q, PIECE))


@helper
def copy_tile(a, start, lda, k, rows, out, o):
    """Copy `rows` columns of A', at most ROWS, into a contiguous panel (k, ROWS)."""
    if rows == ROWS:
        for p in range(k):
            for q in range(0, ROWS, PIECE):
                store(out, o + p * ROWS + q, load(a, start + p * lda + q, PIECE))
    else:
        for p in range(k):
            for q in range(rows):
                out[o + p * ROWS + q] = load_scalar(a, start + p * lda + q)


@helper
def nothing_after(i, rows, extra):
    pass


@helper
def _nothing_ahead(left, i, tile, depth, extra):
    return left, 0


def make_stripe(ahead):
    tile_whole = make_tile(2, False, whole_rows=True, fetches=ahead is not None)
    coming = ahead or _nothing_ahead

    @helper
    def stripe(rows, n, k, add, a, a0, a_row, a_k, b, b0, panel, b_k, c, c0, ldc, i, is_last, left, left_k, extra):
        """Compute `rows` rows of C = A B for one block of k, tile after tile.

        add : whether to add to what C holds
        panel : elements from the tile's columns of B to those of the next tile
        left, left_k : lines that the first tile prefetches, see microkernel.make_tile; none if left_k is 0. In the last
            block the other tiles prefetch what `ahead` says
        """
        width, done = 2 * lanes_of(a), 0
        if rows == 1 and panel == width:  # an ordinary tile would compute one row ROWS times
            wide = ROW_VECTORS * lanes_of(a)
            while n - done >= wide:
                _tile_row(1, wide, add, a, a0, a_row, a_k, b, b0 + done, b_k, c, c0 + done, ldc, k, left, 0)
                done += wide
            b0 += done
        for j in range(done, n, width):
            columns, o = min(width, n - j), c0 + j
            if columns == width and rows == 1:
                _tile_one(1, columns, add, a, a0, a_row, a_k, b, b0, b_k, c, o, ldc, k, left, 0)
            elif columns == width and rows == ROWS:
                line, line_k = left, left_k
                if j > 0 or left_k == 0:
                    line, line_k = coming(left, i, j // width, k, extra) if is_last else (left, 0)
                tile_whole(rows, columns, add, a, a0, a_row, a_k, b, b0, b_k, c, o, ldc, k, line, line_k)
            elif columns == width:
                _tile_full(rows, columns, add, a, a0, a_row, a_k, b, b0, b_k, c, o, ldc, k, left, 0)
            elif 2 * columns > width:
                _tile_wide(rows, columns, add, a, a0, a_row, a_k, b, b0, b_k, c, o, ldc, k, left, 0)
            else:
                _tile_narrow(rows, columns, add, a, a0, a_row, a_k, b, b0, b_k, c, o, ldc, k, left, 0)
            b0 += panel

    return stripe


def make_product(after, ahead=None, few=None):
    """Return a matrix product that calls after(i, rows, extra) as soon as rows i .. i + rows of C are complete, while
    they are in the first-level cache.

    ahead : None, or ahead(nothing, i, tile, depth, extra) -> (pointer, step): address and stride of `depth` cache lines
        that will soon be needed, for a tile of rows i .. i + ROWS of C to prefetch, or (nothing, 0). With `ahead` they
        also prefetch the next columns of A'
    few : None, or the product for few columns: skinny_gemm.dots for A B, skinny_gemm.sums_of_rows for A' B. Each of
        them takes seconds to compile
    """
    stripe = make_stripe(ahead)
    fetches = ahead is not None
    turned, has_few = few is sums_of_rows, few is not None
    by_few = few or dots

    @helper
    def product(trans_a, m, n, k, a, a0, lda, b, b0, ldb, adds, c, c0, ldc, scratch, extra):
        """Write C (m, n) = op(A) (m, k) @ B (k, n), row-major from the offsets *0 with row lengths ld*.

        ldb : row length of B, or 0 for a B that is in panels
        adds : whether to add to what C holds
        scratch : of workspace.scratch_size elements
        extra : passed on to `after` and `ahead`
        """
        width = 2 * lanes_of(a)
        panels = m >= PACK_ROWS and ldb >= PACK_FROM
        tiles_start = K_BLOCK * (n + width)  # where two panels of A' are in scratch
        takes_few = has_few and trans_a == turned and ldb > 0 and are_few(trans_a, m, n, k)
        n_tiled = 0 if takes_few else n  # both cases use the loop below: `after` is too large to be compiled in twice
        tiles = trans_a and lda >= PACK_FROM and not takes_few
        n_blocks = blocks_of(k)
        for block in range(n_blocks):
            p = block_start(block, n_blocks, k)
            depth = block_start(block + 1, n_blocks, k) - p
            if takes_few:
                left0, right0 = a0 + p * (lda if turned else 1), b0 + p * ldb
                by_few(m, n, depth, a, left0, lda, b, right0, ldb, adds or block > 0, c, c0, ldc, scratch)
            right, right0, panel, b_k = b, b0 + p * ldb, width, ldb
            if ldb == 0:
                right0, panel, b_k = b0 + p * up_to(n, width), width * depth, width
            elif panels:
                right, panel, b_k = scratch, width * depth, width
                copy_panels(b, right0, ldb, depth, n, width, right, 0, panel)
                right0 = 0
            for i in range(0, m, ROWS):
                rows = min(ROWS, m - i)
                left, left0, a_row, a_k = a, a0 + i * lda + p, lda, 1
                if trans_a:
                    left0, a_row, a_k = a0 + p * lda + i, 1, lda
                coming, coming_k = offset(left, left0 + 2 * ROWS), 0
                if tiles:
                    second = i // ROWS % 2
                    coming_k = lda if fetches and second == 0 and m - i >= 2 * ROWS else 0
                    if second == 0 and m - i >= 2 * ROWS:
                        copy_two_tiles(a, left0, lda, depth, scratch, tiles_start, tiles_start + K_BLOCK * ROWS)
                    elif second == 0 or rows < ROWS:
                        copy_tile(a, left0, lda, depth, rows, scratch, tiles_start + second * K_BLOCK * ROWS)
                    left, left0, a_k = scratch, tiles_start + second * K_BLOCK * ROWS, ROWS
                stripe(
                    rows,
                    n_tiled,
                    depth,
                    adds or block > 0,
                    left,
                    left0,
                    a_row,
                    a_k,
                    right,
                    right0,
                    panel,
                    b_k,
                    c,
                    c0 + i * ldc,
                    ldc,
                    i,
                    block == n_blocks - 1,
                    coming,
                    coming_k,
                    extra,
                )
                if block == n_blocks - 1:
                    after(i, rows, extra)

    return product


plain_product = make_product(nothing_after)
