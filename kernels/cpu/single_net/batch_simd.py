"""Training of one small net with the samples of a batch as SIMD lanes, without the cost of calls in a step.

Arrays hold a unit per row and a sample per column: unit u's values start at u * columns, where `columns` is the number
of samples rounded up to whole vectors. Columns past the samples, and those of samples whose weight is 0, are zeros with
weight 0. Vectors have 16 lanes, or 4 for a handful of samples such as the four of XOR, so that no lane is wasted.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...formulas.activations import IDENTITY, SOFTMAX
from ...formulas.update_rules import RULES
from ...jit.decorators import Helper, helper, inline_helper, kernel, linked_table
from ...simd.lanes import Lanes
from ...simd.load_store import (
    as_pointers,
    fill,
    load,
    load_partial,
    load_scalar,
    offset,
    scalar_like,
    store,
    store_partial,
    transpose_square,
)
from ...simd.reductions import sum_lanes
from ...structs import METRIC_MARGIN, METRIC_NONE, NO_UPDATE
from ..gemm.microkernel import Matrix
from ..workspace import FILLED_FIRST, FILLED_N, LANES_LARGE, LANES_SMALL, LOSS_COLUMN, N_CORRECT_COLUMN
from . import batch_simd_products as products
from .batch_simd_products import LayerWeights
from .column_passes import activate, backward, count_correct, loss_and_delta, softmax_columns
from .elementwise import Outputs
from .optimizer_step import (
    CLIP_NORM,
    WEIGHT_DECAY,
    add_squares_of_gradient,
    clip_factor,
    make_step,
    settings_of_part,
    squares_of_gradient,
)
from .training_loop import make_train

TRANSPOSED_FROM = 4  # features from which transposing an incomplete square pays


@inline_helper
def columns_for(ws, rows, lanes):
    """Return the row length for a number of samples: whole vectors, and no multiple of ws.aliasing_stride, so that the
    units' rows do not all map to the same cache sets.
    """
    if lanes == LANES_SMALL:
        return int(lanes)  # a batch is one vector: products and passes are compiled for that (dense_of_one_vector)
    columns = (rows + lanes - 1) & -lanes  # powers of two: a division takes as long as a layer of XOR
    return columns if columns & (ws.aliasing_stride - 1) else columns + LANES_LARGE


@inline_helper
def counts(data, sample):
    """Whether a sample's weight is not 0. One of weight 0 contributes nothing, even if its outputs or loss overflow."""
    return not data.has_weights or data.weight[sample] != 0.0


@helper
def fill_squares(data, order, shuffle, first, rows, width, columns, a, square):
    """Transpose samples into columns of `a`, 16 x 16 elements at a time in registers; columns past the samples are 0.

    Returns the number of features written: a remainder of fewer than TRANSPOSED_FROM features is left to the caller.

    first, rows : first sample, and number of samples
    width : number of features
    square : scratch of 16 * 16 elements
    """
    features = width if width % LANES_LARGE >= TRANSPOSED_FROM else width - width % LANES_LARGE
    for s in range(0, columns, LANES_LARGE):
        for i in range(0, features, LANES_LARGE):
            n = min(features - i, LANES_LARGE)
            for q in range(LANES_LARGE):
                v = fill(square, 0.0, LANES_LARGE)
                if s + q < rows:
                    sample = order[first + s + q] if shuffle else first + s + q
                    if counts(data, sample):
                        v = load_partial(data.X, sample * width + i, n, LANES_LARGE)
                store(square, q * LANES_LARGE, v)
            if n == LANES_LARGE:
                transpose_square(square, 0, LANES_LARGE, a, i * columns + s, columns, LANES_LARGE)
            else:
                transpose_square(square, 0, LANES_LARGE, square, 0, LANES_LARGE, LANES_LARGE)
                for j in range(n):
                    store(a, (i + j) * columns + s, load(square, j * LANES_LARGE, LANES_LARGE))
    return features


