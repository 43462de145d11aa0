"""Gradients of the weights and biases, layer by layer, from the activations and deltas of a whole micro-batch.

The layout is that of layerwise.py, whose threads call these functions for the chunks of weights that they take.
"""

from __future__ import annotations

from ...jit.decorators import helper
from ...simd.load_store import offset
from ...structs import LINE
from ..gemm.gemm import make_product, nothing_after, panel_sums, up_to
from ..gemm.microkernel import lanes_of
from ..gemm.skinny_gemm import sums_of_rows
from ..threads.work_stealing import chunk_range
from ..workspace import K_BLOCK, ROWS, VECTOR_BYTES
from .elementwise import add, column_sums
from .gradient_exchange import chunk_start, shard_gradient
from .packed_weights import copy_to_panels


@helper
def _update_ahead(nothing, i, tile, depth, extra):
    """Return (address, stride) of the cache lines that the update of rows i .. i + ROWS of W will read next.

    Tile after tile covers the parameters and then each vector of the optimiser state; (nothing, 0) once all are
    covered. make_product says how the result is used.
    """
    params, state, stride, n_arrays, first, width = extra
    run = depth * lanes_of(params) * (LINE // VECTOR_BYTES)  # elements that one tile prefetches
    n_tiles = up_to(ROWS * width, run) // run  # tiles per array
    array, start = tile // n_tiles, first + i * width + tile % n_tiles * run
    if array >= n_arrays:
        return nothing, 0
    if array == 0:
        return offset(params, start), run // depth
    return offset(state, (array - 1) * stride + start), run // depth


product_gradient = make_product(nothing_after, _update_ahead, few=sums_of_rows)


@helper
def split_row(work, rows):
    """Return the first row of the micro-batch's second shard, whose gradient is summed by itself; `rows` if there is
    only one shard.
    """
    middle = chunk_start(1, 2, rows, ROWS) if work.halves else rows
    return middle if middle > 0 else rows


@helper
def pack_deltas(net, work, rows, row, end):
    """Copy the deltas of rows row <= i < end into panels, for the layers whose weight gradient reads panels."""
    middle = split_row(work, rows)
    for k in range(net.n_layers):
        if work.delta_packs[k] >= 0:
            n, o, packed = net.sizes[k + 1], work.blocks[k + 1], work.delta_packs[k]
            copy_to_panels(work.delta, o, row, min(end, middle), n, middle, work.packed_delta, packed)
            o, packed = o + middle * n, packed + middle * up_to(n, 2 * lanes_of(work.delta))
            low = max(row - middle, 0)
            copy_to_panels(work.delta, o, low, end - middle, n, rows - middle, work.packed_delta, packed)


@helper
def layer_gradient(share, net, data, course, work, scratch, k, stage, row, last_row, packed, adds, g, coming):
    """Compute the gradient of rows row <= i < last_row of a micro-batch for one chunk of layer k, into g.

    share : (i, n) for chunk i of the layer's n chunks
    row, last_row : all rows of the micro-batch, or one shard
    packed : whether pack_deltas has copied the deltas of these rows
    adds : whether to add to g
    coming : (params, state, elements of one vector of the state, number of these vectors that the update will read)
    """
    fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
    (start, end), (column, last_column) = chunk_range(share, fan_in), chunk_range(share, fan_out)
    source, source0 = work.a, work.blocks[k]
    if k == 0 and not course.shuffle:
        source, source0 = data.X, stage.first * net.sizes[0]
    o = work.blocks[k + 1] + row * fan_out
    delta, d, ldd = work.delta, o, fan_out
    if packed and work.delta_packs[k] >= 0:
        delta, d, ldd = work.packed_delta, work.delta_packs[k] + row * up_to(fan_out, 2 * lanes_of(g)), 0
    w = net.weight_offsets[k] + start * fan_out
    product_gradient(
        True,
        end - start,
        fan_out,
        last_row - row,
        source,
        source0 + row * fan_in + start,
        fan_in,
        delta,
        d,
        ldd,
        adds,
        g,
        w,
        fan_out,
        scratch,
        (*coming, w, fan_out),
    )
    if ldd == 0:
        panel_sums(delta, d, last_row - row, fan_out, column, last_column, adds, g, net.bias_offsets[k])
    else:
        column_sums(delta, d, last_row - row, fan_out, column, last_column, adds, g, net.bias_offsets[k])


@helper
def micro_batch_gradient(share, net, data, course, work, scratch, k, stage, g, coming):
    """Compute the gradient of a micro-batch for one chunk of layer k, into g; added to g after the batch's first
    micro-batch.

    Where there are two shards, each is summed by itself before it is added: as one block of a product if it has at most
    K_BLOCK rows, otherwise in a buffer of its own.
    """
    middle, adds = split_row(work, stage.rows), stage.start > 0
    for half in range(1 if middle == stage.rows else 2):
        row, end = (middle, stage.rows) if half == 1 else (0, middle)
        apart = adds and work.halves and end - row > K_BLOCK
        target = shard_gradient(work, 1, net.n_padded) if apart else g
        layer_gradient(
            share, net, data, course, work, scratch, k, stage, row, end, True, adds and not apart, target, coming
        )
        if apart:
            add_chunk(share, net, k, target, g)
        adds = True


@helper
def add_chunk(share, net, k, own, g):
    """Add one chunk of layer k's gradient, weights and biases, to g."""
    for is_bias in range(2):
        n, width, start = net.sizes[k], net.sizes[k + 1], net.weight_offsets[k]
        if is_bias:
            n, width, start = width, 1, net.bias_offsets[k]
        i, end = chunk_range(share, n)
        add(own, start + i * width, (end - i) * width, g)
