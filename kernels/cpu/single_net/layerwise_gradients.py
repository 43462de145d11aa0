"""Gradients of the weights and biases, layer by layer, from the activations and deltas of a whole micro-batch.

The layout is that of layerwise.py, whose threads call these functions for the chunks of weights that they take.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...jit.decorators import helper, linked_helper
from ...simd.load_store import offset
from ...structs import LINE
from ..gemm.gemm import panel_sums, product, product_kind, round_up
from ..gemm.microkernel import Matrix, Prefetch, lanes_of
from ..gemm.skinny_gemm import SUMS_OF_ROWS
from ..threads.in_kernels import chunk_range, chunk_start
from ..workspace import K_BLOCK, TILE_ROWS, VECTOR_BYTES
from .elementwise import add, column_sums
from .gradient_exchange import shard_gradient
from .layerwise_passes import layer_inputs
from .packed_weights import copy_to_panels


class UpdatedVectors(NamedTuple):
    """Vectors that an update reads: the parameters, and those of the optimiser state."""

    params: Any  # pointer
    state: Any  # pointer
    stride: int  # elements from one vector of the state to the next
    n_vectors: int  # 0 if no update follows


class UpdatedRows(NamedTuple):
    """Rows of a layer's W that an update will read."""

    vectors: UpdatedVectors
    start: int  # index of the first row
    width: int  # number of columns


@helper
def prefetch_update(nowhere, i, tile, depth, updated):
    """Return the Prefetch of cache lines that the update of rows i .. i + TILE_ROWS of W will read next.

    Tile after tile covers the parameters and then each vector of the optimiser state. gemm.product_kind says how the
    result is used.

    nowhere : Prefetch of nothing
    depth : cache lines that a tile prefetches
    updated : UpdatedRows
    """
    vectors = updated.vectors
    if vectors.n_vectors == 0:
        return nowhere
    run = depth * lanes_of(vectors.params) * (LINE // VECTOR_BYTES)  # elements that one tile prefetches
    n_tiles = round_up(TILE_ROWS * updated.width, run) // run  # tiles per vector
    vector, start = tile // n_tiles, updated.start + i * updated.width + tile % n_tiles * run
    if vector >= vectors.n_vectors:
        return nowhere
    if vector == 0:
        return Prefetch(offset(vectors.params, start), run // depth)
    return Prefetch(offset(vectors.state, (vector - 1) * vectors.stride + start), run // depth)


WEIGHT_GRADIENT = product_kind(ahead=prefetch_update, skinny=SUMS_OF_ROWS)


@linked_helper()
def gradient_product(m, n, k, inputs, delta, adds, g, scratch, updated):
    """Write g (m, n) = inputs' (m, k) @ delta (k, n), or add to g if `adds`.

    updated : UpdatedRows
    """
    product(WEIGHT_GRADIENT, True, m, n, k, inputs, delta, adds, g, scratch, updated)


@helper
def split_row(ws, rows):
    """Return the first row of the micro-batch's second shard, whose gradient is summed by itself; `rows` if there is
    only one shard.
    """
    split = chunk_start(1, 2, rows, TILE_ROWS) if ws.has_two_shards else rows
    return split if split > 0 else rows


@helper
def pack_deltas(net, ws, rows, row, end):
    """Copy the deltas of rows row <= i < end into panels, for the layers whose weight gradient reads panels."""
    split = split_row(ws, rows)
    for k in range(net.n_layers):
        if ws.packed_delta_starts[k] >= 0:
            n, o, packed = net.sizes[k + 1], ws.row_starts[k + 1], ws.packed_delta_starts[k]
            copy_to_panels(ws.delta, o, row, min(end, split), n, split, ws.packed_delta, packed)
            o, packed = o + split * n, packed + split * round_up(n, 2 * lanes_of(ws.delta))
            low = max(row - split, 0)
            copy_to_panels(ws.delta, o, low, end - split, n, rows - split, ws.packed_delta, packed)


@helper
def layer_gradient(chunk, net, ws, scratch, inputs, row, end_row, packed, adds, g, vectors):
    """Compute the gradient of rows row <= i < end_row of a micro-batch for one chunk of a layer, into g.

    chunk : LayerChunk
    inputs : the layer's inputs, a Matrix of all rows of the micro-batch
    row, end_row : all rows of the micro-batch, or one shard
    packed : whether pack_deltas has copied the deltas of these rows
    adds : whether to add to g
    vectors : UpdatedVectors
    """
    k = chunk.layer
    fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
    (start, end), (column, end_column) = chunk_range(chunk, fan_in), chunk_range(chunk, fan_out)
    source = Matrix(inputs.data, inputs.start + row * fan_in + start, fan_in)
    delta = Matrix(ws.delta, ws.row_starts[k + 1] + row * fan_out, fan_out)
    if packed and ws.packed_delta_starts[k] >= 0:
        delta = Matrix(ws.packed_delta, ws.packed_delta_starts[k] + row * round_up(fan_out, 2 * lanes_of(g)), 0)
    target, rows = Matrix(g, net.weight_offsets[k] + start * fan_out, fan_out), end_row - row
    updated = UpdatedRows(vectors, target.start, fan_out)
    gradient_product(end - start, fan_out, rows, source, delta, adds, target, scratch, updated)
    b = net.bias_offsets[k]
    if delta.stride == 0:
        panel_sums(delta.data, delta.start, rows, fan_out, column, end_column, adds, g, b)
    else:
        column_sums(delta.data, delta.start, rows, fan_out, column, end_column, adds, g, b)


@helper
def micro_batch_gradient(chunk, net, data, config, ws, scratch, micro_batch, g, vectors):
    """Compute the gradient of a micro-batch for one chunk of a layer, into g; added to g after the batch's first
    micro-batch.

    Where there are two shards, each is summed by itself before it is added: as one block of a product if it has at most
    K_BLOCK rows, otherwise in a buffer, unless it is the first to be written to g.

    chunk : LayerChunk
    vectors : UpdatedVectors
    """
    split, adds = split_row(ws, micro_batch.rows), micro_batch.start > 0
    inputs = layer_inputs(net, data, config, ws, chunk.layer, micro_batch)
    for shard in range(1 if split == micro_batch.rows else 2):
        row, end = (split, micro_batch.rows) if shard == 1 else (0, split)
        separate_buffer = adds and ws.has_two_shards and end - row > K_BLOCK
        # This family leaves the buffer of shard 1 free.
        target = shard_gradient(ws, 1, net.n_padded) if separate_buffer else g
        adds_now = adds and not separate_buffer
        layer_gradient(chunk, net, ws, scratch, inputs, row, end, True, adds_now, target, vectors)
        if separate_buffer:
            add_chunk(chunk, net, target, g)
        adds = True


@helper
def add_chunk(chunk, net, gradient, g):
    """Add one chunk of a layer's gradient, weights and biases, to g."""
    k, width = chunk.layer, net.sizes[chunk.layer + 1]
    (row, end), (column, end_column) = chunk_range(chunk, net.sizes[k]), chunk_range(chunk, width)
    add(gradient, net.weight_offsets[k] + row * width, (end - row) * width, g)
    add(gradient, net.bias_offsets[k] + column, end_column - column, g)
