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

from ...formulas.activations import IDENTITY, SOFTMAX
from ...formulas.update_rules import RULES
from ...jit.decorators import helper, inline_helper, kernel
from ...simd.load_store import as_pointers, offset, scalar_like
from ...structs import EVALUATION_CHUNK_ROWS, LINE, METRIC_MARGIN, METRIC_NONE, NO_UPDATE
from ..gemm.gemm import make_product, nothing_after, panel_sums, up_to
from ..gemm.microkernel import lanes_of
from ..gemm.skinny_gemm import dots, sums_of_rows
from ..threads.barrier import barrier_wait, fetch_add_1
from ..threads.work_stealing import chunk_range, layer_of_chunk, next_chunk
from ..workspace import (
    GROUP_COLUMNS,
    K_BLOCK,
    LINE_OF_COUNTS,
    LOSS,
    PANEL_ROWS,
    PANELS_FROM,
    RIGHT,
    ROWS,
    SUMS,
    VECTOR_BYTES,
)
from .elementwise import (
    activate,
    add,
    backward,
    column_sums,
    count_right,
    draw_mask,
    gather_rows,
    loss_and_delta,
    multiply,
    softmax_rows,
)
from .gradient_clipping import add_squares, clip_now
from .gradient_exchange import chunk_start, shard_gradient
from .optimizer_step import CLIP_NORM, update_range_of_layer
from .packed_weights import copy_to_panels, copy_weights
from .training_loop import make_loop, sums_index

N_STATE = tuple(row.n_state for row in RULES)


# Passes that make_product calls for rows i .. i + rows of a product: after the forward product the bias and the
# activation, after the backward product the dropout mask and the activation's derivative.
@helper
def _activate_rows(i, rows, extra):
    code, bias, keeps, width, z, a, o = extra
    activate(code, z, o + i * width, bias, 0, keeps, rows, width, a, o + i * width)


@helper
def backward_rows(i, rows, extra):
    code, kept, hides, mask, width, delta, o = extra
    o += i * width
    if hides:
        multiply(delta, o, mask, o, rows * width, delta, o)
    if code != IDENTITY:
        backward(code, kept, o, rows * width, delta, o)


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


product_forward, product_backward = make_product(_activate_rows, few=dots), make_product(backward_rows)
product_gradient = make_product(nothing_after, _update_ahead, few=sums_of_rows)


@helper
def forward(scratch, net, params, x, x0, row, rows, work, training, copy, seed, step, start):
    """Run rows row .. row + rows of a micro-batch forward through all layers.

    Writes work.a, and work.z where it is needed; the output layer's z are logits, or log-probabilities with softmax.

    x, x0 : inputs; row 0 of the micro-batch starts at x[x0]
    copy : index of this thread's packed copy of the weights, -1 to read the weights as they are
    start : first row of the micro-batch in its batch
    """
    n_layers = net.n_layers
    source, source0 = x, x0 + row * net.sizes[0]
    for k in range(n_layers):
        fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
        o = work.blocks[k + 1] + row * fan_out
        hides = training and net.dropout[k] > 0.0
        keeps = net.keep_z[k] == 1
        z = work.z if keeps or hides else work.a
        w, w0, ldw = params, net.weight_offsets[k], fan_out
        if copy >= 0 and work.packs[k] >= 0:
            w, w0, ldw = work.packed, copy * work.n_packed + work.packs[k], 0
        raw = work.z if hides and not keeps else work.a
        extra = (net.activations[k], offset(params, net.bias_offsets[k]), keeps, fan_out, z, raw, o)
        product_forward(
            False, rows, fan_out, fan_in, source, source0, fan_in, w, w0, ldw, False, z, o, fan_out, scratch, extra
        )
        if hides:
            first, mask0 = start * fan_out, work.blocks[k + 1] - start * fan_out
            draw_mask(
                net.dropout[k], seed, step, k, first + row * fan_out, first + (row + rows) * fan_out, work.mask, mask0
            )
            multiply(raw, o, work.mask, o, rows * fan_out, work.a, o)
        source, source0 = work.a, o
    if net.activations[n_layers - 1] == SOFTMAX:
        o, width = work.blocks[n_layers] + row * net.sizes[n_layers], net.sizes[n_layers]
        softmax_rows(work.z, o, rows, width, work.a, o, scratch)


