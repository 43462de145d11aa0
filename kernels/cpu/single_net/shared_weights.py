"""Training of nets with shared weights: hidden layers that all nets have in common, taken through them together.

Each net has a scale of its inputs and an output layer of its own; the hidden layers' weights are the same for all. A
sample becomes n_nets rows, one for each net: row i * n_nets + j is sample i in net j. The hidden layers see rows only,
so that their passes, products and updates are those of layerwise.py. What is different is in this module and in
shared_weights_passes.py: the scales, whose gradient needs no product for the deltas of the inputs, and the output
layers.

The nets may have the layers of an input embedding in common, too: a sample is one row there, and its embedding is what
each net scales. nets.first is the number of these layers, so that the hidden layers begin with layer nets.first.

With x_i the inputs of sample i, or its embedding, r_j the scale of net j, W the weights of layer nets.first and D_j
(n_samples, n_units) its deltas in net j, let G_j = X' D_j. Then the gradient of W is the sum of diag(r_j) G_j, and that
of r_j the row sums of G_j * W, elementwise. So one product for each net gives both. The delta of x_i is the sum over j
of r_j * (W D_ij), which only an embedding needs.

Threads share rows and weights as in layerwise.py, and every sum is added in the same order for any number of threads.

Sources: Wen, Tran and Ba 2020 (BatchEnsemble, arXiv:2002.06715); Gorishniy, Kotelnikov and Babenko 2024 (TabM-mini,
arXiv:2410.24210).
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...jit.decorators import helper, inline_helper, kernel
from ...simd.load_store import as_pointers, fill, load_partial, load_scalar, offset, scalar_like, store_partial
from ...simd.reductions import sum_lanes
from ...structs import LANES, NO_UPDATE
from ..gemm.gemm import round_up
from ..gemm.operands import Matrix
from ..threads.barrier import barrier_wait, fetch_add_1
from ..threads.work_stealing import chunk_range, layer_of_chunk, next_chunk
from ..workspace import GROUP_COLUMNS, LINE_OF_COUNTS, WEIGHT_CHUNK_ROWS, MicroBatch
from .elementwise import column_sums
from .gradient_clipping import add_squares, blocks_before
from .layerwise import begin_call as copy_all_weights
from .layerwise import update_chunk
from .layerwise_gradients import UpdatedRows, UpdatedVectors, gradient_product_without_prefetch, micro_batch_gradient
from .layerwise_passes import Dropout, n_row_groups
from .optimizer_step import CLIP_NORM, add_squares_of_gradient, clip_factor, squares_of_gradient, update_range_of_layer
from .shared_weights_passes import copy_row, forward_rows, train_rows
from .training_loop import make_loop


class SharedWorkspace(NamedTuple):
    """Workspace as the training loop sees it."""

    rows: int  # samples of a micro-batch, at most
    partial: Any
    order: Any
    words: Any
    layers: Any  # LayerwiseWorkspace of the layers in common; kernels use pointers
    nets: Any  # NetsWorkspace, with pointers


@inline_helper
def compute_gradient(thread, n_threads, net, data, config, params, grads, ws, sums, micro_batch):
    layers, unit = ws.layers, ws.nets.chunk_samples
    layers.chunks_taken[(n_threads + thread) * LINE_OF_COUNTS] = 0  # chunks of weights
    n_chunks = round_up(micro_batch.rows, unit) // unit
    chunk, n_tried = next_chunk(thread, n_threads, layers.chunks_taken, n_chunks, 0)
    while chunk >= 0:
        row, end = chunk * unit, min(micro_batch.rows, (chunk + 1) * unit)
        train_rows(thread, net, data, config, params, ws, micro_batch, row, end)
        chunk, n_tried = next_chunk(thread, n_threads, layers.chunks_taken, n_chunks, n_tried)
    return n_row_groups(micro_batch.rows)


# ---- gradients and updates, chunk by chunk: those of the hidden layers, then one for each net's output layer


@inline_helper
def gradient_of_chunk(thread, net, data, config, state, ws, micro_batch, chunk):
    """Compute a chunk's gradient, into state.grads; added to it after the batch's first micro-batch."""
    layers, nets, adds = ws.layers, ws.nets, micro_batch.start > 0
    scratch, n_chunks = offset(layers.scratch, thread * layers.n_scratch), layers.weight_chunks[net.n_layers]
    if chunk >= n_chunks:
        output_gradient(scratch, net, layers, nets, micro_batch.rows, adds, chunk - n_chunks, state.grads)
        return
    layer_chunk = layer_of_chunk(layers, chunk)
    if layer_chunk.layer == nets.first:
        products = offset(nets.products, thread * nets.n_products)
        first_layer_gradient(
            layer_chunk, scratch, products, net, layers, nets, micro_batch.rows, adds, state.params, state.grads
        )
        return
    vectors = UpdatedVectors(state.params, state.state, 0, 0)  # nothing to prefetch: these nets are small
    n_rows = micro_batch.rows if layer_chunk.layer < nets.first else micro_batch.rows * nets.n_nets
    rows = MicroBatch(
        micro_batch.index, micro_batch.step, micro_batch.first, n_rows, micro_batch.start, micro_batch.batch_rows
    )
    micro_batch_gradient(layer_chunk, net, data, config, layers, scratch, rows, state.grads, vectors)


@helper
def first_layer_gradient(chunk, scratch, products, net, layers, nets, n_samples, adds, params, g):
    """Compute the gradient of some rows of W of layer nets.first and of the nets' scales, and of a part of b."""
    k, n_nets = nets.first, nets.n_nets
    n_inputs, width, w0 = net.sizes[k], net.sizes[k + 1], net.weight_offsets[k]
    (start, end), (column, last_column) = chunk_range(chunk, n_inputs), chunk_range(chunk, width)
    nothing, zero = UpdatedRows(UpdatedVectors(g, g, 0, 0), 0, 0), scalar_like(g, 0.0)
    if not adds:
        for i in range(w0 + start * width, w0 + end * width):
            g[i] = zero
    for j in range(n_nets):
        inputs = Matrix(layers.a, layers.row_starts[k] + start, n_inputs)
        delta = Matrix(layers.delta, layers.row_starts[k + 1] + j * width, n_nets * width)
        target = Matrix(products, 0, width)
        gradient_product_without_prefetch(end - start, width, n_samples, inputs, delta, False, target, scratch, nothing)
        s = nets.scales + j * n_inputs
        for i in range(start, end):
            dot = add_scaled(
                products, (i - start) * width, width, load_scalar(params, s + i), params, g, w0 + i * width
            )
            g[s + i] = load_scalar(g, s + i) + dot if adds else dot
    rows, o, b = n_samples * n_nets, layers.row_starts[k + 1], net.bias_offsets[k]
    column_sums(layers.delta, o, rows, width, column, last_column, adds, g, b)


