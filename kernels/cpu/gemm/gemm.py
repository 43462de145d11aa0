"""Matrix product (GEMM) on parts of flat arrays, single-threaded and blocked for the caches.

    product(kind, ...)      C = A B, or C = A' B, for a B whose rows are contiguous
    product_kind(...)       the helpers that a product calls, such as the product for few columns

A micro-kernel (microkernel.py) computes C tile by tile, for one block of at most K_BLOCK columns of A after another. A
block of B (K_BLOCK x n) stays in the second-level cache, and the panel that a tile reads stays in the first. B is
packed into panels as wide as a tile where its rows lie so far apart that the cache could not hold them, and A' is
packed into panels of TILE_ROWS columns (Goto and van de Geijn 2008).

B in panels: block after block of at most K_BLOCK rows, each contiguous, since it has to stay in cache. Panel j of a
block has the columns from j * width to (j + 1) * width, row after row; the last panel is padded with zeros.
"""

from __future__ import annotations

from typing import NamedTuple

from ...jit.decorators import Helper, helper, inline_helper
from ...simd.load_store import fill, load, load_partial, load_scalar, offset, store, store_partial
from ..workspace import K_BLOCK, PACK_FROM, PACK_ROWS, TILE_ROWS, VECTOR_BYTES
from ..workspace import round_up as _round_up
from .microkernel import Matrix, Panels, Prefetch, Strided, TileShape, lanes_of, tile
from .skinny_gemm import NO_SKINNY, Skinny

SIDE = VECTOR_BYTES // 4  # side of the squares that are transposed in registers; divides a panel's width
COPY_WIDTH = TILE_ROWS if TILE_ROWS in (4, 8) else 2  # elements copied together; divides TILE_ROWS
ROW_VECTORS = VECTOR_BYTES // 4  # accumulators of a product whose A is one row: half the registers
WHOLE, FETCHING = TileShape(2, has_whole_rows=True), TileShape(2, has_whole_rows=True, prefetches=True)
FEWER_ROWS = TileShape(2)
FEWER_COLUMNS, ONE_VECTOR = TileShape(2, has_partial_vector=True), TileShape(1, has_partial_vector=True)
ROW, ONE_ROW = TileShape(ROW_VECTORS, 1, has_whole_rows=True), TileShape(2, 1, has_whole_rows=True)


round_up = helper(_round_up)


@helper
def blocks_of(k):
    return (k + K_BLOCK - 1) // K_BLOCK


