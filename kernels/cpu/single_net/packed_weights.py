"""Packed copies of a net's weights for the matrix products of a step: W in panels, and its transpose for backward.

The thread that updates weights also updates their copies, while they are in cache. All threads read the same copies,
except two threads that share no cache: each of these has its own copies, and the other thread writes its updates to
them past the caches, by non-temporal stores (gradient_exchange.py). Lines that are written so are read from memory, but
need not be taken back from the other thread's cache before the next write, which is most of what a step would cost such
threads. Copies that no cache could hold until they are read are always written past the caches.
"""

from __future__ import annotations

from ...jit.decorators import helper
from ...simd.load_store import load_scalar, store_past_caches, transpose_past_caches, transpose_square
from ...structs import LARGE_NET_PARAMS
from ..gemm.gemm import SIDE, block_start, blocks_of, copy_panels, make_copy_panels, round_up
from ..gemm.microkernel import lanes_of
from .gradient_exchange import store_fence


def make_copies(copy, transpose):
    """Return (copy_to_panels, transpose_to_panels).

    copy : helper that copies a matrix into panels
    transpose : helper that transposes a square
    """

    @helper
    def copy_to_panels(w, w0, first, last, n, n_rows, out, out0):
        """Copy rows first <= i < last of w (n_rows, n) into the panels of B = w.

        w0, out0 : index of the first element of w, and of its panels
        """
        width, n_blocks = 2 * lanes_of(w), blocks_of(n_rows)
        for block in range(n_blocks):
            p, end = block_start(block, n_blocks, n_rows), block_start(block + 1, n_blocks, n_rows)
            low, high, o = max(first, p), min(last, end), out0 + p * round_up(n, width)
            if low < high:
                row, panel = w0 + low * n, (end - p) * width
                copy(w, row, n, high - low, n, width, out, o + (low - p) * width, panel)

    @helper
    def transpose_to_panels(w, w0, first, last, n, n_rows, out, out0):
        """Copy rows first <= i < last of w (n_rows, n), which are columns of B = w', into the panels of B.

        w[i, j] goes to out[o + j * width + i].
        """
        width, n_blocks = 2 * lanes_of(w), blocks_of(n)
        for block in range(n_blocks):
            p, end = block_start(block, n_blocks, n), block_start(block + 1, n_blocks, n)
            squares_end = end - (end - p) % SIDE
            for panel in range(first - first % width, last, width):
                o = out0 + p * round_up(n_rows, width) + panel * (end - p) - p * width - panel
                low, high = max(first, panel), min(last, panel + width)
                row_squares_end = low + (high - low) // SIDE * SIDE
                for j in range(p, squares_end, SIDE):
                    for i in range(low, row_squares_end, SIDE):
                        transpose(w, w0 + i * n + j, n, out, o + j * width + i, width, SIDE)
                for i in range(low, high):
                    for j in range(squares_end if i < row_squares_end else p, end):
                        out[o + j * width + i] = load_scalar(w, w0 + i * n + j)

    return copy_to_panels, transpose_to_panels


copy_to_panels, transpose_to_panels = make_copies(copy_panels, transpose_square)
copy_to_panels_past_caches, transpose_to_panels_past_caches = make_copies(
    make_copy_panels(store_past_caches), transpose_past_caches
)


@helper
def copy_weights(thread, n_threads, net, params, ws, k, row, end):
    """Copy rows row <= i < end of layer k's weights into this thread's packed copies, and into the other thread's if it
    has its own.
    """
    fan_in, fan_out, w = net.sizes[k], net.sizes[k + 1], net.weight_offsets[k]
    updates_other = n_threads > 1 and n_threads == ws.copies
    for copy in range(2 if updates_other else 1):
        owner = (thread + copy) % ws.copies
        # No cache holds copies of many weights until they are read, nor is the other thread's copy to be in this cache.
        past_caches = copy > 0 or net.n_padded > LARGE_NET_PARAMS
        if ws.packed_starts[k] >= 0:
            o = owner * ws.n_packed + ws.packed_starts[k]
            if past_caches:
                copy_to_panels_past_caches(params, w, row, end, fan_out, fan_in, ws.packed, o)
            else:
                copy_to_panels(params, w, row, end, fan_out, fan_in, ws.packed, o)
        if k > 0:
            o = owner * ws.n_transposed + ws.transposed_starts[k]
            if past_caches:
                transpose_to_panels_past_caches(params, w, row, end, fan_out, fan_in, ws.transposed, o)
            else:
                transpose_to_panels(params, w, row, end, fan_out, fan_in, ws.transposed, o)
        if past_caches:
            store_fence()
