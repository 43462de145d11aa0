"""Layer-by-layer training of one net: a matrix product per layer, a fused elementwise pass around it, a thread team.

Threads first take chunks of a micro-batch's rows through all layers, forward and backward, with no barrier in between.
Then they take chunks of every weight matrix: the chunk's gradient over all rows of the micro-batch, and its update
while the chunk is still in cache. So a micro-batch has two barriers whatever the depth, nothing is computed twice, and
no thread waits for a slower one (threads/work_stealing.py).

Every sum is added in the same order for any number of threads, so parameters and recorded losses have the same bits.
Losses are summed for groups of ROWS rows, which no chunk divides, and then over the groups in order. The bits are also
those of layerwise_data_parallel.py, where each of two threads has a shard of the micro-batch: work.halves says whether
gradients are summed in that order.

Layout: the rows of layer k start at index work.blocks[k] of the workspace's arrays a, z, delta and mask
(workspace.LayerwiseWorkspace); k = 0 is the gathered inputs.
"""

from __future__ import annotations

from ...formulas.update_rules import RULES
from ...jit.decorators import helper, inline_helper, kernel
from ...simd.load_store import as_pointers, offset, scalar_like
from ...structs import EVALUATION_CHUNK_ROWS, NO_UPDATE
from ..gemm.gemm import up_to
from ..threads.barrier import barrier_wait, fetch_add_1
from ..threads.work_stealing import chunk_range, layer_of_chunk, next_chunk
from ..workspace import GROUP_COLUMNS, LINE_OF_COUNTS, PANEL_ROWS, PANELS_FROM, SUMS
from .gradient_clipping import add_squares, clip_now
from .layerwise_gradients import micro_batch_gradient, pack_deltas
from .layerwise_passes import forward, forward_backward, group_sums, loss_and_output_delta, n_row_groups
from .optimizer_step import CLIP_NORM, update_range_of_layer
from .packed_weights import copy_to_panels, copy_weights
from .training_loop import make_loop

N_STATE = tuple(row.n_state for row in RULES)


@inline_helper
def compute_gradient(rank, n_ranks, net, data, course, params, grads, work, share, stage):
    work.taken[(n_ranks + rank) * LINE_OF_COUNTS] = 0  # chunks of weights
    n_pieces = up_to(stage.rows, work.piece) // work.piece
    piece, tried = next_chunk(rank, n_ranks, work.taken, n_pieces, 0)
    while piece >= 0:
        row, end = piece * work.piece, min(stage.rows, (piece + 1) * work.piece)
        forward_backward(
            rank, net, data, course, params, work, group_sums(work, row, stage.turn, False), stage, row, end
        )
        pack_deltas(net, work, stage.rows, row, end)
        piece, tried = next_chunk(rank, n_ranks, work.taken, n_pieces, tried)
    return n_row_groups(stage.rows)


@helper
def update_chunk(rank, n_ranks, net, course, memory, work, piece, h, clip):
    """Update one chunk of the weights, and the chunk's packed copies while it is in cache."""
    k, share = layer_of_chunk(work, piece)
    fan_in, fan_out, w, b = net.sizes[k], net.sizes[k + 1], net.weight_offsets[k], net.bias_offsets[k]
    (row, end), (column, last_column) = chunk_range(share, fan_in), chunk_range(share, fan_out)
    for is_bias in range(2):
        first, last = (b + column, b + last_column) if is_bias else (w + row * fan_out, w + end * fan_out)
        update_range_of_layer(net, course, memory, memory.grads, k, is_bias, first, last, h, clip)
    copy_weights(rank, n_ranks, net, memory.params, work, k, row, end)