@helper
def block_start(block, n_blocks, k):
    """Return the first of k columns in a block, rounded up to a multiple of SIDE, so that a block is whole squares."""
    return min(k, round_up(k * block // n_blocks, SIDE))


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
            o = b0 + p * round_up(n, width) + j // width * width * (end - p) + j % width
            for i in range(o, o + (end - p) * width, width):
                column += load(b, i, SIDE)
        if adds:
            column = load_partial(sums, sums0 + j, columns, SIDE) + column
        store_partial(sums, sums0 + j, columns, column)


@helper
def copy_two_tiles(a, start, lda, k, out, o, o2):
    """Copy 2 * TILE_ROWS columns of A' into two contiguous panels (k, TILE_ROWS); a cache line of A' serves both."""
    for p in range(k):
        for q in range(0, TILE_ROWS, COPY_WIDTH):
            store(out, o + p * TILE_ROWS + q, load(a, start + p * lda + q, COPY_WIDTH))
            store(out, o2 + p * TILE_ROWS + q, load(a, start + p * lda + TILE_ROWS + q, COPY_WIDTH))


@helper
def copy_tile(a, start, lda, k, rows, out, o):
    """Copy `rows` columns of A', at most TILE_ROWS, into a contiguous panel (k, TILE_ROWS)."""
    if rows == TILE_ROWS:
        for p in range(k):
            for q in range(0, TILE_ROWS, COPY_WIDTH):
                store(out, o + p * TILE_ROWS + q, load(a, start + p * lda + q, COPY_WIDTH))
    else:
        for p in range(k):
            for q in range(rows):
                out[o + p * TILE_ROWS + q] = load_scalar(a, start + p * lda + q)


@helper
def nothing_ahead(nowhere, i, tile, depth, extra):
    return nowhere


class ProductKind(NamedTuple):
    """Helpers that a product calls, and the shape of its whole tiles: known when a kernel is compiled."""

    ahead: Helper  # ahead(nowhere, i, tile, depth, extra) -> Prefetch
    whole_tile: TileShape
    is_skinny: Helper  # is_skinny(trans_a, m, n, k): whether `skinny` computes the product
    skinny: Helper  # the product for few columns


def product_kind(ahead: Helper | None = None, skinny: Skinny = NO_SKINNY) -> ProductKind:
    """Return the kind of a product.

    ahead : says which `depth` cache lines a tile of rows i .. i + TILE_ROWS of C prefetches, since they will soon be
        needed; `nowhere` for none. Tiles then prefetch the next columns of A' too
    skinny : product for few columns; each of skinny_gemm's takes seconds to compile
    """
    return ProductKind(ahead or nothing_ahead, FETCHING if ahead else WHOLE, *skinny)


@helper
def row_of_tiles(kind, rows, n, k, add, a, b, c, i, is_last, prefetch, extra):
    """Compute `rows` rows of C = A B for one block of k, tile after tile.

    kind : ProductKind
    add : whether to add to what C holds
    a, b, c : Strided, Panels and Matrix
    i : number of the first row in the whole product
    is_last : whether it is the last block of k
    prefetch : Prefetch of the first tile, none if its step is 0; in the last block, other tiles prefetch by kind.ahead
    """
    width, done = 2 * lanes_of(a.data), 0
    nowhere, b_start = Prefetch(prefetch.address, 0), b.start
    if rows == 1 and b.panel_stride == width:  # an ordinary tile would compute one row TILE_ROWS times
        wide = ROW_VECTORS * lanes_of(a.data)
        while n - done >= wide:
            right, here = Matrix(b.data, b_start + done, b.stride), Matrix(c.data, c.start + done, c.stride)
            tile(ROW, 1, wide, k, add, a, right, here, nowhere)
            done += wide
        b_start += done
    for j in range(done, n, width):
        columns = min(width, n - j)
        right, here = Matrix(b.data, b_start, b.stride), Matrix(c.data, c.start + j, c.stride)
        if columns == width and rows == 1:
            tile(ONE_ROW, 1, columns, k, add, a, right, here, nowhere)
        elif columns == width and rows == TILE_ROWS:
            lines = prefetch
            if j > 0 or prefetch.step == 0:
                lines = kind.ahead(nowhere, i, j // width, k, extra) if is_last else nowhere
            tile(kind.whole_tile, rows, columns, k, add, a, right, here, lines)
        elif columns == width:
            tile(FEWER_ROWS, rows, columns, k, add, a, right, here, nowhere)
        elif 2 * columns > width:
            tile(FEWER_COLUMNS, rows, columns, k, add, a, right, here, nowhere)
        else:
            tile(ONE_VECTOR, rows, columns, k, add, a, right, here, nowhere)
        b_start += b.panel_stride


@inline_helper
def block_of_b(m, n, k, p, depth, b, scratch):
    """Return rows p .. p + depth of B (k, n) as Panels, packed into `scratch` where its rows lie far apart.

    A stride of 0 says that B is in panels already. workspace.packs_weights, which decides what is copied to panels once
    for several products, must pack where this function does.

    m : number of rows of the product
    """
    width, start = 2 * lanes_of(b.data), b.start + p * b.stride
    if b.stride == 0:
        return Panels(b.data, b.start + p * round_up(n, width), width, width * depth)
    if m >= PACK_ROWS and b.stride >= PACK_FROM:
        copy_panels(b.data, start, b.stride, depth, n, width, scratch, 0, width * depth)
        return Panels(scratch, 0, width, width * depth)
    return Panels(b.data, start, b.stride, width)


@helper
def product(kind, trans_a, m, n, k, a, b, adds, c, scratch, extra):
    """Write C (m, n) = op(A) (m, k) @ B (k, n), row-major.

    kind : ProductKind
    trans_a : whether op(A) is A'
    a, b, c : Matrix; B may be in panels
    adds : whether to add to what C holds
    scratch : array of workspace.scratch_size elements
    extra : passed on to kind.ahead
    """
    is_skinny = b.stride > 0 and kind.is_skinny(trans_a, m, n, k)
    packs_a = trans_a and a.stride >= PACK_FROM
    a_panels = K_BLOCK * (n + 2 * lanes_of(a.data))  # where two panels of A' are in scratch
    n_blocks = blocks_of(k)
    for block in range(n_blocks):
        p = block_start(block, n_blocks, k)
        depth = block_start(block + 1, n_blocks, k) - p
        add = adds or block > 0
        if is_skinny:
            left = Matrix(a.data, a.start + p * (a.stride if trans_a else 1), a.stride)
            kind.skinny(m, n, depth, left, Matrix(b.data, b.start + p * b.stride, b.stride), add, c, scratch)
            continue
        right = block_of_b(m, n, k, p, depth, b, scratch)
        for i in range(0, m, TILE_ROWS):
            rows = min(TILE_ROWS, m - i)
            rows_of_a = Strided(a.data, a.start + i * a.stride + p, a.stride, 1)
            if trans_a:
                rows_of_a = Strided(a.data, a.start + p * a.stride + i, 1, a.stride)
            prefetch = Prefetch(offset(a.data, rows_of_a.start + 2 * TILE_ROWS), 0)
            if packs_a:
                second, start = i // TILE_ROWS % 2, rows_of_a.start
                is_pair = second == 0 and m - i >= 2 * TILE_ROWS
                panel = a_panels + second * K_BLOCK * TILE_ROWS
                if is_pair:
                    prefetch = Prefetch(prefetch.address, a.stride)
                    copy_two_tiles(a.data, start, a.stride, depth, scratch, a_panels, a_panels + K_BLOCK * TILE_ROWS)
                elif second == 0 or rows < TILE_ROWS:
                    copy_tile(a.data, start, a.stride, depth, rows, scratch, panel)
                rows_of_a = Strided(scratch, panel, 1, TILE_ROWS)
            is_last = block == n_blocks - 1
            rows_of_c = Matrix(c.data, c.start + i * c.stride, c.stride)
            row_of_tiles(kind, rows, n, depth, add, rows_of_a, right, rows_of_c, i, is_last, prefetch, extra)
