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
from ..workspace import GROUP_COLUMNS, LOSS, RIGHT, ROWS
from .elementwise import activate, backward, count_right, draw_mask, gather_rows, loss_and_delta, multiply, softmax_rows
from .training_loop import sums_index


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


product_forward, product_backward = make_product(_activate_rows, few=dots), make_product(backward_rows)


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