@helper
def fill_nothing(data, order, shuffle, first, rows, width, columns, a, square):
    """Write nothing: fill_squares for batches of one vector of 4 samples, which have no square. Returns 0 features."""
    return 0


class Activation(NamedTuple):
    """Pass through a layer's activation, which a product calls: apply(y, start, size, activation)."""

    apply: Any  # activate_units or backward_units
    lanes: Lanes
    code: int  # of the activation
    z: Any  # where its inputs are stored if keeps_z; backward, the array that its derivative is a function of
    keeps_z: bool


@helper
def activate_units(y, start, size, activation):
    """Apply the activation to outputs y[start : start + size]."""
    activate(activation.code, activation.z, y, start, size, activation.keeps_z, activation.lanes)


@helper
def backward_units(y, start, size, activation):
    """Multiply deltas y[start : start + size] by the activation's derivative."""
    if activation.code != IDENTITY:
        backward(activation.code, activation.z, y, start, size, activation.lanes)


class LaneFamily(NamedTuple):
    """Number of samples in a vector and the helpers that suit it, which are known when a kernel is compiled."""

    lanes: Lanes
    dense: Helper
    weight_gradients: Helper
    fill_squares: Helper  # transposes samples, or leaves all of them to fill_batch


FAMILY_4 = LaneFamily(
    lanes=Lanes(LANES_SMALL),
    dense=products.dense_of_one_vector,
    weight_gradients=products.weight_gradients_of_one_vector,
    fill_squares=fill_nothing,
)
FAMILY_16 = LaneFamily(
    lanes=Lanes(LANES_LARGE),
    dense=products.dense,
    weight_gradients=products.weight_gradients,
    fill_squares=fill_squares,
)


@inline_helper
def fill_batch(family, net, data, shuffle, ws, first, rows, columns):
    """Write samples first .. first + rows to the columns of ws.a, ws.y and ws.weight, unless they are there already."""
    if not shuffle and ws.filled[FILLED_FIRST] == first and ws.filled[FILLED_N] == rows:
        return
    n_features, n_outputs = net.sizes[0], net.sizes[net.n_layers]
    done = family.fill_squares(data, ws.order, shuffle, first, rows, n_features, columns, ws.a, ws.delta)
    zero = scalar_like(ws.weight, 0.0)
    for s in range(columns):
        sample = 0
        if s < rows:
            sample = ws.order[first + s] if shuffle else first + s
        if s < rows and counts(data, sample):
            for i in range(done, n_features):
                ws.a[i * columns + s] = data.X[sample * n_features + i]
            if data.has_targets:
                for j in range(n_outputs):
                    ws.y[j * columns + s] = data.Y[sample * n_outputs + j]
            ws.weight[s] = data.weight[sample] if data.has_weights else scalar_like(ws.weight, 1.0)
        else:  # values of earlier batches could become infinite, and inf * 0 is NaN
            for i in range(done, n_features):
                ws.a[i * columns + s] = zero
            for j in range(n_outputs):
                ws.y[j * columns + s] = zero
            ws.weight[s] = zero
    ws.filled[FILLED_FIRST], ws.filled[FILLED_N] = first, rows


@inline_helper
def backward_activation(family, net, ws, k):
    """Return the Activation of the backward pass through layer k."""
    stored = ws.z if load_scalar(net.derivative_needs_z, k) == 1 else ws.a
    return Activation(backward_units, family.lanes, load_scalar(net.activations, k), stored, False)


@inline_helper
def forward(family, net, params, ws, columns):
    n_layers, lanes = net.n_layers, family.lanes
    for k in range(n_layers):
        fan_in, fan_out = load_scalar(net.sizes, k), load_scalar(net.sizes, k + 1)
        w, b = load_scalar(net.weight_offsets, k), load_scalar(net.bias_offsets, k)
        below, above = load_scalar(ws.units, k) * columns, load_scalar(ws.units, k + 1) * columns
        weights, x, y = LayerWeights(params, w, b), Matrix(ws.a, below, columns), Matrix(ws.a, above, columns)
        code, keeps_z = load_scalar(net.activations, k), load_scalar(net.keep_z, k) == 1
        activation = Activation(activate_units, lanes, code, ws.z, keeps_z)
        family.dense(weights, 1, fan_out, True, fan_in, fan_out, x, y, activation, lanes)
    if load_scalar(net.activations, n_layers - 1) == SOFTMAX:
        start, size = load_scalar(ws.units, n_layers) * columns, net.sizes[net.n_layers] * columns
        softmax_columns(ws.z, ws.a, start, columns, size, lanes)


