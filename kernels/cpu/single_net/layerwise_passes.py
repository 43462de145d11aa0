"""Forward and backward pass of some rows of a micro-batch, layer by layer, with the losses in between.

The layout is that of layerwise.py, whose threads call these functions for the chunks of rows that they take.
"""

from __future__ import annotations

from typing import NamedTuple

from ...formulas.activations import IDENTITY, SOFTMAX
from ...jit.decorators import helper, inline_helper, linked_helper
from ...simd.load_store import offset, scalar_like
from ...structs import COLUMNS_PER_SHARE, METRIC_MARGIN, METRIC_NONE
from ..gemm.gemm import product, product_kind
from ..gemm.microkernel import Matrix
from ..gemm.skinny_gemm import DOTS
from ..threads.in_kernels import barrier_start, barrier_wait, chunk_start
from ..workspace import GROUP_COLUMNS, LOSS_COLUMN, N_CORRECT_COLUMN, TILE_ROWS
from .column_passes import backward
from .elementwise import (
    WIDTH,
    Outputs,
    Targets,
    activate,
    count_correct,
    draw_mask,
    gather_rows,
    loss_and_delta,
    multiply,
    softmax_rows,
)
from .training_loop import sums_index

# Shares of a layer's outputs, for one row on several threads, begin at multiples of so many. As a layer has a share for
# every COLUMNS_PER_SHARE outputs at most, each has 65 or more: with eight or fewer the product would be skinny, with
# another order of sums and so other bits.
SHARE_STEP = COLUMNS_PER_SHARE // 2


class Dropout(NamedTuple):
    """Random numbers of the dropout masks of a micro-batch."""

    draws: bool  # whether masks are drawn and applied; False without training
    seed: int
    step: int  # number of the optimiser step
    start: int  # first row of the micro-batch in its batch


FORWARD, BACKWARD = product_kind(skinny=DOTS), product_kind()


@linked_helper()
def forward_product(rows, n, k, a, weights, z, scratch):
    """Write z (rows, n) = a (rows, k) @ weights."""
    product(FORWARD, False, rows, n, k, a, weights, False, z, scratch, 0)


@linked_helper()
def backward_product(rows, n, k, delta, transposed, start, delta_below, scratch):
    """Write delta_below (rows, n) = delta (rows, k) @ weights, which are in panels from `start` on."""
    product(BACKWARD, False, rows, n, k, delta, Matrix(transposed, start, 0), False, delta_below, scratch, 0)


@helper
def forward(scratch, net, params, inputs, row, rows, ws, copy, dropout):
    """Run rows row .. row + rows of a micro-batch forward through all layers.

    Writes ws.a, and ws.z where it is needed; the output layer's z are logits, or log-probabilities with softmax.

    inputs : Matrix of the micro-batch
    copy : index of this thread's packed copy of the weights, -1 to read the weights as they are
    dropout : Dropout
    """
    source = Matrix(inputs.data, inputs.start + row * net.sizes[0], net.sizes[0])
    for k in range(net.n_layers):
        fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
        o = ws.row_starts[k + 1] + row * fan_out
        drops = dropout.draws and net.dropout[k] > 0.0
        keeps_z = net.keep_z[k] == 1
        z = ws.z if keeps_z or drops else ws.a
        weights = Matrix(params, net.weight_offsets[k], fan_out)
        if copy >= 0 and ws.packed_starts[k] >= 0:
            weights = Matrix(ws.packed, copy * ws.n_packed + ws.packed_starts[k], 0)
        raw = ws.z if drops and not keeps_z else ws.a
        forward_product(rows, fan_out, fan_in, source, weights, Matrix(z, o, fan_out), scratch)
        activate(net.activations[k], z, o, params, net.bias_offsets[k], keeps_z, rows, fan_out, raw, o)
        if drops:
            mask0, first = ws.row_starts[k + 1] - dropout.start * fan_out, dropout.start * fan_out
            first, end = first + row * fan_out, first + (row + rows) * fan_out
            draw_mask(net.dropout[k], dropout.seed, dropout.step, k, first, end, ws.mask, mask0)
            multiply(raw, o, ws.mask, o, rows * fan_out, ws.a, o)
        source = Matrix(ws.a, o, fan_out)
    softmax_of_rows(scratch, net, ws, row, rows)