@helper
def add_scaled(source, i, width, factor, params, g, o):
    """Add factor * source to g, and return the dot product of source and params, of a row of W that starts at o."""
    total = fill(g, 0.0, LANES)
    for c in range(0, width, LANES):
        n = min(width - c, LANES)
        v = load_partial(source, i + c, n, LANES)
        total += v * load_partial(params, o + c, n, LANES)
        store_partial(g, o + c, n, load_partial(g, o + c, n, LANES) + v * factor)
    return sum_lanes(total)


@helper
def output_gradient(scratch, net, layers, nets, n_samples, adds, j, g):
    """Compute the gradient of the output layer of net j."""
    n_nets, width, n_outputs = nets.n_nets, net.sizes[net.n_layers], net.sizes[net.n_layers + 1]
    nothing = UpdatedRows(UpdatedVectors(g, g, 0, 0), 0, 0)
    delta = Matrix(nets.delta, j * n_outputs, n_nets * n_outputs)
    inputs = Matrix(layers.a, layers.row_starts[net.n_layers] + j * width, n_nets * width)
    target = Matrix(g, nets.output_weights + j * n_outputs * width, width)
    gradient_product_without_prefetch(n_outputs, width, n_samples, delta, inputs, adds, target, scratch, nothing)
    for q in range(n_outputs):
        b = nets.output_biases + j * n_outputs + q
        total = load_scalar(g, b) if adds else scalar_like(g, 0.0)
        for i in range(n_samples):
            total += load_scalar(nets.delta, (i * n_nets + j) * n_outputs + q)
        g[b] = total


