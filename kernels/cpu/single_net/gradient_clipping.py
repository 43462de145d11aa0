"""Gradient clipping of the layerwise families: the norm of a net's gradient, from sums of squares of blocks of rows.

The batch_simd families have gradients of all layers in cache, and compute the norm in batch_simd.py.
"""

from __future__ import annotations

from ...jit.decorators import helper
from ...simd.load_store import scalar_like
from ..gemm.gemm import round_up
from ..threads.work_stealing import chunk_range, layer_of_chunk
from ..workspace import WEIGHT_CHUNK_ROWS
from .optimizer_step import CLIP_NORM, add_squares_of_gradient, clip_factor, squares_of_gradient


@helper
def add_squares(net, state, ws, chunk):
    """Write the sums of squares of the gradients of one chunk of parameters, L2 terms included, to ws.squares.

    Each sum covers WEIGHT_CHUNK_ROWS rows of W, or elements of b, whatever the number of threads, so
    the norm has the same bits for any number of threads.
    """
    layer_chunk = layer_of_chunk(ws, chunk)
    k = layer_chunk.layer
    fan_in, fan_out, p, g = net.sizes[k], net.sizes[k + 1], state.params, state.grads
    (start, end), (column, last_column) = chunk_range(layer_chunk, fan_in), chunk_range(layer_chunk, fan_out)
    w, b, block = net.weight_offsets[k], net.bias_offsets[k], blocks_before(net, k)
    for i in range(start, end, WEIGHT_CHUNK_ROWS):
        last = min(i + WEIGHT_CHUNK_ROWS, end)
        ws.squares[block + i // WEIGHT_CHUNK_ROWS] = squares_of_gradient(
            p, g, w + i * fan_out, w + last * fan_out, scalar_like(p, net.l2)
        )
    block += round_up(fan_in, WEIGHT_CHUNK_ROWS) // WEIGHT_CHUNK_ROWS
    for j in range(column, last_column, WEIGHT_CHUNK_ROWS):
        last = min(j + WEIGHT_CHUNK_ROWS, last_column)
        ws.squares[block + j // WEIGHT_CHUNK_ROWS] = squares_of_gradient(p, g, b + j, b + last, scalar_like(p, 0.0))


@helper
def blocks_before(net, k):
    """Return the number of sums of squared gradients that the layers before k have in ws.squares."""
    n = 0
    for i in range(k):
        n += (
            round_up(net.sizes[i], WEIGHT_CHUNK_ROWS) // WEIGHT_CHUNK_ROWS
            + round_up(net.sizes[i + 1], WEIGHT_CHUNK_ROWS) // WEIGHT_CHUNK_ROWS
        )
    return n


@helper
def clip_now(net, config, state, ws):
    """Return the factor that scales the gradient to at most clip_norm, once ws.squares is complete."""
    square_sum = 0.0
    for i in range(blocks_before(net, net.n_layers)):
        square_sum = add_squares_of_gradient(square_sum, ws.squares[i])
    return clip_factor(config.hyper[CLIP_NORM], square_sum, state.params)