@inline_helper
def loss_and_output_delta(net, data, y, y0, weight, w0, row, last_row, scale, work, sums, columns, group):
    """Write the losses, the numbers of correct samples and the output delta of rows row <= i < last_row of a
    micro-batch.

    y, y0, weight, w0 : targets and sample weights; row 0 of the micro-batch starts at y[y0] and weight[w0]
    scale : factor on the delta
    sums : written; one pair (loss, number correct) for each `group` rows, `columns` elements apart. The pairs do not
        depend on which thread has which rows, as long as no group is divided
    """
    n_layers, width, first, place = net.n_layers, net.sizes[net.n_layers], row, 0
    bound = scalar_like(y, net.margin if data.metric == METRIC_MARGIN else net.class_threshold)
    while first < last_row:
        rows = min(group, last_row - first)
        o, t, w = work.blocks[n_layers] + first * width, y0 + first * width, w0 + first
        right, loss = (
            0.0,
            loss_and_delta(
                net.loss,
                work.z,
                work.a,
                o,
                y,
                t,
                data.has_weights,
                weight,
                w,
                scalar_like(y, scale),
                scalar_like(y, net.loss_constant),
                rows,
                width,
                work.delta,
            ),
        )
        if data.metric != METRIC_NONE:
            right = count_right(data.metric, work.a, o, y, t, data.has_weights, weight, w, rows, width, bound)
        sums[place + LOSS], sums[place + RIGHT] = loss / net.loss_width, right
        first, place = first + group, place + columns


@helper
def n_row_groups(rows):
    """Return the number of groups of ROWS rows in a micro-batch of `rows` rows."""
    return (rows + ROWS - 1) // ROWS


@helper
def group_sums(work, row, turn, apart):
    """Return the address of the sums of the group of rows that begins with `row` of a micro-batch."""
    return offset(work.partial, sums_index(row // ROWS, turn, apart, GROUP_COLUMNS))


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


@inline_helper
def forward_and_loss(rank, net, data, course, params, work, sums, stage, row, end, copy):
    """Take rows row <= i < end of a micro-batch from the inputs to the deltas of the output layer.

    sums : written; pairs (loss, number correct) of the groups of rows from `row` on
    copy : index of this thread's packed copy of the weights, -1 to read the weights as they are
    """
    scratch = offset(work.scratch, rank * work.n_scratch)
    mine, n_layers, first = end - row, net.n_layers, stage.first
    x, x0, y, y0, weight, w0 = data.X, first * net.sizes[0], data.Y, first * net.sizes[n_layers], data.weight, first
    if course.shuffle:
        x, x0, y, y0, weight, w0 = work.a, 0, work.y, 0, work.weight, 0
        gather_rows(data.X, work.order, first + row, mine, net.sizes[0], x, row * net.sizes[0])
        gather_rows(data.Y, work.order, first + row, mine, net.sizes[n_layers], y, row * net.sizes[n_layers])
        if data.has_weights:
            gather_rows(data.weight, work.order, first + row, mine, 1, weight, row)
    forward(scratch, net, params, x, x0, row, mine, work, True, copy, course.seed, stage.step, stage.start)
    scale = 1.0 / (stage.batch_rows * net.loss_width)
    loss_and_output_delta(net, data, y, y0, weight, w0, row, end, scale, work, sums, GROUP_COLUMNS, ROWS)
    top, o, width = n_layers - 1, work.blocks[n_layers] + row * net.sizes[n_layers], net.sizes[n_layers]
    if not net.delta_is_wrt_logit and net.activations[top] != IDENTITY:
        backward(
            net.activations[top], work.z if net.derivative_needs_z[top] == 1 else work.a, o, mine * width, work.delta, o
        )


@inline_helper
def derivative_of(net, work, k, below):
    """Return the argument `extra` of backward_rows for the deltas of layer k's inputs, which start at `below`."""
    hides = net.dropout[k - 1] > 0.0
    kept = work.z if hides or net.derivative_needs_z[k - 1] == 1 else work.a
    return net.activations[k - 1], kept, hides, work.mask, net.sizes[k], work.delta, below


@inline_helper
def forward_backward(rank, net, data, course, params, work, sums, stage, row, end):
    """Take rows row <= i < end of a micro-batch forward and backward through all layers."""
    scratch, mine, copy = offset(work.scratch, rank * work.n_scratch), end - row, rank % work.copies
    forward_and_loss(rank, net, data, course, params, work, sums, stage, row, end, copy)
    for k in range(net.n_layers - 1, 0, -1):
        fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
        o, below = work.blocks[k + 1] + row * fan_out, work.blocks[k] + row * fan_in
        product_backward(
            False,
            mine,
            fan_in,
            fan_out,
            work.delta,
            o,
            fan_out,
            work.transposed,
            copy * work.n_transposed + work.panels[k],
            0,
            False,
            work.delta,
            below,
            fan_in,
            scratch,
            derivative_of(net, work, k, below),
        )


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