@inline_helper
def squares_of_chunk(net, state, ws, chunk):
    """Write the sums of a chunk's squared gradients to layers.squares and nets.squares."""
    layers, nets, n_chunks = ws.layers, ws.nets, ws.layers.weight_chunks[net.n_layers]
    p, g, zero = state.params, state.grads, scalar_like(state.params, 0.0)  # these nets have no L2 penalty
    n_inputs = net.sizes[nets.first]
    n_blocks = round_up(n_inputs, WEIGHT_CHUNK_ROWS) // WEIGHT_CHUNK_ROWS
    if chunk >= n_chunks:
        j, n_outputs, n_nets = chunk - n_chunks, net.sizes[net.n_layers + 1], nets.n_nets
        size, w = n_outputs * net.sizes[net.n_layers], nets.output_weights
        b, place = nets.output_biases + j * n_outputs, n_nets * n_blocks + 2 * j
        nets.squares[place] = squares_of_gradient(p, g, w + j * size, w + (j + 1) * size, zero)
        nets.squares[place + 1] = squares_of_gradient(p, g, b, b + n_outputs, zero)
        return
    add_squares(net, state, layers, chunk)
    layer_chunk = layer_of_chunk(layers, chunk)
    if layer_chunk.layer == nets.first:
        start, end = chunk_range(layer_chunk, n_inputs)
        for j in range(nets.n_nets):
            s = nets.scales + j * n_inputs
            for i in range(start, end, WEIGHT_CHUNK_ROWS):
                last = min(i + WEIGHT_CHUNK_ROWS, end)
                place = j * n_blocks + i // WEIGHT_CHUNK_ROWS
                nets.squares[place] = squares_of_gradient(p, g, s + i, s + last, zero)


@inline_helper
def clip_of_step(net, config, state, ws):
    """Return the factor that scales the gradient to at most clip_norm, once all sums of squares are known."""
    square_sum = 0.0
    for i in range(blocks_before(net, net.n_layers)):
        square_sum = add_squares_of_gradient(square_sum, ws.layers.squares[i])
    for i in range(ws.nets.n_squares):
        square_sum = add_squares_of_gradient(square_sum, ws.nets.squares[i])
    return clip_factor(config.hyper[CLIP_NORM], square_sum, state.params)


@helper
def update_part(thread, n_threads, net, config, state, ws, chunk, h, clip):
    """Update one chunk of the parameters, and the chunk's packed copies."""
    layers, nets, n_chunks = ws.layers, ws.nets, ws.layers.weight_chunks[net.n_layers]
    g, n_inputs = state.grads, net.sizes[nets.first]
    if chunk >= n_chunks:
        j, n_outputs, last = chunk - n_chunks, net.sizes[net.n_layers + 1], net.n_layers
        size = n_outputs * net.sizes[last]
        w, b = nets.output_weights + j * size, nets.output_biases + j * n_outputs
        update_range_of_layer(net, config, state, g, last, 0, w, w + size, h, clip)
        update_range_of_layer(net, config, state, g, last, 1, b, b + n_outputs, h, clip)
        return
    layer_chunk = layer_of_chunk(layers, chunk)
    update_chunk(thread, n_threads, net, config, state, layers, chunk, h, clip)
    if layer_chunk.layer == nets.first:
        start, end = chunk_range(layer_chunk, n_inputs)
        for j in range(nets.n_nets):  # weight decay is for weights, not for scales
            s = nets.scales + j * n_inputs
            update_range_of_layer(net, config, state, g, nets.first, 1, s + start, s + end, h, clip)


@inline_helper
def begin_call(thread, n_threads, net, state, ws):
    copy_all_weights(thread, n_threads, net, state, ws.layers)


@inline_helper
def accumulate_gradient(thread, n_threads, net, data, config, state, ws, micro_batch):
    counts = ws.layers.chunks_taken
    counts[thread * LINE_OF_COUNTS] = 0  # chunks of the next micro-batch
    n_chunks = ws.layers.weight_chunks[net.n_layers] + ws.nets.n_nets
    of_weights = offset(counts, n_threads * LINE_OF_COUNTS)
    chunk, n_tried = next_chunk(thread, n_threads, of_weights, n_chunks, 0)
    while chunk >= 0:
        gradient_of_chunk(thread, net, data, config, state, ws, micro_batch, chunk)
        chunk, n_tried = next_chunk(thread, n_threads, of_weights, n_chunks, n_tried)


