"""Forward and backward pass of some rows of a micro-batch, layer by layer, with the losses in between.

The layout is that of layerwise.py, whose threads call these functions for the chunks of rows that they take.
"""

from __future__ import annotations

from ...formulas.activations import IDENTITY, SOFTMAX
from ...jit.decorators import helper, inline_helper
from ...simd.load_store import offset, scalar_like
from ...structs import METRIC_MARGIN, METRIC_NONE
from ..gemm.gemm import make_product
from ..gemm.skinny_gemm import dots
from ..workspace import GROUP_COLUMNS, LOSS, N_CORRECT, ROWS
from .elementwise import (
    activate,
    backward,
    count_correct,
    draw_mask,
    gather_rows,
    loss_and_delta,
    multiply,
    softmax_rows,
)
from .training_loop import sums_index


# Passes that make_product calls for rows i .. i + rows of a product: after the forward product the bias and the
# activation, after the backward product the dropout mask and the activation's derivative.
@helper
def _activate_rows(i, rows, extra):
    code, bias, keeps_z, width, z, a, o = extra
    activate(code, z, o + i * width, bias, 0, keeps_z, rows, width, a, o + i * width)


@helper
def backward_rows(i, rows, extra):
    code, stored, drops, mask, width, delta, o = extra
    o += i * width
    if drops:
        multiply(delta, o, mask, o, rows * width, delta, o)
    if code != IDENTITY:
        backward(code, stored, o, rows * width, delta, o)


product_forward, product_backward = make_product(_activate_rows, few=dots), make_product(backward_rows)


@helper
def forward(scratch, net, params, x, x0, row, rows, ws, training, copy, seed, step, start):
    """Run rows row .. row + rows of a micro-batch forward through all layers.

    Writes ws.a, and ws.z where it is needed; the output layer's z are logits, or log-probabilities with softmax.

    x, x0 : inputs; row 0 of the micro-batch starts at x[x0]
    copy : index of this thread's packed copy of the weights, -1 to read the weights as they are
    start : first row of the micro-batch in its batch
    """
    n_layers = net.n_layers
    source, source0 = x, x0 + row * net.sizes[0]
    for k in range(n_layers):
        fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
        o = ws.row_starts[k + 1] + row * fan_out
        drops = training and net.dropout[k] > 0.0
        keeps_z = net.keep_z[k] == 1
        z = ws.z if keeps_z or drops else ws.a
        w, w0, ldw = params, net.weight_offsets[k], fan_out
        if copy >= 0 and ws.packed_starts[k] >= 0:
            w, w0, ldw = ws.packed, copy * ws.n_packed + ws.packed_starts[k], 0
        raw = ws.z if drops and not keeps_z else ws.a
        extra = (net.activations[k], offset(params, net.bias_offsets[k]), keeps_z, fan_out, z, raw, o)
        product_forward(
            False, rows, fan_out, fan_in, source, source0, fan_in, w, w0, ldw, False, z, o, fan_out, scratch, extra
        )
        if drops:
            first, mask0 = start * fan_out, ws.row_starts[k + 1] - start * fan_out
            draw_mask(
                net.dropout[k], seed, step, k, first + row * fan_out, first + (row + rows) * fan_out, ws.mask, mask0
            )
            multiply(raw, o, ws.mask, o, rows * fan_out, ws.a, o)
        source, source0 = ws.a, o
    if net.activations[n_layers - 1] == SOFTMAX:
        o, width = ws.row_starts[n_layers] + row * net.sizes[n_layers], net.sizes[n_layers]
        softmax_rows(ws.z, o, rows, width, ws.a, o, scratch)


@inline_helper
def loss_and_output_delta(net, data, y, y0, weight, w0, row, last_row, scale, ws, sums, columns, group):
    """Write the losses, the numbers of correct samples and the output delta of rows row <= i < last_row of a
    micro-batch.

    y, y0, weight, w0 : targets and sample weights; row 0 of the micro-batch starts at y[y0] and weight[w0]
    scale : factor on the delta
    sums : written; one pair (loss, number correct) for each `group` rows, `columns` elements apart. The pairs do not
        depend on which thread has which rows, as long as no group is divided
    """
    n_layers, width, first, offset_of_sums = net.n_layers, net.sizes[net.n_layers], row, 0
    bound = scalar_like(y, net.margin if data.metric == METRIC_MARGIN else net.class_threshold)
    while first < last_row:
        rows = min(group, last_row - first)
        o, t, w = ws.row_starts[n_layers] + first * width, y0 + first * width, w0 + first
        n_correct, loss = (
            0.0,
            loss_and_delta(
                net.loss,
                ws.z,
                ws.a,
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
                ws.delta,
            ),
        )
        if data.metric != METRIC_NONE:
            n_correct = count_correct(data.metric, ws.a, o, y, t, data.has_weights, weight, w, rows, width, bound)
        sums[offset_of_sums + LOSS], sums[offset_of_sums + N_CORRECT] = loss / net.loss_width, n_correct
        first, offset_of_sums = first + group, offset_of_sums + columns


