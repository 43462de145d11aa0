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
def _prefetch_update(nowhere, i, tile, depth, extra):
    """Return (address, stride) of the cache lines that the update of rows i .. i + ROWS of W will read next.

    Tile after tile covers the parameters and then each vector of the optimiser state; (nowhere, 0) once all are
    covered. make_product says how the result is used.
    """
    params, state, stride, n_arrays, first, width = extra
    run = depth * lanes_of(params) * (LINE // VECTOR_BYTES)  # elements that one tile prefetches
    n_tiles = up_to(ROWS * width, run) // run  # tiles per array
    array, start = tile // n_tiles, first + i * width + tile % n_tiles * run
    if array >= n_arrays:
        return nowhere, 0
    if array == 0:
        return offset(params, start), run // depth
    return offset(state, (array - 1) * stride + start), run // depth


product_gradient = make_product(nothing_after, _prefetch_update, few=sums_of_rows)


@helper
def split_row(ws, rows):
    """Return the first row of the micro-batch's second shard, whose gradient is summed by itself; `rows` if there is
    only one shard.
    """
    split = chunk_start(1, 2, rows, ROWS) if ws.has_two_shards else rows
    return split if split > 0 else rows


@helper
def pack_deltas(net, ws, rows, row, end):
    """Copy the deltas of rows row <= i < end into panels, for the layers whose weight gradient reads panels."""
    split = split_row(ws, rows)
    for k in range(net.n_layers):
        if ws.packed_delta_starts[k] >= 0:
            n, o, packed = net.sizes[k + 1], ws.row_starts[k + 1], ws.packed_delta_starts[k]
            copy_to_panels(ws.delta, o, row, min(end, split), n, split, ws.packed_delta, packed)
            o, packed = o + split * n, packed + split * up_to(n, 2 * lanes_of(ws.delta))
            low = max(row - split, 0)
            copy_to_panels(ws.delta, o, low, end - split, n, rows - split, ws.packed_delta, packed)


@helper
def layer_gradient(
    chunk_of_layer, net, data, config, ws, scratch, k, micro_batch, row, last_row, packed, adds, g, prefetch
):
    """Compute the gradient of rows row <= i < last_row of a micro-batch for one chunk of layer k, into g.

    chunk_of_layer : (i, n) for chunk i of the layer's n chunks
    row, last_row : all rows of the micro-batch, or one shard
    packed : whether pack_deltas has copied the deltas of these rows
    adds : whether to add to g
    prefetch : (params, state, elements of one vector of the state, number of these vectors that the update will read)
    """
    fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
    (start, end), (column, last_column) = chunk_range(chunk_of_layer, fan_in), chunk_range(chunk_of_layer, fan_out)
    source, source0 = ws.a, ws.row_starts[k]
    if k == 0 and not config.shuffle:
        source, source0 = data.X, micro_batch.first * net.sizes[0]
    o = ws.row_starts[k + 1] + row * fan_out
    delta, d, ldd = ws.delta, o, fan_out
    if packed and ws.packed_delta_starts[k] >= 0:
        delta, d, ldd = ws.packed_delta, ws.packed_delta_starts[k] + row * up_to(fan_out, 2 * lanes_of(g)), 0
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
        (*prefetch, w, fan_out),
    )
    if ldd == 0:
        panel_sums(delta, d, last_row - row, fan_out, column, last_column, adds, g, net.bias_offsets[k])
    else:
        column_sums(delta, d, last_row - row, fan_out, column, last_column, adds, g, net.bias_offsets[k])


@helper
def micro_batch_gradient(chunk_of_layer, net, data, config, ws, scratch, k, micro_batch, g, prefetch):
    """Compute the gradient of a micro-batch for one chunk of layer k, into g; added to g after the batch's first
    micro-batch.

    Where there are two shards, each is summed by itself before it is added: as one block of a product if it has at most
    K_BLOCK rows, otherwise in a buffer of its own.
    """
    split, adds = split_row(ws, micro_batch.rows), micro_batch.start > 0
    for shard in range(1 if split == micro_batch.rows else 2):
        row, end = (split, micro_batch.rows) if shard == 1 else (0, split)
        separate_buffer = adds and ws.has_two_shards and end - row > K_BLOCK
        target = shard_gradient(ws, 1, net.n_padded) if separate_buffer else g
        adds_now = adds and not separate_buffer
        layer_gradient(
            chunk_of_layer, net, data, config, ws, scratch, k, micro_batch, row, end, True, adds_now, target, prefetch
        )
        if separate_buffer:
            add_chunk(chunk_of_layer, net, k, target, g)
        adds = True


@helper
def add_chunk(chunk_of_layer, net, k, gradient, g):
    """Add one chunk of layer k's gradient, weights and biases, to g."""
    for is_bias in range(2):
        n, width, start = net.sizes[k], net.sizes[k + 1], net.weight_offsets[k]
        if is_bias:
            n, width, start = width, 1, net.bias_offsets[k]
        i, end = chunk_range(chunk_of_layer, n)
        add(gradient, start + i * width, (end - i) * width, g)
