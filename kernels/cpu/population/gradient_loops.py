"""Gradients of many small nets with nets as SIMD lanes: all that a block of nets needs in a step stays in the cache.

Arrays hold the values of a block's nets side by side: parameter q of the net in lane l is at q * lanes + l, and unit u
of sample s of a tile (gradient.py) at (u * m + s) * lanes + l. No operation mixes lanes, so a net's numbers do not
depend on its neighbours. `block` is a LaneBlock (workspace.py) whose field `lanes` is a simd.lanes.Lanes.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ...formulas.activations import IDENTITY, SOFTMAX
from ...formulas.counter_rng import DROPOUT, philox
from ...jit.decorators import helper, inline_helper, linked_helper
from ...jit.intrinsics import dereference
from ...simd.load_store import fill, load, load_scalar, scalar_like, store
from ...structs import METRIC_MARGIN, METRIC_NONE
from ..single_net.column_passes import activate, backward, count_correct, loss_and_delta, softmax_columns
from ..single_net.elementwise import Outputs
from ..unrolled.population_codegen import SUMS_NEVER
from ..workspace import EPOCH, FILLED_FIRST, FILLED_N
from .gradient import fill_tile


class Weights(NamedTuple):
    """Weights of a layer, or their transpose: the weight of input i for output o is p[start + o * out_step + ...]."""

    p: Any  # parameters, or gradients
    start: int
    out_step: int
    in_step: int
    bias: int  # number of the first bias; -1 for none


class Units(NamedTuple):
    """Values of a layer's units for the samples of a tile."""

    values: Any
    start: int
    n: int  # units


@helper
def dense(weights, x, y, m, lanes):
    """Write y[o, s] = bias[o] + sum over i of weight[i, o] * x[i, s], for m samples.

    Four samples share each load of a weight.
    """
    p, whole = weights.p, m - m % 4
    for o in range(y.n):
        w = weights.start + o * weights.out_step
        start = load(p, (weights.bias + o) * lanes, lanes) if weights.bias >= 0 else fill(p, 0.0, lanes)
        for s in range(0, whole, 4):
            v0 = v1 = v2 = v3 = start
            for i in range(x.n):
                weight, k = load(p, (w + i * weights.in_step) * lanes, lanes), x.start + (i * m + s) * lanes
                v0 = load(x.values, k, lanes) * weight + v0
                v1 = load(x.values, k + lanes, lanes) * weight + v1
                v2 = load(x.values, k + 2 * lanes, lanes) * weight + v2
                v3 = load(x.values, k + 3 * lanes, lanes) * weight + v3
            k = y.start + (o * m + s) * lanes
            store(y.values, k, v0)
            store(y.values, k + lanes, v1)
            store(y.values, k + 2 * lanes, v2)
            store(y.values, k + 3 * lanes, v3)
        for s in range(whole, m):
            v = start
            for i in range(x.n):
                weight = load(p, (w + i * weights.in_step) * lanes, lanes)
                v = load(x.values, x.start + (i * m + s) * lanes, lanes) * weight + v
            store(y.values, y.start + (o * m + s) * lanes, v)


@helper
def weight_gradients(x, delta, m, gradient, adds, lanes):
    """Write a layer's gradient: the sum over samples s of x[i, s] * delta[j, s], for biases that of delta[j, s].

    x, delta : Units, the layer's inputs and deltas
    gradient : Weights, where the gradient is written; a step of 1 from output to output
    adds : whether to add to what is there
    """
    g, a, whole, zero = gradient.p, x.values, x.n - x.n % 4, fill(gradient.p, 0.0, lanes)
    for j in range(delta.n):
        d0, k = delta.start + j * m * lanes, (gradient.bias + j) * lanes
        v = load(g, k, lanes) if adds else zero
        for s in range(m):
            v += load(delta.values, d0 + s * lanes, lanes)
        store(g, k, v)
        for i in range(0, whole, 4):
            k, step = (gradient.start + i * gradient.in_step + j) * lanes, gradient.in_step * lanes
            x0 = x.start + i * m * lanes
            v0 = v1 = v2 = v3 = zero
            if adds:
                v0, v1 = load(g, k, lanes), load(g, k + step, lanes)
                v2, v3 = load(g, k + 2 * step, lanes), load(g, k + 3 * step, lanes)
            for s in range(m):
                d, q = load(delta.values, d0 + s * lanes, lanes), x0 + s * lanes
                v0 = load(a, q, lanes) * d + v0
                v1 = load(a, q + m * lanes, lanes) * d + v1
                v2 = load(a, q + 2 * m * lanes, lanes) * d + v2
                v3 = load(a, q + 3 * m * lanes, lanes) * d + v3
            store(g, k, v0)
            store(g, k + step, v1)
            store(g, k + 2 * step, v2)
            store(g, k + 3 * step, v3)
        for i in range(whole, x.n):
            k = (gradient.start + i * gradient.in_step + j) * lanes
            v = load(g, k, lanes) if adds else zero
            for s in range(m):
                v = load(a, x.start + (i * m + s) * lanes, lanes) * load(delta.values, d0 + s * lanes, lanes) + v
            store(g, k, v)