@helper
def update_all(rank, n_ranks, net, course, memory, work, h, clip):
    """Update this thread's chunks of the weights, once the whole gradient is known."""
    n = work.weight_chunks[net.n_layers]
    for piece in range(n * rank // n_ranks, n * (rank + 1) // n_ranks):
        update_chunk(rank, n_ranks, net, course, memory, work, piece, h, clip)


@inline_helper
def begin_call(rank, n_ranks, net, memory, work):
    """Write this thread's part of the packed copies of the weights.

    Parameters may have changed since the last call, which may have been interrupted in the middle of a step.
    """
    work.taken[rank * LINE_OF_COUNTS] = 0
    n = work.weight_chunks[net.n_layers]
    for piece in range(n * rank // n_ranks, n * (rank + 1) // n_ranks):
        k, share = layer_of_chunk(work, piece)
        row, end = chunk_range(share, net.sizes[k])
        copy_weights(rank, n_ranks, net, memory.params, work, k, row, end)


@inline_helper
def accumulate_gradient(rank, n_ranks, net, data, course, memory, work, stage):
    scratch, counts = offset(work.scratch, rank * work.n_scratch), offset(work.taken, n_ranks * LINE_OF_COUNTS)
    work.taken[rank * LINE_OF_COUNTS] = 0  # chunks of the next micro-batch
    n_pieces = work.weight_chunks[net.n_layers]
    piece, tried = next_chunk(rank, n_ranks, counts, n_pieces, 0)
    while piece >= 0:
        k, share = layer_of_chunk(work, piece)
        nothing = memory.params, memory.state, 0, 0  # nothing to prefetch: no update follows
        micro_batch_gradient(share, net, data, course, work, scratch, k, stage, memory.grads, nothing)
        piece, tried = next_chunk(rank, n_ranks, counts, n_pieces, tried)


@inline_helper
def apply_gradient(rank, n_ranks, barrier, meetings, net, data, course, memory, work, stage, h):
    clips, one = course.hyper[CLIP_NORM] > 0.0, scalar_like(memory.params, 1.0)
    scratch, counts = offset(work.scratch, rank * work.n_scratch), offset(work.taken, n_ranks * LINE_OF_COUNTS)
    work.taken[rank * LINE_OF_COUNTS] = 0  # chunks of the next batch
    n_pieces = work.weight_chunks[net.n_layers]
    piece, tried = next_chunk(rank, n_ranks, counts, n_pieces, 0)
    updates = not clips and course.rule != NO_UPDATE
    coming = memory.params, memory.state, net.n_padded, 1 + N_STATE[course.rule] if updates else 0
    while piece >= 0:
        k, share = layer_of_chunk(work, piece)
        micro_batch_gradient(share, net, data, course, work, scratch, k, stage, memory.grads, coming)
        if clips:
            add_squares(net, memory, work, piece)
        elif updates:
            update_chunk(rank, n_ranks, net, course, memory, work, piece, h, one)
        piece, tried = next_chunk(rank, n_ranks, counts, n_pieces, tried)
    if clips and course.rule != NO_UPDATE:
        meetings = barrier_wait(barrier, n_ranks, meetings)
        update_all(rank, n_ranks, net, course, memory, work, h, clip_now(net, course, memory, work))
    return meetings


_loop = make_loop(begin_call, compute_gradient, accumulate_gradient, apply_gradient, columns=GROUP_COLUMNS)


@kernel
def train(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps):
    """Train for n_steps steps, from step number first_step on. All results are in `memory` and `work`."""
    _loop(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps)


@kernel
def evaluate(rank, n_ranks, barrier, net, data, params, work, n_rows, output):
    """Evaluate the net: outputs and, if data has targets, sums of losses and of correct samples.

    The sums go to work.partial, one pair for each EVALUATION_CHUNK_ROWS samples, SUMS elements apart.

    n_rows : number of samples that a thread takes through the net at a time
    output : flat (n_samples * n_outputs,), written; or empty
    """
    writes = output.size > 0
    _evaluate(
        rank,
        n_ranks,
        barrier,
        as_pointers(net),
        as_pointers(data),
        offset(params, 0),
        as_pointers(work),
        n_rows,
        writes,
        offset(output, 0),
    )


@inline_helper
def _evaluate(rank, n_ranks, barrier, net, data, params, work, n_rows, writes, output):
    width, n_layers, row = net.sizes[net.n_layers], net.n_layers, rank * n_rows
    scratch = offset(work.scratch, rank * work.n_scratch)
    # A thread takes the next block of rows when it has finished one, so none waits long for a slower or busy core.
    takes, copy = n_ranks > 1, -1
    if data.n_samples >= PANELS_FROM * n_ranks and work.copies == n_ranks:  # else each product packs W itself
        for k in range(n_layers):
            if work.packs[k] >= 0:
                copy, fan_in, fan_out = rank, net.sizes[k], net.sizes[k + 1]
                o = copy * work.n_packed + work.packs[k]
                copy_to_panels(params, net.weight_offsets[k], 0, fan_in, fan_out, fan_in, work.packed, o)
    if copy >= 0:  # activations of so few rows stay in the second-level cache
        n_rows = min(n_rows, PANEL_ROWS)
    block = fetch_add_1(barrier) if takes else rank
    while block * n_rows < data.n_samples:
        first = block * n_rows
        rows = min(n_rows, data.n_samples - first)
        x0 = (first - row) * net.sizes[0]  # where row 0 of this block would start
        forward(scratch, net, params, data.X, x0, row, rows, work, False, copy, 0, 0, 0)
        o = work.blocks[n_layers] + row * width
        if writes:
            for i in range(rows * width):
                output[first * width + i] = work.a[o + i]
        if data.has_targets:
            y0, w0, sums = (
                (first - row) * width,
                first - row,
                offset(work.partial, first // EVALUATION_CHUNK_ROWS * SUMS),
            )
            loss_and_output_delta(
                net, data, data.Y, y0, data.weight, w0, row, row + rows, 0.0, work, sums, SUMS, EVALUATION_CHUNK_ROWS
            )
        block = fetch_add_1(barrier) if takes else block + n_ranks
