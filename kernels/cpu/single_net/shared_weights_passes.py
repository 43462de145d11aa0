"""Forward and backward pass of some samples of a micro-batch through nets with shared weights, with losses in between.

The layout is that of shared_weights.py, whose threads call these functions for the chunks of samples that they take.
"""

from __future__ import annotations

from ...formulas.activations import IDENTITY, SOFTMAX
from ...jit.decorators import helper, inline_helper, linked_helper
from ...simd.load_store import fill, load_partial, load_scalar, offset, scalar_like, store_partial
from ...simd.reductions import sum_lanes
from ...structs import LANES, METRIC_MARGIN, METRIC_NONE
from ..gemm.operands import Matrix
from ..workspace import GROUP_COLUMNS, LOSS_COLUMN, N_CORRECT_COLUMN, TILE_ROWS
from .elementwise import Outputs, Targets, activate, backward, count_correct, loss_and_delta, softmax_rows
from .layerwise_gradients import pack_deltas_of
from .layerwise_passes import (
    BackwardPass,
    Dropout,
    backward_pass,
    backward_product,
    backward_rows,
    backward_through,
    forward_layers,
    group_sums,
)


@inline_helper
def gather_samples(net, data, shuffle, order, layers, nets, first, row, n):
    """Copy n samples to the buffers from sample `row` of the micro-batch on, with targets and weights for each net.

    first : number of the first of them in the data, or in their order
    """
    n_inputs, n_outputs, n_nets = net.sizes[0], net.sizes[net.n_layers + 1], nets.n_nets
    for r in range(n):
        i = first + r
        if shuffle:
            i = load_scalar(order, first + r)
        copy_row(data.X, i * n_inputs, n_inputs, layers.a, layers.row_starts[0] + (row + r) * n_inputs)
        for j in range(n_nets):
            o = (row + r) * n_nets + j
            copy_row(data.Y, i * n_outputs, n_outputs, nets.y, o * n_outputs)
            if data.has_weights:
                nets.weight[o] = load_scalar(data.weight, i)


@helper
def copy_row(source, i, width, out, o):
    for c in range(0, width, LANES):
        n = min(width - c, LANES)
        store_partial(out, o + c, n, load_partial(source, i + c, n, LANES))


@linked_helper()
def scale_inputs(x, x0, rows, width, scales, s0, n_nets, out, out0):
    """Write out (rows, n_nets, width) = x (rows, 1, width) * scales (n_nets, width)."""
    for r in range(rows):
        for j in range(n_nets):
            i, s, o = x0 + r * width, s0 + j * width, out0 + (r * n_nets + j) * width
            for c in range(0, width, LANES):
                n = min(width - c, LANES)
                store_partial(out, o + c, n, load_partial(x, i + c, n, LANES) * load_partial(scales, s + c, n, LANES))


@linked_helper()
def sum_scaled(x, rows, width, scales, s0, n_nets, out, out0):
    """Write out (rows, width) = sum over the nets of x (rows, n_nets, width) * scales (n_nets, width)."""
    for r in range(rows):
        for c in range(0, width, LANES):
            n, total = min(width - c, LANES), fill(out, 0.0, LANES)
            for j in range(n_nets):
                i, s = (r * n_nets + j) * width, s0 + j * width
                total += load_partial(x, i + c, n, LANES) * load_partial(scales, s + c, n, LANES)
            store_partial(out, out0 + r * width + c, n, total)


@linked_helper()
def output_products(a, a0, rows, width, n_nets, n_outputs, params, w0, b0, z, z0):
    """Write z (rows, n_outputs): of each row of a (rows, width), the output layer of its net.

    w0, b0 : index in params of the nets' W (n_nets, n_outputs, width) and b (n_nets, n_outputs)
    """
    for r in range(rows):
        j, i = r % n_nets, a0 + r * width
        for o in range(j * n_outputs, (j + 1) * n_outputs):
            total, w = fill(a, 0.0, LANES), w0 + o * width
            for c in range(0, width, LANES):
                n = min(width - c, LANES)
                total += load_partial(a, i + c, n, LANES) * load_partial(params, w + c, n, LANES)
            z[z0 + r * n_outputs + o - j * n_outputs] = sum_lanes(total) + load_scalar(params, b0 + o)


@linked_helper()
def output_deltas(delta, delta0, rows, n_outputs, n_nets, width, params, w0, below, below0):
    """Write below (rows, width): of each row of delta (rows, n_outputs), the product with the W of its net."""
    for r in range(rows):
        w, d, o = w0 + r % n_nets * n_outputs * width, delta0 + r * n_outputs, below0 + r * width
        for c in range(0, width, LANES):
            n, total = min(width - c, LANES), fill(below, 0.0, LANES)
            for q in range(n_outputs):
                total += load_partial(params, w + q * width + c, n, LANES) * load_scalar(delta, d + q)
            store_partial(below, o + c, n, total)