@helper
def softmax_of_rows(scratch, net, ws, row, rows):
    """Write the outputs of rows row .. row + rows, and their log-probabilities, if the output layer has softmax."""
    if net.activations[net.n_layers - 1] == SOFTMAX:
        o, width = ws.row_starts[net.n_layers] + row * net.sizes[net.n_layers], net.sizes[net.n_layers]
        softmax_rows(ws.z, o, rows, width, ws.a, o, scratch)


@inline_helper
def forward_row(thread, n_threads, barrier, scratch, net, params, inputs, ws):
    """Run one row forward through all layers, whose outputs the threads divide, with a barrier after each layer.

    Writes row 0 of ws.a and ws.z, with the bits of `forward`. Return False if the start is called off.

    inputs : Matrix of the row
    """
    if not barrier_start(barrier, n_threads):
        return False
    n_barriers, source = 1, inputs
    for k in range(net.n_layers):
        fan_in, fan_out, o = net.sizes[k], net.sizes[k + 1], ws.row_starts[k + 1]
        n_shares = max(1, min(n_threads, fan_out // COLUMNS_PER_SHARE))
        first = chunk_start(min(thread, n_shares), n_shares, fan_out, SHARE_STEP)
        end = chunk_start(min(thread + 1, n_shares), n_shares, fan_out, SHARE_STEP)
        if first < end:
            keeps_z, start = net.keep_z[k] == 1, o + first
            z, bias = ws.z if keeps_z else ws.a, net.bias_offsets[k] + first
            weights = Matrix(params, net.weight_offsets[k] + first, fan_out)
            forward_product(1, end - first, fan_in, source, weights, Matrix(z, start, fan_out), scratch)
            activate(net.activations[k], z, start, params, bias, keeps_z, 1, end - first, ws.a, start)
        n_barriers = barrier_wait(barrier, n_threads, n_barriers)
        source = Matrix(ws.a, o, fan_out)
    return True


@inline_helper
def loss_and_output_delta(net, metric, targets, row, last_row, scale, ws, sums, columns, group):
    """Write the losses, the numbers of correct samples and the output delta of rows row <= i < last_row of a
    micro-batch.

    metric : one of METRIC_*
    targets : Targets of the micro-batch
    scale : factor on the delta
    sums : written; one pair (loss, number correct) for each `group` rows, `columns` elements apart. The pairs do not
        depend on which thread has which rows, as long as no group is divided
    """
    n_layers, width, first, place = net.n_layers, net.sizes[net.n_layers], row, 0
    y = targets.y
    bound = scalar_like(y, net.margin if metric == METRIC_MARGIN else net.class_threshold)
    while first < last_row:
        rows = min(group, last_row - first)
        outputs = Outputs(ws.z, ws.a, ws.delta, ws.row_starts[n_layers] + first * width)
        chunk = Targets(
            y, targets.start + first * width, targets.has_weights, targets.weight, targets.weight_start + first
        )
        c, n_correct = scalar_like(y, net.loss_constant), 0.0
        loss = loss_and_delta(net.loss, outputs, chunk, scalar_like(y, scale), c, rows, width)
        if metric != METRIC_NONE:
            n_correct = count_correct(metric, outputs, chunk, rows, width, bound)
        sums[place + LOSS_COLUMN], sums[place + N_CORRECT_COLUMN] = loss / net.loss_width, n_correct
        first, place = first + group, place + columns


@helper
def n_row_groups(rows):
    """Return the number of groups of TILE_ROWS rows in a micro-batch of `rows` rows."""
    return (rows + TILE_ROWS - 1) // TILE_ROWS


@helper
def group_sums(ws, row, index, double_buffered):
    """Return the address of the sums of the group of rows that begins with `row` of a micro-batch."""
    return offset(ws.partial, sums_index(row // TILE_ROWS, index, double_buffered, GROUP_COLUMNS))


@inline_helper
def forward_and_loss(thread, net, data, config, params, ws, sums, micro_batch, row, end, copy):
    """Take rows row <= i < end of a micro-batch from the inputs to the deltas of the output layer.

    sums : written; pairs (loss, number correct) of the groups of rows from `row` on
    copy : index of this thread's packed copy of the weights, -1 to read the weights as they are
    """
    scratch = offset(ws.scratch, thread * ws.n_scratch)
    n_rows, n_layers, first = end - row, net.n_layers, micro_batch.first
    width = net.sizes[n_layers]
    inputs = Matrix(data.X, first * net.sizes[0], net.sizes[0])
    targets = Targets(data.Y, first * width, data.has_weights, data.weight, first)
    if config.shuffle:
        inputs, targets = Matrix(ws.a, 0, net.sizes[0]), Targets(ws.y, 0, data.has_weights, ws.weight, 0)
        gather_rows(data.X, ws.order, first + row, n_rows, net.sizes[0], ws.a, row * net.sizes[0])
        gather_rows(data.Y, ws.order, first + row, n_rows, width, ws.y, row * width)
        if data.has_weights:
            gather_rows(data.weight, ws.order, first + row, n_rows, 1, ws.weight, row)
    dropout = Dropout(True, config.seed, micro_batch.step, micro_batch.start)
    forward(scratch, net, params, inputs, row, n_rows, ws, copy, dropout)
    scale = 1.0 / (micro_batch.batch_rows * net.loss_width)
    loss_and_output_delta(net, data.metric, targets, row, end, scale, ws, sums, GROUP_COLUMNS, TILE_ROWS)
    last, o = n_layers - 1, ws.row_starts[n_layers] + row * width
    if not net.delta_is_wrt_logit and net.activations[last] != IDENTITY:
        stored = ws.z if net.derivative_needs_z[last] == 1 else ws.a
        backward(net.activations[last], stored, ws.delta, o, n_rows * width, WIDTH)


@helper
def backward_activation(net, ws, k, start, rows):
    """Multiply the deltas of layer k's inputs, `rows` rows from `start` on, by their dropout mask and derivative."""
    size, code, drops = rows * net.sizes[k], net.activations[k - 1], net.dropout[k - 1] > 0.0
    if drops:
        multiply(ws.delta, start, ws.mask, start, size, ws.delta, start)
    if code != IDENTITY:
        backward(code, ws.z if drops or net.derivative_needs_z[k - 1] == 1 else ws.a, ws.delta, start, size, WIDTH)


@inline_helper
def forward_backward(thread, net, data, config, params, ws, sums, micro_batch, row, end):
    """Take rows row <= i < end of a micro-batch forward and backward through all layers."""
    copy, scratch = thread % ws.copies, offset(ws.scratch, thread * ws.n_scratch)
    forward_and_loss(thread, net, data, config, params, ws, sums, micro_batch, row, end, copy)
    for k in range(net.n_layers - 1, 0, -1):
        fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
        o, below = ws.row_starts[k + 1] + row * fan_out, ws.row_starts[k] + row * fan_in
        delta = Matrix(ws.delta, o, fan_out)
        start = copy * ws.n_transposed + ws.transposed_starts[k]
        delta_below = Matrix(ws.delta, below, fan_in)
        backward_product(end - row, fan_in, fan_out, delta, ws.transposed, start, delta_below, scratch)
        backward_activation(net, ws, k, below, end - row)


@helper
def layer_inputs(net, data, config, ws, k, micro_batch):
    """Return the inputs of layer k as a Matrix, all rows of the micro-batch."""
    if k == 0 and not config.shuffle:
        return Matrix(data.X, micro_batch.first * net.sizes[0], net.sizes[0])
    return Matrix(ws.a, ws.row_starts[k], net.sizes[k])
