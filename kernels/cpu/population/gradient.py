"""Gradients of many small nets with nets as SIMD lanes: all that a block of nets needs in a step stays in the cache.

Arrays hold the values of a block's nets side by side: parameter q of the net in lane l is at q * lanes + l. Samples are
columns, as in single_net/column_passes.py: unit u of sample s is at (u * m + s) * lanes, for the m samples of a tile.
No operation mixes lanes, so a net's numbers do not depend on its neighbours. A block has LANES nets, or UNROLLED_LANES.
"""

from __future__ import annotations

import numpy as np

from ...formulas.activations import IDENTITY, SOFTMAX
from ...formulas.counter_rng import DROPOUT, permutation, philox
from ...jit.decorators import helper, inline_helper
from ...simd.load_store import fill, load, load_scalar, offset, scalar_like, store
from ...structs import METRIC_ARGMAX, METRIC_MARGIN, METRIC_NONE
from ..single_net.column_passes import make_passes
from ..unrolled.population_codegen import EVERY_LOSS as EVERY_LOSS
from ..unrolled.population_codegen import EVERY_STEP as EVERY_STEP
from ..unrolled.population_codegen import LAST_STEP as LAST_STEP
from ..unrolled.population_codegen import NEVER, PopulationArguments, call_unrolled
from ..workspace import INTERLEAVED_SAMPLES