@inline_helper
def loss_and_output_delta(family, net, metric, ws, sums, columns, scale):
    """Write the loss and the number of correct samples of the batch in `ws` to `sums`, and the output delta.

    scale : factor on the delta
    """
    n_layers, lanes = net.n_layers, family.lanes
    start, size = load_scalar(ws.units, n_layers) * columns, load_scalar(net.sizes, n_layers) * columns
    outputs, c = Outputs(ws.z, ws.a, ws.delta, start), scalar_like(ws.a, net.loss_constant)
    losses = loss_and_delta(net.loss, outputs, ws.y, ws.weight, columns, size, scalar_like(ws.a, scale), c, lanes)
    sums[LOSS_COLUMN] = sum_lanes(losses) / net.loss_width
    if metric != METRIC_NONE:
        bound = scalar_like(ws.a, net.margin if metric == METRIC_MARGIN else net.class_threshold)
        correct = count_correct(metric, ws.a, start, ws.y, columns, size, ws.weight, bound, lanes)
        sums[N_CORRECT_COLUMN] = float(sum_lanes(correct))


@inline_helper
def gradient_of_samples(family, net, data, shuffle, params, grads, ws, sums, first, rows, scale):
    """Compute the gradient of `rows` samples from sample `first` on, no more than `ws` has columns for.

    family : LaneFamily
    scale : factor on the derivatives of the losses
    sums : written; (sum of losses, number of correct samples)
    """
    lanes = family.lanes
    columns, a, delta = columns_for(ws, rows, lanes), ws.a, ws.delta
    fill_batch(family, net, data, shuffle, ws, first, rows, columns)
    forward(family, net, params, ws, columns)
    loss_and_output_delta(family, net, data.metric, ws, sums, columns, scale)
    top = net.n_layers - 1
    if not net.delta_is_wrt_logit:
        size = load_scalar(net.sizes, top + 1) * columns
        start = load_scalar(ws.units, top + 1) * columns
        backward_units(delta, start, size, backward_activation(family, net, ws, top))
    for k in range(top, -1, -1):
        fan_in, fan_out = load_scalar(net.sizes, k), load_scalar(net.sizes, k + 1)
        w, b = load_scalar(net.weight_offsets, k), load_scalar(net.bias_offsets, k)
        below, above = load_scalar(ws.units, k) * columns, load_scalar(ws.units, k + 1) * columns
        family.weight_gradients(a, below, delta, above, fan_in, fan_out, columns, grads, w, b, lanes)
        if k > 0:
            activation, weights = backward_activation(family, net, ws, k - 1), LayerWeights(params, w, b)
            x, y = Matrix(delta, above, columns), Matrix(delta, below, columns)
            family.dense(weights, fan_out, 1, False, fan_out, fan_in, x, y, activation, lanes)


WIDTH = Lanes(LANES_LARGE)


def _make_update_range(row):
    step = make_step(row)

    @helper
    def update_range(p, g, state, first, last, stride, h, decay, l2, clip):
        for i in range(first, last, LANES_LARGE):
            n = last - i
            value = load_partial(p, i, n, LANES_LARGE)
            gradient = (load_partial(g, i, n, LANES_LARGE) + value * l2) * clip
            store_partial(p, i, n, step(value * decay, gradient, state, i, n, stride, h, WIDTH))

    return update_range


# update_range(rule, p, g, state, first, last, stride, h, decay, l2, clip)      with L2 penalty, clipping, weight decay
update_range = linked_table(f"{__name__}.update_range", _make_update_range, RULES, "TrainConfig.rule")