@inline_helper
def draw_masks(nets, block, layer, units, tile, batch, n_batches):
    """Draw each net's own dropout mask for a tile, as single_net/elementwise.draw_mask draws it.

    units : Units, the mask's place and size
    """
    mask, width, lanes = units.values, units.n, block.lanes
    for lane in range(block.n_lanes):
        if block.net_index[lane] < 0:
            continue
        step = (block.clock[EPOCH] - block.start_epoch[lane]) * n_batches + batch
        rate = block.dropout[layer * lanes + lane]
        threshold = np.uint64(rate * 4294967296.0)
        scaled, dropped = scalar_like(mask, 1.0 / (1.0 - rate)), scalar_like(mask, 0.0)
        low, high = tile.row * width, (tile.row + tile.m) * width
        for group in range(low >> 2, (high + 3) >> 2):
            word = philox(group, step, DROPOUT, layer, nets.seeds[block.net_index[lane]])
            for q in range(4):
                e = 4 * group + q
                if low <= e < high:
                    row, unit = e // width - tile.row, e % width
                    mask[units.start + (unit * tile.m + row) * lanes + lane] = (
                        scaled if word[q] >= threshold else dropped
                    )


@inline_helper
def drop_units(net, block, layer, first, end):
    """Multiply a layer's outputs by their mask; keep the outputs before that in block.z unless f' needs its inputs."""
    lanes = block.lanes
    for i in range(first, end, lanes):
        v = load(block.a, i, lanes)
        if load_scalar(net.derivative_needs_z, layer) != 1:
            store(block.z, i, v)
        store(block.a, i, v * load(block.mask, i, lanes))


@linked_helper()
def forward(net, nets, block, tile, batch, n_batches, training):
    """Run the samples of a tile forward through all layers.

    Writes block.a, and block.z where it is needed; the output layer's z are logits, or log-probabilities with softmax.

    net, nets, block : references
    """
    net, nets, block = dereference(net), dereference(nets), dereference(block)
    lanes = block.lanes
    columns = tile.m * lanes
    for k in range(net.n_layers):
        fan_in, fan_out = load_scalar(net.sizes, k), load_scalar(net.sizes, k + 1)
        below, above = load_scalar(block.units, k) * columns, load_scalar(block.units, k + 1) * columns
        weight_start, bias = load_scalar(net.weight_offsets, k), load_scalar(net.bias_offsets, k)
        weights = Weights(block.p, weight_start, 1, fan_out, bias)
        dense(weights, Units(block.a, below, fan_in), Units(block.a, above, fan_out), tile.m, lanes)
        size = fan_out * columns
        code, keep_z = load_scalar(net.activations, k), load_scalar(net.keep_z, k) == 1
        activate(code, block.z, block.a, above, size, keep_z, lanes)
        if training and load_scalar(net.dropout, k) > 0.0:
            draw_masks(nets, block, k, Units(block.mask, above, fan_out), tile, batch, n_batches)
            drop_units(net, block, k, above, above + size)
    if load_scalar(net.activations, net.n_layers - 1) == SOFTMAX:
        size = load_scalar(net.sizes, net.n_layers) * columns
        softmax_columns(block.z, block.a, load_scalar(block.units, net.n_layers) * columns, columns, size, lanes)


