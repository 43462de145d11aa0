"""Layer-by-layer training of one net: a matrix product per layer, an elementwise pass after it, a thread team.

Threads first take chunks of a micro-batch's rows through all layers, forward and backward, with no barrier in between.
Then they take chunks of every weight matrix: the chunk's gradient over all rows of the micro-batch, and its update
while the chunk is still in cache. So a micro-batch has two barriers whatever the depth, and a third one with clipping;
nothing is computed twice, and a thread waits at most for another one's last chunk (threads/in_kernels.py).

Every sum is added in the same order for any number of threads, so parameters and recorded losses have the same bits.
Losses are summed for groups of TILE_ROWS rows, each within one chunk, and then over the groups in order. In
layerwise_data_parallel.py each of two threads has a shard of the micro-batch; where ws.has_two_shards is set, gradients
are summed in the same order here, so that both have the same bits.

Layout: the rows of layer k start at index ws.row_starts[k] of the workspace's arrays a, z, delta and mask
(workspace.LayerwiseWorkspace); k = 0 is the gathered inputs.
"""

from __future__ import annotations

from ...formulas.update_rules import RULES
from ...jit.decorators import helper, inline_helper, kernel
from ...simd.load_store import as_pointers, offset, scalar_like
from ...structs import EVALUATION_CHUNK_ROWS, NO_UPDATE
from ..gemm.gemm import round_up
from ..gemm.microkernel import Matrix
from ..threads.in_kernels import barrier_wait, chunk_range, fetch_add_1, layer_of_chunk, next_chunk
from ..workspace import GROUP_COLUMNS, LINE_OF_COUNTS, PANEL_ROWS, PANELS_FROM, SUMS
from .elementwise import Targets
from .layerwise_gradients import UpdatedVectors, micro_batch_gradient, pack_deltas
from .layerwise_passes import (
    Dropout,
    forward,
    forward_backward,
    forward_row,
    group_sums,
    loss_and_output_delta,
    n_row_groups,
    softmax_of_rows,
)
from .optimizer_step import CLIP_NORM, add_squares, clip_now, update_range_of_layer
from .packed_weights import copy_to_panels, copy_weights
from .training_loop import make_train

N_STATE = tuple(row.n_state for row in RULES)


@inline_helper
def compute_gradient(thread, n_threads, net, data, config, params, grads, ws, sums, micro_batch):
    """Compute the activations and deltas of the rows; from these, the two functions below compute the gradient."""
    ws.chunks_taken[(n_threads + thread) * LINE_OF_COUNTS] = 0  # chunks of weights
    n_chunks = round_up(micro_batch.rows, ws.chunk_rows) // ws.chunk_rows
    chunk, n_tried = next_chunk(thread, n_threads, ws.chunks_taken, n_chunks, 0)
    while chunk >= 0:
        row, end = chunk * ws.chunk_rows, min(micro_batch.rows, (chunk + 1) * ws.chunk_rows)
        forward_backward(
            thread, net, data, config, params, ws, group_sums(ws, row, micro_batch.index, False), micro_batch, row, end
        )
        pack_deltas(net, ws, micro_batch.rows, row, end)
        chunk, n_tried = next_chunk(thread, n_threads, ws.chunks_taken, n_chunks, n_tried)
    return n_row_groups(micro_batch.rows)


@helper
def update_chunk(thread, n_threads, net, config, state, ws, chunk, h, clip, copies):
    """Update one chunk of the weights and, if `copies`, the chunk's packed copies while it is in cache."""
    layer_chunk = layer_of_chunk(ws, chunk)
    k = layer_chunk.layer
    fan_in, fan_out, w, b = net.sizes[k], net.sizes[k + 1], net.weight_offsets[k], net.bias_offsets[k]
    (row, end), (column, last_column) = chunk_range(layer_chunk, fan_in), chunk_range(layer_chunk, fan_out)
    for is_bias in range(2):
        first, last = (b + column, b + last_column) if is_bias else (w + row * fan_out, w + end * fan_out)
        update_range_of_layer(net, config, state, state.grads, k, is_bias, first, last, h, clip)
    if copies:
        copy_weights(thread, n_threads, net, state.params, ws, k, row, end)