@inline_helper
def apply_gradient(thread, n_threads, barrier, n_barriers, net, data, config, state, ws, micro_batch, h):
    if config.rule == NO_UPDATE:
        return n_barriers
    p, g, vectors, n_layers = state.params, state.grads, state.state, net.n_layers
    one, zero, l2 = scalar_like(p, 1.0), scalar_like(p, 0.0), scalar_like(p, net.l2)
    clip = one
    if config.hyper[CLIP_NORM] > 0.0:
        square_sum = 0.0
        for k in range(n_layers):
            w, b = net.weight_offsets[k], net.bias_offsets[k]
            of_weights = squares_of_gradient(p, g, w, b, l2)
            of_biases = squares_of_gradient(p, g, b, b + net.sizes[k + 1], zero)
            square_sum = add_squares_of_gradient(square_sum, add_squares_of_gradient(of_weights, of_biases))
        clip = clip_factor(config.hyper[CLIP_NORM], square_sum, p)
    # Weights and biases treated alike are one range.
    one_range = net.l2 == 0.0 and config.hyper[WEIGHT_DECAY] == 0.0 and not config.layered
    for q in range(1 if one_range else 2 * n_layers):
        first, last, decay, penalty, factor, settings = 0, net.n_padded, one, zero, clip, h
        if not one_range:
            k = q // 2
            if config.layered:
                factor = clip * scalar_like(p, config.layer_factors[q])
                settings = settings_of_part(p, h, config.layer_factors[2 * n_layers + q])
            first, last, decay, penalty = net.weight_offsets[k], net.bias_offsets[k], settings.decay, l2
            if q % 2 == 1:
                first, last, decay, penalty = last, last + net.sizes[k + 1], one, zero
        update_range(config.rule, p, g, vectors, first, last, net.n_padded, settings, decay, penalty, factor)
    return n_barriers


def _make_kernels(family):
    """Return (train, evaluate) with vectors of family.lanes samples."""

    @inline_helper
    def compute_gradient(thread, n_threads, net, data, config, params, grads, ws, sums, micro_batch):
        first, rows = micro_batch.first, micro_batch.rows
        scale = 1.0 / (rows * net.loss_width)
        gradient_of_samples(family, net, data, config.shuffle, params, grads, ws, sums, first, rows, scale)
        return n_threads

    @kernel
    def evaluate(thread, n_threads, barrier, net, data, params, ws, n_rows, output):
        """Evaluate the net. Writes the sums of losses and of correct samples to ws.partial if data has targets.

        output : flat (n_samples * n_outputs,), written; or empty
        """
        net, data, ws, params = as_pointers(net), as_pointers(data), as_pointers(ws), offset(params, 0)
        writes, output = output.size > 0, offset(output, 0)
        sums, lanes = ws.partial, family.lanes
        ws.filled[FILLED_N] = -1
        loss = n_correct = 0.0
        for first in range(0, data.n_samples, ws.columns):
            rows = min(ws.columns, data.n_samples - first)
            columns = columns_for(ws, rows, lanes)
            fill_batch(family, net, data, False, ws, first, rows, columns)
            forward(family, net, params, ws, columns)
            if writes:
                width, start = net.sizes[net.n_layers], ws.units[net.n_layers] * columns
                for s in range(rows):
                    for j in range(width):
                        output[(first + s) * width + j] = ws.a[start + j * columns + s]
            if data.has_targets:
                loss_and_output_delta(family, net, data.metric, ws, sums, columns, 0.0)
                loss += sums[LOSS_COLUMN]
                n_correct += sums[N_CORRECT_COLUMN]
        sums[LOSS_COLUMN], sums[N_CORRECT_COLUMN] = loss, n_correct

    return make_train(compute_gradient, apply_gradient), evaluate


train_4, evaluate_4 = _make_kernels(FAMILY_4)
train_16, evaluate_16 = _make_kernels(FAMILY_16)