@helper
def n_row_groups(rows):
    """Return the number of groups of ROWS rows in a micro-batch of `rows` rows."""
    return (rows + ROWS - 1) // ROWS


@helper
def group_sums(ws, row, index, double_buffered):
    """Return the address of the sums of the group of rows that begins with `row` of a micro-batch."""
    return offset(ws.partial, sums_index(row // ROWS, index, double_buffered, GROUP_COLUMNS))


@inline_helper
def forward_and_loss(thread, net, data, config, params, ws, sums, micro_batch, row, end, copy):
    """Take rows row <= i < end of a micro-batch from the inputs to the deltas of the output layer.

    sums : written; pairs (loss, number correct) of the groups of rows from `row` on
    copy : index of this thread's packed copy of the weights, -1 to read the weights as they are
    """
    scratch = offset(ws.scratch, thread * ws.n_scratch)
    n_rows, n_layers, first = end - row, net.n_layers, micro_batch.first
    x, x0, y, y0, weight, w0 = data.X, first * net.sizes[0], data.Y, first * net.sizes[n_layers], data.weight, first
    if config.shuffle:
        x, x0, y, y0, weight, w0 = ws.a, 0, ws.y, 0, ws.weight, 0
        gather_rows(data.X, ws.order, first + row, n_rows, net.sizes[0], x, row * net.sizes[0])
        gather_rows(data.Y, ws.order, first + row, n_rows, net.sizes[n_layers], y, row * net.sizes[n_layers])
        if data.has_weights:
            gather_rows(data.weight, ws.order, first + row, n_rows, 1, weight, row)
    forward(scratch, net, params, x, x0, row, n_rows, ws, True, copy, config.seed, micro_batch.step, micro_batch.start)
    scale = 1.0 / (micro_batch.batch_rows * net.loss_width)
    loss_and_output_delta(net, data, y, y0, weight, w0, row, end, scale, ws, sums, GROUP_COLUMNS, ROWS)
    last, o, width = n_layers - 1, ws.row_starts[n_layers] + row * net.sizes[n_layers], net.sizes[n_layers]
    if not net.delta_is_wrt_logit and net.activations[last] != IDENTITY:
        backward(
            net.activations[last], ws.z if net.derivative_needs_z[last] == 1 else ws.a, o, n_rows * width, ws.delta, o
        )


@inline_helper
def derivative_of(net, ws, k, below):
    """Return the argument `extra` of backward_rows for the deltas of layer k's inputs, which start at `below`."""
    drops = net.dropout[k - 1] > 0.0
    stored = ws.z if drops or net.derivative_needs_z[k - 1] == 1 else ws.a
    return net.activations[k - 1], stored, drops, ws.mask, net.sizes[k], ws.delta, below


@inline_helper
def forward_backward(thread, net, data, config, params, ws, sums, micro_batch, row, end):
    """Take rows row <= i < end of a micro-batch forward and backward through all layers."""
    scratch, n_rows, copy = offset(ws.scratch, thread * ws.n_scratch), end - row, thread % ws.copies
    forward_and_loss(thread, net, data, config, params, ws, sums, micro_batch, row, end, copy)
    for k in range(net.n_layers - 1, 0, -1):
        fan_in, fan_out = net.sizes[k], net.sizes[k + 1]
        o, below = ws.row_starts[k + 1] + row * fan_out, ws.row_starts[k] + row * fan_in
        product_backward(
            False,
            n_rows,
            fan_in,
            fan_out,
            ws.delta,
            o,
            fan_out,
            ws.transposed,
            copy * ws.n_transposed + ws.transposed_starts[k],
            0,
            False,
            ws.delta,
            below,
            fan_in,
            scratch,
            derivative_of(net, ws, k, below),
        )