@linked_helper()
def add_losses(net, block, metric, m, scale, loss, n_correct):
    """Add each lane's sum of losses and number of correct samples over a tile; write the output delta.

    net, block : references
    metric : as Samples.metric; METRIC_NONE counts no correct samples
    scale : factor on the delta
    loss, n_correct : (lanes,), added to
    """
    net, block = dereference(net), dereference(block)
    lanes, n_layers = block.lanes, net.n_layers
    columns = m * lanes
    start, size = load_scalar(block.units, n_layers) * columns, load_scalar(net.sizes, n_layers) * columns
    outputs, c = Outputs(block.z, block.a, block.delta, start), scalar_like(block.a, net.loss_constant)
    factor = scalar_like(block.a, scale)
    of_tile = loss_and_delta(net.loss, outputs, block.y, block.weight, columns, size, factor, c, lanes)
    store(loss, 0, load(loss, 0, lanes) + of_tile * scalar_like(block.a, 1.0 / net.loss_width))
    if metric != METRIC_NONE:
        bound = scalar_like(block.a, net.margin if metric == METRIC_MARGIN else net.class_threshold)
        correct = count_correct(metric, block.a, start, block.y, columns, size, block.weight, bound, lanes)
        store(n_correct, 0, load(n_correct, 0, lanes) + correct)


@linked_helper()
def backpropagate(net, block, m, adds):
    """Compute the gradient of a tile in block.g, added to that of the batch's earlier tiles if `adds`.

    net, block : references
    """
    net, block = dereference(net), dereference(block)
    lanes = block.lanes
    columns = m * lanes
    for k in range(net.n_layers - 1, -1, -1):
        fan_in, fan_out = load_scalar(net.sizes, k), load_scalar(net.sizes, k + 1)
        weight_start, bias = load_scalar(net.weight_offsets, k), load_scalar(net.bias_offsets, k)
        below, above = load_scalar(block.units, k) * columns, load_scalar(block.units, k + 1) * columns
        drops = load_scalar(net.dropout, k) > 0.0
        if drops:
            for i in range(above, above + fan_out * columns, lanes):
                store(block.delta, i, load(block.delta, i, lanes) * load(block.mask, i, lanes))
        code = IDENTITY if k == net.n_layers - 1 and net.delta_is_wrt_logit else load_scalar(net.activations, k)
        stored_activation = block.z if drops or load_scalar(net.derivative_needs_z, k) == 1 else block.a
        if code != IDENTITY:
            backward(code, stored_activation, block.delta, above, fan_out * columns, lanes)
        delta = Units(block.delta, above, fan_out)
        gradient = Weights(block.g, weight_start, 1, fan_out, bias)
        weight_gradients(Units(block.a, below, fan_in), delta, m, gradient, adds, lanes)
        if k > 0:
            transposed = Weights(block.p, weight_start, fan_out, 1, -1)
            dense(transposed, delta, Units(block.delta, below, fan_in), m, lanes)


@inline_helper
def gradient_by_loops(task, request, tile, scale):
    """Add a tile's part of the gradient and of the sums of losses and correct samples, with loops over units.

    task : Task of train.py
    request : BatchRequest of gradient.py
    scale : factor on the gradient
    """
    refs, block, shuffle = task.refs, task.block, task.config.shuffle
    if shuffle or block.filled[FILLED_FIRST] != tile.first or block.filled[FILLED_N] != tile.n:
        fill_tile(task.net, task.data, task.nets, block, task.nets.own_data, shuffle, tile, 1.0)
    forward(refs.net, refs.nets, refs.block, tile, request.batch, request.n_batches, True)
    metric = task.data.metric if request.sums_level != SUMS_NEVER else METRIC_NONE
    add_losses(refs.net, refs.block, metric, tile.m, scale, block.loss, block.n_correct)
    backpropagate(refs.net, refs.block, tile.m, tile.row > 0)


@inline_helper
def no_gradient(task, request, tile, scale):
    """Do nothing: all nets have unrolled code."""