@helper
def update_all(thread, n_threads, net, config, state, ws, h, clip, copies):
    """Update this thread's chunks of the weights, as update_chunk does, once the whole gradient is known."""
    n = ws.weight_chunks[net.n_layers]
    for chunk in range(n * thread // n_threads, n * (thread + 1) // n_threads):
        update_chunk(thread, n_threads, net, config, state, ws, chunk, h, clip, copies)


@inline_helper
def begin_call(thread, n_threads, net, state, ws):
    """Write this thread's part of the packed copies of the weights, and set its counter of chunks of rows to zero.

    Parameters may have changed since the last call, which may have been interrupted in the middle of a step. The
    counters of chunks of rows are set to zero while threads take chunks of weights, and the other way round.
    """
    ws.chunks_taken[thread * LINE_OF_COUNTS] = 0
    n = ws.weight_chunks[net.n_layers]
    for chunk in range(n * thread // n_threads, n * (thread + 1) // n_threads):
        layer_chunk = layer_of_chunk(ws, chunk)
        k = layer_chunk.layer
        row, end = chunk_range(layer_chunk, net.sizes[k])
        copy_weights(thread, n_threads, net, state.params, ws, k, row, end)


@inline_helper
def accumulate_gradient(thread, n_threads, net, data, config, state, ws, micro_batch):
    scratch, counts = offset(ws.scratch, thread * ws.n_scratch), offset(ws.chunks_taken, n_threads * LINE_OF_COUNTS)
    ws.chunks_taken[thread * LINE_OF_COUNTS] = 0  # chunks of the next micro-batch
    n_chunks = ws.weight_chunks[net.n_layers]
    chunk, n_tried = next_chunk(thread, n_threads, counts, n_chunks, 0)
    while chunk >= 0:
        vectors = UpdatedVectors(state.params, state.state, 0, 0)  # nothing to prefetch: no update follows
        micro_batch_gradient(
            layer_of_chunk(ws, chunk), net, data, config, ws, scratch, micro_batch, state.grads, vectors
        )
        chunk, n_tried = next_chunk(thread, n_threads, counts, n_chunks, n_tried)


@inline_helper
def apply_gradient(thread, n_threads, barrier, n_barriers, net, data, config, state, ws, micro_batch, h):
    clips, one = config.hyper[CLIP_NORM] > 0.0, scalar_like(state.params, 1.0)
    scratch, counts = offset(ws.scratch, thread * ws.n_scratch), offset(ws.chunks_taken, n_threads * LINE_OF_COUNTS)
    ws.chunks_taken[thread * LINE_OF_COUNTS] = 0  # chunks of the next batch
    n_chunks = ws.weight_chunks[net.n_layers]
    chunk, n_tried = next_chunk(thread, n_threads, counts, n_chunks, 0)
    updates = not clips and config.rule != NO_UPDATE
    n_vectors = 1 + N_STATE[config.rule] if updates else 0
    vectors = UpdatedVectors(state.params, state.state, net.n_padded, n_vectors)
    while chunk >= 0:
        micro_batch_gradient(
            layer_of_chunk(ws, chunk), net, data, config, ws, scratch, micro_batch, state.grads, vectors
        )
        if clips:
            add_squares(net, state, ws, chunk)
        elif updates:
            update_chunk(thread, n_threads, net, config, state, ws, chunk, h, one, True)
        chunk, n_tried = next_chunk(thread, n_threads, counts, n_chunks, n_tried)
    if clips and config.rule != NO_UPDATE:
        n_barriers = barrier_wait(barrier, n_threads, n_barriers)
        update_all(thread, n_threads, net, config, state, ws, h, clip_now(net, config, state, ws), True)
    return n_barriers


train = make_train(compute_gradient, apply_gradient, accumulate_gradient, begin_call, columns=GROUP_COLUMNS)


@kernel
def evaluate(thread, n_threads, barrier, net, data, params, ws, n_rows, output):
    """Evaluate the net: outputs and, if data has targets, sums of losses and of correct samples.

    The sums go to ws.partial, one pair for each EVALUATION_CHUNK_ROWS samples, SUMS elements apart.

    n_rows : number of samples that a thread takes through the net at a time; of a single sample, threads divide the
        outputs of each layer
    output : flat (n_samples * n_outputs,), written; or empty
    """
    net, data, ws, params = as_pointers(net), as_pointers(data), as_pointers(ws), offset(params, 0)
    writes, output = output.size > 0, offset(output, 0)
    n_layers, row = net.n_layers, thread * n_rows
    scratch = offset(ws.scratch, thread * ws.n_scratch)
    if n_threads > 1 and data.n_samples == 1:
        inputs = Matrix(data.X, 0, net.sizes[0])
        if forward_row(thread, n_threads, barrier, scratch, net, params, inputs, ws) and thread == 0:
            softmax_of_rows(scratch, net, ws, 0, 1)
            _write_results(net, data, ws, 0, 0, 1, writes, output)
        return
    # A thread takes the next block of rows when it has finished one, so none waits long for a slower or busy core. No
    # thread waits at a barrier here: its count of arrivals, 0 at first, numbers the blocks.
    steals, copy = n_threads > 1, -1  # copy: number of this thread's packed weights, -1 for none
    if data.n_samples >= PANELS_FROM * n_threads and ws.copies == n_threads:  # else each product packs W itself
        for k in range(n_layers):
            if ws.packed_starts[k] >= 0:
                copy, fan_in, fan_out = thread, net.sizes[k], net.sizes[k + 1]
                o = copy * ws.n_packed + ws.packed_starts[k]
                copy_to_panels(params, net.weight_offsets[k], 0, fan_in, fan_out, fan_in, ws.packed, o)
    if copy >= 0:  # activations of so few rows stay in the second-level cache
        n_rows = min(n_rows, PANEL_ROWS)
    block = fetch_add_1(barrier) if steals else thread
    while block * n_rows < data.n_samples:
        first = block * n_rows
        rows, before = min(n_rows, data.n_samples - first), first - row  # row r has sample before + r
        inputs = Matrix(data.X, before * net.sizes[0], net.sizes[0])
        forward(scratch, net, params, inputs, row, rows, ws, copy, Dropout(False, 0, 0, 0))
        _write_results(net, data, ws, row, first, rows, writes, output)
        block = fetch_add_1(barrier) if steals else block + n_threads


@helper
def _write_results(net, data, ws, row, first, rows, writes, output):
    """Write outputs and sums of samples first .. first + rows, which are in the rows from `row` on."""
    width, before = net.sizes[net.n_layers], first - row
    if writes:
        o = ws.row_starts[net.n_layers] + row * width
        for i in range(rows * width):
            output[first * width + i] = ws.a[o + i]
    if data.has_targets:
        targets = Targets(data.Y, before * width, data.has_weights, data.weight, before)
        sums = offset(ws.partial, first // EVALUATION_CHUNK_ROWS * SUMS)
        loss_and_output_delta(net, data.metric, targets, row, row + rows, 0.0, ws, sums, SUMS, EVALUATION_CHUNK_ROWS)
