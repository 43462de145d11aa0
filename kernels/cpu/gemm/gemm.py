"""Matrix products on parts of flat arrays, single-threaded, in blocks of tiles.

    make_product(after)   C = A B, or C = A' B with trans_a, for a B whose rows are contiguous, and a pass over C's rows
    plain_product         the same without the pass

C is walked in blocks of K columns of A; a block of B (K x n) stays in the second-level cache, a tile's part of it in
the first. B is copied into panels of a tile's width first where its rows lie so far apart that the cache could not hold
them, and so is A' in tiles (Goto and van de Geijn 2008).

B in panels: block after block of K rows at the most, contiguous as it has to stay in cache. Panel j of a block has
columns j * width to (j + 1) * width, row after row, the last one's filled up with zeros.
"""

from __future__ import annotations

from ...jit.decorators import helper
from ...simd.load_store import fill, load, load_partial, load_scalar, offset, store, store_partial
from ..workspace import K_BLOCK, PACK_FROM, PACK_ROWS, ROWS, VECTOR_BYTES
from .microkernel import lanes_of, make_tile
from .skinny_gemm import are_few, dots, sums_of_rows

SIDE = VECTOR_BYTES // 4  # of the squares that are transposed in registers; divides a panel's width
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
    """The first of k columns that a block has: whole squares, so that a block is copied in them."""
    return min(k, up_to(k * block // n_blocks, SIDE))


def make_copy_panels(put):
    """put : store, or store_past_caches"""

    @helper
    def copy_panels(b, b0, ldb, k, n, width, out, out0, panel):
        """B (k, n) in panels of `width` columns, each (k, width) and contiguous, the last one filled up with zeros;
        they start `panel` elements after one another.
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
    """sums[j] (+)= sum over B's rows, from the first to the last, for columns first <= j < last of a B (k, n) that is
    in panels; `first` and inner ends are multiples of SIDE.
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
    """2 ROWS columns of A' as two times (k, ROWS), contiguous: both from one cache line."""
    for p in range(k):
        for q in range(0, ROWS, PIECE):
            store(out, o + p * ROWS + q, load(a, start + p * lda + q, PIECE))
            store(out, o2 + p * ROWS + q, load(a, start + p * lda + ROWS + q, PIECE))


@helper
def copy_tile(a, start, lda, k, rows, out, o):
    """ROWS columns of A' as (k, ROWS), contiguous."""
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
        """`rows` rows of C (+)= A B; columns of B in panels a tile wide that start `panel` elements after one another.

        left, left_k : what the first tile fetches ahead, as microkernel.py says, or nothing where left_k is 0. In the
            last block other tiles fetch what `ahead` says
        """
        width, done = 2 * lanes_of(a), 0
        if rows == 1 and panel == width:  # a tile would compute the same row again and again
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
    """A product that calls after(i, rows, extra) as soon as rows i .. i + rows of C are complete, while they are in
    the first-level cache.

    ahead : None, or ahead(nothing, i, tile, depth, extra) -> (pointer, step): where a tile of rows i .. i + ROWS of C
        finds `depth` lines that will soon be needed, or (nothing, 0). Its tiles fetch the next columns of A' ahead too
    few : None, or what multiplies by few columns: dots for A B, sums_of_rows for A' B. Each takes seconds to compile
    """
    stripe = make_stripe(ahead)
    fetches = ahead is not None
    turned, has_few = few is sums_of_rows, few is not None
    by_few = few or dots

    @helper
    def product(trans_a, m, n, k, a, a0, lda, b, b0, ldb, adds, c, c0, ldc, scratch, extra):
        """C (m, n) = op(A) (m, k) @ B (k, n), row-major from *0 with row lengths ld*; scratch as scratch_size says.

        ldb : 0 for a B that is in panels. adds : whether it is added to what C holds
        """
        width = 2 * lanes_of(a)
        panels = m >= PACK_ROWS and ldb >= PACK_FROM
        tiles_start = K_BLOCK * (n + width)  # of two tiles of A'
        takes_few = has_few and trans_a == turned and ldb > 0 and are_few(trans_a, m, n, k)
        n_tiled = 0 if takes_few else n  # the loop over tiles is `after`'s too, which is too large to be there twice
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