def make_loops(lanes):
    """Return (dense, weight_gradients, fill_tile, forward, judge, by_loops) for blocks of this many lanes."""

    activate, backward, loss_and_delta, softmax_columns, count_right = make_passes(lanes)

    @helper
    def fill_tile(net, data, nets, w, mixed, shuffle, first, n, m, scale):
        """Write samples first .. first + n to the m columns of a tile; columns past n get weight 0.

        mixed : whether nets have data of their own
        scale : factor on the samples' weights
        """
        n_features, n_outputs = net.sizes[0], net.sizes[net.n_layers]
        if mixed or shuffle:
            for lane in range(w.lanes):
                owner = max(w.net[lane], 0)
                x, y, v = owner * nets.X_stride, owner * nets.Y_stride, owner * nets.weight_stride
                for s in range(n):
                    sample = first + s
                    if shuffle:
                        sample = w.order[lane * data.n_samples + sample]
                    for i in range(n_features):
                        w.a[(i * m + s) * lanes + lane] = data.X[x + sample * n_features + i]
                    if data.has_targets:
                        for j in range(n_outputs):
                            w.y[(j * m + s) * lanes + lane] = data.Y[y + sample * n_outputs + j]
                    weight = float(data.weight[v + sample]) if data.has_weights else 1.0
                    w.weight[s * lanes + lane] = scalar_like(w.weight, weight * scale)
        else:
            for s in range(n):
                sample = first + s
                for i in range(n_features):
                    store(w.a, (i * m + s) * lanes, fill(w.a, load_scalar(data.X, sample * n_features + i), lanes))
                if data.has_targets:
                    for j in range(n_outputs):
                        store(w.y, (j * m + s) * lanes, fill(w.y, load_scalar(data.Y, sample * n_outputs + j), lanes))
                weight = float(load_scalar(data.weight, sample)) if data.has_weights else 1.0
                store(w.weight, s * lanes, fill(w.weight, weight * scale, lanes))
        for s in range(n, m):
            store(w.weight, s * lanes, fill(w.weight, 0.0, lanes))
        w.filled[0], w.filled[1] = first, n

    @helper
    def dense(p, w0, out_step, in_step, biased, b0, x, x0, n_in, n_out, m, y, y0):
        """Write y[o, s] = b[o] + sum over i of p[w0 + o * out_step + i * in_step] * x[i, s].

        Four samples share each load of a weight. b[o] is p[b0 + o] if `biased`, else 0.
        """
        whole = m - m % 4
        for o in range(n_out):
            w = w0 + o * out_step
            start = load(p, (b0 + o) * lanes, lanes) if biased else fill(p, 0.0, lanes)
            for s in range(0, whole, 4):
                v0 = v1 = v2 = v3 = start
                for i in range(n_in):
                    weight, k = load(p, (w + i * in_step) * lanes, lanes), x0 + (i * m + s) * lanes
                    v0 = load(x, k, lanes) * weight + v0
                    v1 = load(x, k + lanes, lanes) * weight + v1
                    v2 = load(x, k + 2 * lanes, lanes) * weight + v2
                    v3 = load(x, k + 3 * lanes, lanes) * weight + v3
                k = y0 + (o * m + s) * lanes
                store(y, k, v0)
                store(y, k + lanes, v1)
                store(y, k + 2 * lanes, v2)
                store(y, k + 3 * lanes, v3)
            for s in range(whole, m):
                v = start
                for i in range(n_in):
                    v = load(x, x0 + (i * m + s) * lanes, lanes) * load(p, (w + i * in_step) * lanes, lanes) + v
                store(y, y0 + (o * m + s) * lanes, v)

    @helper
    def weight_gradients(a, below, delta, above, fan_in, fan_out, m, g, w0, b0, adds):
        """Write the gradient to g: the sum over samples s of a[i, s] * delta[j, s], for biases that of delta[j, s].

        adds : whether to add to what g holds
        """
        whole, zero = fan_in - fan_in % 4, fill(g, 0.0, lanes)
        for j in range(fan_out):
            d0, k = above + j * m * lanes, (b0 + j) * lanes
            v = load(g, k, lanes) if adds else zero
            for s in range(m):
                v += load(delta, d0 + s * lanes, lanes)
            store(g, k, v)
            for i in range(0, whole, 4):
                k, step, x = (w0 + i * fan_out + j) * lanes, fan_out * lanes, below + i * m * lanes
                v0 = v1 = v2 = v3 = zero
                if adds:
                    v0, v1 = load(g, k, lanes), load(g, k + step, lanes)
                    v2, v3 = load(g, k + 2 * step, lanes), load(g, k + 3 * step, lanes)
                for s in range(m):
                    d, q = load(delta, d0 + s * lanes, lanes), x + s * lanes
                    v0 = load(a, q, lanes) * d + v0
                    v1 = load(a, q + m * lanes, lanes) * d + v1
                    v2 = load(a, q + 2 * m * lanes, lanes) * d + v2
                    v3 = load(a, q + 3 * m * lanes, lanes) * d + v3
                store(g, k, v0)
                store(g, k + step, v1)
                store(g, k + 2 * step, v2)
                store(g, k + 3 * step, v3)
            for i in range(whole, fan_in):
                k = (w0 + i * fan_out + j) * lanes
                v = load(g, k, lanes) if adds else zero
                for s in range(m):
                    v = load(a, below + (i * m + s) * lanes, lanes) * load(delta, d0 + s * lanes, lanes) + v
                store(g, k, v)

    @helper
    def draw_masks(
        n_lanes, rates, seeds, lane_net, layer, width, first, m, epoch_start, clock, n_batches, batch, mask, mask0
    ):
        """Draw each net's own dropout mask for a tile, as single_net/elementwise.draw_mask draws it.

        first : row of the batch in which the tile begins
        """
        for lane in range(n_lanes):
            if lane_net[lane] < 0:
                continue
            rate = rates[layer * lanes + lane]
            threshold = np.uint64(rate * 4294967296.0)
            kept, dropped = scalar_like(mask, 1.0 / (1.0 - rate)), scalar_like(mask, 0.0)
            step = (clock - epoch_start[lane]) * n_batches + batch
            low, high = first * width, (first + m) * width
            for group in range(low >> 2, (high + 3) >> 2):
                word = philox(group, step, DROPOUT, layer, seeds[lane_net[lane]])
                for q in range(4):
                    e = 4 * group + q
                    if low <= e < high:
                        row, unit = e // width - first, e % width
                        mask[mask0 + (unit * m + row) * lanes + lane] = kept if word[q] >= threshold else dropped

    @helper
    def forward(net, nets, w, params, m, first, batch, n_batches, training):
        """Run the m samples of a tile forward through all layers.

        Writes w.a, and w.z where it is needed; the output layer's z are logits, or log-probabilities with softmax.
        """
        columns = m * lanes
        for k in range(net.n_layers):
            fan_in, fan_out = load_scalar(net.sizes, k), load_scalar(net.sizes, k + 1)
            below, above = load_scalar(w.units, k) * columns, load_scalar(w.units, k + 1) * columns
            dense(
                params,
                load_scalar(net.weight_offsets, k),
                1,
                fan_out,
                True,
                load_scalar(net.bias_offsets, k),
                w.a,
                below,
                fan_in,
                fan_out,
                m,
                w.a,
                above,
            )
            activate(
                load_scalar(net.activations, k), w.z, w.a, above, fan_out * columns, load_scalar(net.keep_z, k) == 1
            )
            if training and load_scalar(net.dropout, k) > 0.0:
                draw_masks(
                    w.lanes,
                    w.dropout,
                    nets.seeds,
                    w.net,
                    k,
                    fan_out,
                    first,
                    m,
                    w.start,
                    w.clock[0],
                    n_batches,
                    batch,
                    w.mask,
                    above,
                )
                for i in range(above, above + fan_out * columns, lanes):
                    v = load(w.a, i, lanes)
                    if load_scalar(net.derivative_needs_z, k) != 1:
                        store(w.z, i, v)
                    store(w.a, i, v * load(w.mask, i, lanes))
        if load_scalar(net.activations, net.n_layers - 1) == SOFTMAX:
            size = load_scalar(net.sizes, net.n_layers) * columns
            softmax_columns(w.z, w.a, load_scalar(w.units, net.n_layers) * columns, columns, size)

    @helper
    def judge(net, metric, w, m, scale):
        """Return each lane's (sum of losses, number of correct samples) over a tile; write the output delta.

        scale : factor on the delta
        """
        columns, n_layers = m * lanes, net.n_layers
        start, size = load_scalar(w.units, n_layers) * columns, load_scalar(net.sizes, n_layers) * columns
        loss = loss_and_delta(
            net.loss,
            w.z,
            w.a,
            w.delta,
            start,
            w.y,
            w.weight,
            columns,
            size,
            scalar_like(w.a, scale),
            scalar_like(w.a, net.loss_constant),
        )
        right = fill(w.a, 0.0, lanes)
        if metric != METRIC_NONE:
            bound = scalar_like(w.a, net.margin if metric == METRIC_MARGIN else net.class_threshold)
            right = count_right(metric, w.a, start, w.y, columns, size, w.weight, bound)
        return loss * scalar_like(w.a, 1.0 / net.loss_width), right

    @helper
    def backpropagate(net, w, m, adds):
        """Compute the gradient of a tile in w.g, added to that of the batch's earlier tiles if `adds`."""
        columns = m * lanes
        for k in range(net.n_layers - 1, -1, -1):
            fan_in, fan_out, weights = (
                load_scalar(net.sizes, k),
                load_scalar(net.sizes, k + 1),
                load_scalar(net.weight_offsets, k),
            )
            below, above = load_scalar(w.units, k) * columns, load_scalar(w.units, k + 1) * columns
            hides = load_scalar(net.dropout, k) > 0.0
            if hides:
                for i in range(above, above + fan_out * columns, lanes):
                    store(w.delta, i, load(w.delta, i, lanes) * load(w.mask, i, lanes))
            code = IDENTITY if k == net.n_layers - 1 and net.delta_is_wrt_logit else load_scalar(net.activations, k)
            kept = w.z if hides or load_scalar(net.derivative_needs_z, k) == 1 else w.a
            if code != IDENTITY:
                backward(code, kept, w.delta, above, fan_out * columns)
            weight_gradients(
                w.a, below, w.delta, above, fan_in, fan_out, m, w.g, weights, load_scalar(net.bias_offsets, k), adds
            )
            if k > 0:
                dense(w.p, weights, fan_out, 1, False, 0, w.delta, above, fan_out, fan_in, m, w.delta, below)

    @inline_helper
    def by_loops(net, data, nets, w, mixed, shuffle, first, tile, n, batch, n_batches, judges, scale):
        """Add a tile's part of the gradient and of the sums of losses and correct samples, with loops over units."""
        if shuffle or w.filled[0] != first + tile or w.filled[1] != n:
            fill_tile(net, data, nets, w, mixed, shuffle, first + tile, n, n, 1.0)
        forward(net, nets, w, w.p, n, tile, batch, n_batches, True)
        loss, right = judge(net, data.metric if judges != NEVER else METRIC_NONE, w, n, scale)
        store(w.loss, 0, load(w.loss, 0, lanes) + loss)
        store(w.right, 0, load(w.right, 0, lanes) + right)
        backpropagate(net, w, n, tile > 0)

    return dense, weight_gradients, fill_tile, forward, judge, by_loops