@inline_helper
def apply_gradient(thread, n_threads, barrier, n_barriers, net, data, config, state, ws, micro_batch, h):
    clips, one = config.hyper[CLIP_NORM] > 0.0, scalar_like(state.params, 1.0)
    counts = ws.layers.chunks_taken
    counts[thread * LINE_OF_COUNTS] = 0  # chunks of the next batch
    n_chunks = ws.layers.weight_chunks[net.n_layers] + ws.nets.n_nets
    of_weights = offset(counts, n_threads * LINE_OF_COUNTS)
    chunk, n_tried = next_chunk(thread, n_threads, of_weights, n_chunks, 0)
    while chunk >= 0:
        gradient_of_chunk(thread, net, data, config, state, ws, micro_batch, chunk)
        if clips:
            squares_of_chunk(net, state, ws, chunk)
        elif config.rule != NO_UPDATE:
            update_part(thread, n_threads, net, config, state, ws, chunk, h, one)
        chunk, n_tried = next_chunk(thread, n_threads, of_weights, n_chunks, n_tried)
    if clips and config.rule != NO_UPDATE:
        n_barriers = barrier_wait(barrier, n_threads, n_barriers)
        clip = clip_of_step(net, config, state, ws)
        for own in range(n_chunks * thread // n_threads, n_chunks * (thread + 1) // n_threads):
            update_part(thread, n_threads, net, config, state, ws, own, h, clip)
    return n_barriers


_loop = make_loop(begin_call, compute_gradient, accumulate_gradient, apply_gradient, columns=GROUP_COLUMNS)


@inline_helper
def joined(layers, nets):
    """Return the SharedWorkspace of the two workspaces that a kernel is called with."""
    layers, nets = as_pointers(layers), as_pointers(nets)
    return SharedWorkspace(nets.rows, layers.partial, layers.order, layers.words, layers, nets)


@kernel
def train(thread, n_threads, barrier, net, data, config, state, layers, nets, first_step, n_steps):
    """Train for n_steps steps, from step number first_step on. All results are in `state` and `layers`.

    net : NetSpec of the layers in common, whose sizes and activations go on with those of the output layers
    layers : LayerwiseWorkspace of the layers in common; nets : NetsWorkspace
    """
    _loop(thread, n_threads, barrier, net, data, config, state, joined(layers, nets), first_step, n_steps)


@kernel
def predict(thread, n_threads, barrier, net, data, params, layers, nets, n_rows, output):
    """Write the mean of the nets' outputs (n_samples, n_outputs), flat.

    n_rows : number of samples that a thread takes through the nets at a time
    """
    net, data, params, output = as_pointers(net), as_pointers(data), offset(params, 0), offset(output, 0)
    ws = joined(layers, nets)
    layers, nets = ws.layers, ws.nets
    n_inputs, n_outputs, n_nets, row = net.sizes[0], net.sizes[net.n_layers + 1], nets.n_nets, thread * n_rows
    scratch = offset(layers.scratch, thread * layers.n_scratch)
    block = fetch_add_1(barrier) if n_threads > 1 else thread
    while block * n_rows < data.n_samples:
        first = block * n_rows
        n = min(n_rows, data.n_samples - first)
        for r in range(n):
            copy_row(data.X, (first + r) * n_inputs, n_inputs, layers.a, layers.row_starts[0] + (row + r) * n_inputs)
        forward_rows(thread, scratch, net, params, layers, nets, row, n, -1, Dropout(False, 0, 0, 0, 1.0))
        for r in range(n):
            for q in range(n_outputs):
                total = scalar_like(params, 0.0)
                for j in range(n_nets):
                    total += load_scalar(nets.a, ((row + r) * n_nets + j) * n_outputs + q)
                output[(first + r) * n_outputs + q] = total / n_nets
        block = fetch_add_1(barrier) if n_threads > 1 else block + 1
