"""Layer-by-layer training with batches of one sample: layerwise.py without what pays only for larger batches.

Each weight's gradient is a product of two numbers, so the gradients of a few rows of W are computed when the update
needs them, and stay in the first-level cache; they are stored only for clipping, or where there is no update. No packed
copies of the weights are kept, since copying would take as long as the step: the backward pass reads W as it is. Thread
0 takes the sample through the net, and all threads update chunks of the weights; execution/dispatch.py gives it one
thread.
"""

from __future__ import annotations

from ...jit.decorators import helper, inline_helper
from ...simd.load_store import load, load_partial, load_scalar, offset, scalar_like, store, store_partial
from ...structs import LANES, NO_UPDATE
from ..gemm.microkernel import Matrix
from ..gemm.skinny_gemm import dots
from ..threads.in_kernels import barrier_wait, chunk_range, layer_of_chunk
from ..workspace import K_BLOCK
from .layerwise import update_all
from .layerwise_passes import backward_activation, forward_and_loss, layer_inputs
from .optimizer_step import CLIP_NORM, add_squares, clip_now, update_range_of_layer
from .training_loop import make_train

# Gradients computed at a time, or those of one row if it has more: they stay in the first-level cache beside what their
# update reads.
GRADIENTS_AT_A_TIME = 1024


@inline_helper
def compute_gradient(thread, n_threads, net, data, config, params, grads, ws, sums, micro_batch):
    """Compute the deltas only, on thread 0; apply_gradient computes the gradient of the weights."""
    if thread == 0:
        scratch = offset(ws.scratch, 0)
        forward_and_loss(thread, net, data, config, params, ws, sums, micro_batch, 0, 1, -1)
        for k in range(net.n_layers - 1, 0, -1):
            fan_in, fan_out, w = net.sizes[k], net.sizes[k + 1], net.weight_offsets[k]
            o, below = ws.row_starts[k + 1], ws.row_starts[k]
            for j in range(0, fan_out, K_BLOCK):
                n = min(K_BLOCK, fan_out - j)
                weights, delta = Matrix(params, w + j, fan_out), Matrix(ws.delta, o + j, 1)
                dots(fan_in, 1, n, weights, delta, j > 0, Matrix(ws.delta, below, 1), scratch)
            backward_activation(net, ws, k, below, 1)
    return 1


@helper
def gradient_of_rows(net, data, config, ws, k, micro_batch, first, last, out):
    """Write the gradient of rows first <= i < last of layer k's weights to the start of `out`."""
    inputs, d, width = layer_inputs(net, data, config, ws, k, micro_batch), ws.row_starts[k + 1], net.sizes[k + 1]
    whole = width - width % LANES
    for i in range(first, last):
        factor, o = load_scalar(inputs.data, inputs.start + i), (i - first) * width
        for j in range(0, whole, LANES):
            store(out, o + j, load(ws.delta, d + j, LANES) * factor)
        if whole < width:
            n = width - whole
            store_partial(out, o + whole, n, load_partial(ws.delta, d + whole, n, LANES) * factor)


@helper
def gradient_of_biases(ws, k, first, last, out):
    """Write the gradient of biases first <= j < last of layer k to the start of `out`.

    A copy of the deltas: penalty and clipping change the gradient in place, while other threads read the deltas.
    """
    for j in range(first, last, LANES):
        n = min(last - j, LANES)
        store_partial(out, j - first, n, load_partial(ws.delta, ws.row_starts[k + 1] + j, n, LANES))


@helper
def update_chunk_fused(net, data, config, state, ws, scratch, chunk, micro_batch, h, one):
    """Compute the gradient of one chunk of the weights in `scratch`, a few rows at a time, and update the chunk."""
    layer_chunk = layer_of_chunk(ws, chunk)
    k = layer_chunk.layer
    fan_in, fan_out, w, b = net.sizes[k], net.sizes[k + 1], net.weight_offsets[k], net.bias_offsets[k]
    (row, end), (column, last_column) = chunk_range(layer_chunk, fan_in), chunk_range(layer_chunk, fan_out)
    rows = max(1, GRADIENTS_AT_A_TIME // fan_out)
    for i in range(row, end, rows):
        last, start = min(i + rows, end), w + i * fan_out
        gradient_of_rows(net, data, config, ws, k, micro_batch, i, last, scratch)
        update_range_of_layer(net, config, state, offset(scratch, -start), k, 0, start, w + last * fan_out, h, one)
    gradient_of_biases(ws, k, column, last_column, scratch)
    update_range_of_layer(net, config, state, offset(scratch, -(b + column)), k, 1, b + column, b + last_column, h, one)


@helper
def write_gradient(net, data, config, state, ws, chunk, micro_batch):
    """Write the gradient of one chunk of the weights to state.grads."""
    layer_chunk = layer_of_chunk(ws, chunk)
    k = layer_chunk.layer
    (row, end), (column, last_column) = (
        chunk_range(layer_chunk, net.sizes[k]),
        chunk_range(layer_chunk, net.sizes[k + 1]),
    )
    w, b = net.weight_offsets[k] + row * net.sizes[k + 1], net.bias_offsets[k] + column
    gradient_of_rows(net, data, config, ws, k, micro_batch, row, end, offset(state.grads, w))
    gradient_of_biases(ws, k, column, last_column, offset(state.grads, b))


@inline_helper
def apply_gradient(thread, n_threads, barrier, n_barriers, net, data, config, state, ws, micro_batch, h):
    clips, updates = config.hyper[CLIP_NORM] > 0.0, config.rule != NO_UPDATE
    scratch, one = offset(ws.scratch, thread * ws.n_scratch), scalar_like(state.params, 1.0)
    n_chunks = ws.weight_chunks[net.n_layers]
    for chunk in range(n_chunks * thread // n_threads, n_chunks * (thread + 1) // n_threads):
        if updates and not clips:
            update_chunk_fused(net, data, config, state, ws, scratch, chunk, micro_batch, h, one)
        else:
            write_gradient(net, data, config, state, ws, chunk, micro_batch)
        if clips:
            add_squares(net, state, ws, chunk)
    if clips and updates:
        n_barriers = barrier_wait(barrier, n_threads, n_barriers)
        update_all(thread, n_threads, net, config, state, ws, h, clip_now(net, config, state, ws), False)
    return n_barriers


train = make_train(compute_gradient, apply_gradient)  # of one sample a step