def make_gradient(lanes, fill_tile, by_loops):
    """Return (gradient, judge_end) for blocks of this many lanes.

    by_loops : helper that computes the gradient of a tile for nets that have no unrolled code
    """

    @helper
    def by_program(net, data, nets, w, m, tile, rows, judges, n_steps, stop_loss, stop_right, record, loss, right):
        """Compute the gradient of a tile of m samples with unrolled code. Returns the number of gradients computed.

        loss, right : (lanes,), to which the sums of losses and of correct samples are added
        Other parameters are those of `gradient`.
        """
        terms = float(rows * net.loss_width)
        bound = scalar_like(w.a, net.margin if data.metric == METRIC_MARGIN else net.class_threshold)
        shares = 1 if data.metric == METRIC_ARGMAX else net.sizes[net.n_layers]  # terms that a correct sample adds
        arguments = PopulationArguments(
            p=w.p,
            g=w.g,
            a=w.a,
            y=w.y,
            weight=w.weight,
            hyper=w.hyper,
            loss=loss,
            n_correct=right,
            m=m,
            adds=tile,
            wants_loss=judges,
            metric=data.metric,
            n_steps=n_steps,
            rows=scalar_like(w.a, float(rows)),
            loss_width=scalar_like(w.a, net.loss_width),
            c=scalar_like(w.a, net.loss_constant),
            bound=bound,
            stop_loss=stop_loss,
            stop_n_correct=scalar_like(w.a, stop_right * shares / terms),
            state=w.state,
            betas=w.betas,
            powers=w.powers,
            last_loss=w.last_loss,
            epoch=w.clock[0] - w.start[0],
            record_epochs=offset(nets.record_epochs, record),
            records=offset(w.records, record * lanes),
        )
        return call_unrolled(w.straight_line, arguments)

    @helper
    def judge_end(net, data, nets, w):
        """Write each lane's number of correct samples to w.right_at_end, where the block's tile holds all samples."""
        rows = data.n_samples
        m = (rows + INTERLEAVED_SAMPLES - 1) // INTERLEAVED_SAMPLES * INTERLEAVED_SAMPLES
        store(w.right_at_end, 0, fill(w.a, 0.0, lanes))
        by_program(
            net,
            data,
            nets,
            w,
            m,
            0,
            rows,
            LAST_STEP,
            1,
            scalar_like(w.a, 0.0),
            0.0,
            nets.n_records,
            w.watched,
            w.right_at_end,
        )

    @inline_helper
    def gradient(
        net, data, nets, w, mixed, shuffle, batch, n_batches, rows, judges, n_steps, stop_loss, stop_right, record
    ):
        """Compute a batch's gradient in w.g; add its sums of losses and of correct samples to w.loss and w.right.

        judges : for which of n_steps gradients the sums are wanted: NEVER, LAST_STEP, EVERY_LOSS or EVERY_STEP
        n_steps : above 1, unrolled code computes up to this number of gradients, with a step of the optimiser between
        record : index of the next record that unrolled code keeps, nets.n_records for none

        Returns the number of gradients computed.
        """
        first, scale = batch * w.train_rows, 1.0 / float(rows * net.loss_width)
        for tile in range(0, rows, w.rows):
            n = min(w.rows, rows - tile)
            if w.straight_line != 0:
                m = (n + INTERLEAVED_SAMPLES - 1) // INTERLEAVED_SAMPLES * INTERLEAVED_SAMPLES
                if shuffle or w.filled[0] != first + tile or w.filled[1] != n:
                    fill_tile(net, data, nets, w, mixed, shuffle, first + tile, n, m, scale)
                n_steps = by_program(
                    net, data, nets, w, m, tile, rows, judges, n_steps, stop_loss, stop_right, record, w.loss, w.right
                )
            else:
                by_loops(net, data, nets, w, mixed, shuffle, first, tile, n, batch, n_batches, judges, scale)
        return n_steps

    return gradient, judge_end


@helper
def shuffle_lanes(n_lanes, n_samples, seeds, lane_net, start, clock, words, order):
    """Write a new order of the samples for each net: the order that the net would have if it were trained alone."""
    for lane in range(n_lanes):
        if lane_net[lane] >= 0:
            permutation(n_samples, seeds[lane_net[lane]], clock - start[lane], words, offset(order, lane * n_samples))