@inline_helper
def forward_rows(thread, scratch, net, params, layers, nets, row, n, copy, dropout):
    """Take n samples, which are gathered, from sample `row` of the micro-batch on to the outputs of all nets."""
    n_nets, n_inputs, n_outputs, k = nets.n_nets, net.sizes[0], net.sizes[net.n_layers + 1], nets.first
    first, rows, width, n_scaled = row * n_nets, n * n_nets, net.sizes[net.n_layers], net.sizes[k]
    inputs = Matrix(layers.a, layers.row_starts[0] + row * n_inputs, n_inputs)
    forward_layers(scratch, net, params, inputs, row, n, layers, copy, dropout, 0, k)  # which has no dropout
    scaled = offset(nets.scaled_rows, thread * nets.n_scaled_rows)
    o = layers.row_starts[k] + row * n_scaled
    scale_inputs(layers.a, o, n, n_scaled, params, nets.scales, n_nets, scaled, 0)
    inputs = Matrix(scaled, 0, n_scaled)
    forward_layers(scratch, net, params, inputs, first, rows, layers, copy, dropout, k, net.n_layers)
    a0, o = layers.row_starts[net.n_layers] + first * width, first * n_outputs
    output_products(
        layers.a, a0, rows, width, n_nets, n_outputs, params, nets.output_weights, nets.output_biases, nets.z, o
    )
    output = net.activations[net.n_layers]
    activate(output, nets.z, o, nets.zeros, 0, True, rows, n_outputs, nets.a, o)
    if output == SOFTMAX:
        softmax_rows(nets.z, o, rows, n_outputs, nets.a, o, scratch)


# ---- backward


@inline_helper
def loss_of_rows(net, data, nets, row, end, scale, sums):
    """Write losses, numbers of correct samples and deltas of the outputs of samples row <= i < end of a micro-batch.

    sums : written; a pair for each TILE_ROWS samples, GROUP_COLUMNS elements apart: means over the nets
    """
    n_nets, n_outputs, place = nets.n_nets, net.sizes[net.n_layers + 1], 0
    y = nets.y
    bound = scalar_like(y, net.margin if data.metric == METRIC_MARGIN else net.class_threshold)
    c = scalar_like(y, net.loss_constant)
    while row < end:
        n = min(TILE_ROWS, end - row)
        o, rows = row * n_nets, n * n_nets
        outputs = Outputs(nets.z, nets.a, nets.delta, o * n_outputs)
        targets = Targets(y, o * n_outputs, data.has_weights, nets.weight, o)
        loss, n_correct = loss_and_delta(net.loss, outputs, targets, scalar_like(y, scale), c, rows, n_outputs), 0.0
        if data.metric != METRIC_NONE:
            n_correct = count_correct(data.metric, outputs, targets, rows, n_outputs, bound)
        sums[place + LOSS_COLUMN] = loss / (net.loss_width * n_nets)
        sums[place + N_CORRECT_COLUMN] = n_correct / n_nets
        row, place = row + n, place + GROUP_COLUMNS


@inline_helper
def train_rows(thread, net, data, config, params, ws, micro_batch, row, end):
    """Take samples row <= i < end of a micro-batch forward and backward through all layers of all nets."""
    layers, nets, n = ws.layers, ws.nets, end - row
    n_nets, n_outputs, last = nets.n_nets, net.sizes[net.n_layers + 1], net.n_layers
    scratch, copy = offset(layers.scratch, thread * layers.n_scratch), thread % layers.copies
    gather_samples(net, data, config.shuffle, ws.order, layers, nets, micro_batch.first + row, row, n)
    factor = 1.0
    if config.drops_by_schedule:
        factor = config.dropout_factors[micro_batch.step - config.first_step]
    dropout = Dropout(True, config.seed, micro_batch.step, micro_batch.start * n_nets, factor)
    forward_rows(thread, scratch, net, params, layers, nets, row, n, copy, dropout)
    scale = 1.0 / (micro_batch.batch_rows * n_nets * net.loss_width)
    loss_of_rows(net, data, nets, row, end, scale, group_sums(layers, row, micro_batch.index, False))
    first, rows, o = row * n_nets, n * n_nets, row * n_nets * n_outputs
    if not net.delta_is_wrt_logit and net.activations[last] != IDENTITY:
        stored = nets.z if net.derivative_needs_z[last] == 1 else nets.a
        backward(net.activations[last], stored, o, rows * n_outputs, nets.delta, o)
    below = layers.row_starts[last] + first * net.sizes[last]
    output_deltas(
        nets.delta, o, rows, n_outputs, n_nets, net.sizes[last], params, nets.output_weights, layers.delta, below
    )
    backward_rows(0, rows, backward_pass(net, layers, last, below))
    backward_through(scratch, net, layers, first, first + rows, copy, last - 1, nets.first)
    pack_deltas_of(net, layers, micro_batch.rows * n_nets, first, first + rows, nets.first, last)
    if nets.first > 0:
        embedding_deltas(thread, scratch, net, params, layers, nets, row, n, copy)
        pack_deltas_of(net, layers, micro_batch.rows, row, end, 0, nets.first)


@helper
def embedding_deltas(thread, scratch, net, params, layers, nets, row, n, copy):
    """Write the deltas of the layers of the input embedding, of n samples from sample `row` of the micro-batch on."""
    k, n_nets = nets.first, nets.n_nets
    rows, n_scaled, fan_out = n * n_nets, net.sizes[k], net.sizes[k + 1]
    scaled = offset(nets.scaled_rows, thread * nets.n_scaled_rows)
    delta = Matrix(layers.delta, layers.row_starts[k + 1] + row * n_nets * fan_out, fan_out)
    start = copy * layers.n_transposed + layers.transposed_starts[k]
    nothing = BackwardPass(
        IDENTITY, layers.a, False, layers.mask, False, layers.z, layers.z_derivatives, n_scaled, scaled, 0
    )
    below = Matrix(scaled, 0, n_scaled)
    backward_product(rows, n_scaled, fan_out, delta, layers.transposed, start, below, scratch, nothing)
    o = layers.row_starts[k] + row * n_scaled
    sum_scaled(scaled, n, n_scaled, params, nets.scales, n_nets, layers.delta, o)
    backward_rows(0, n, backward_pass(net, layers, k, o))
    backward_through(scratch, net, layers, row, row + n, copy, k - 1, 0)
