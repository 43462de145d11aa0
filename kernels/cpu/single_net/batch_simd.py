"""Training of one small net with the samples of a batch as SIMD lanes, without the cost of calls in a step.

Arrays hold a unit per row and a sample per column: unit u's values start at u * columns, where `columns` is the number
of samples rounded up to whole vectors. Columns past the samples are zeros with weight 0. Vectors have 16 lanes, or 4
for a handful of samples such as the four of XOR, so that no lane is wasted.
"""

from __future__ import annotations

from ...formulas.activations import IDENTITY, SOFTMAX
from ...formulas.update_rules import MOST_STATE, apply_rule
from ...jit.decorators import helper, inline_helper, kernel
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
from ..workspace import LANES_LARGE, LANES_SMALL, LOSS, RIGHT
from .batch_simd_products import make_products
from .column_passes import make_passes
from .optimizer_step import CLIP_NORM, WEIGHT_DECAY, clip_factor, make_state_access, squares
from .training_loop import make_loop

FEW = 4  # features from which transposing an incomplete square pays


@inline_helper
def columns_for(work, rows, lanes):
    """Return the row length for a number of samples: whole vectors, and no multiple of work.colliding, so that the
    units' rows do not all map to the same cache sets.
    """
    if lanes == LANES_SMALL:
        return work.columns  # a batch is one vector
    columns = (rows + lanes - 1) & -lanes  # powers of two: a division takes as long as a layer of XOR
    return columns if columns & (work.colliding - 1) else columns + LANES_LARGE


@helper
def fill_squares(X, order, shuffle, first, rows, width, columns, a, square):
    """Transpose samples into columns of `a`, 16 x 16 elements at a time in registers; columns past the samples are 0.

    Returns the number of features written: a remainder of fewer than FEW features is left to the caller.

    first, rows : first sample, and number of samples
    width : number of features
    square : scratch of 16 * 16 elements
    """
    features = width if width % LANES_LARGE >= FEW else width - width % LANES_LARGE
    for s in range(0, columns, LANES_LARGE):
        for i in range(0, features, LANES_LARGE):
            n = min(features - i, LANES_LARGE)
            for q in range(LANES_LARGE):
                if s + q < rows:
                    sample = order[first + s + q] if shuffle else first + s + q
                    store(square, q * LANES_LARGE, load_partial(X, sample * width + i, n, LANES_LARGE))
                else:
                    store(square, q * LANES_LARGE, fill(square, 0.0, LANES_LARGE))
            if n == LANES_LARGE:
                transpose_square(square, 0, LANES_LARGE, a, i * columns + s, columns, LANES_LARGE)
            else:
                transpose_square(square, 0, LANES_LARGE, square, 0, LANES_LARGE, LANES_LARGE)
                for j in range(n):
                    store(a, (i + j) * columns + s, load(square, j * LANES_LARGE, LANES_LARGE))
    return features


@helper
def fill_none(X, order, shuffle, first, rows, width, columns, a, square):
    """Write nothing: fill_squares for batches of one vector of 4 samples, which have no square. Returns 0 features."""
    return 0


def make_fill(fill_some):
    @inline_helper
    def fill_batch(net, data, shuffle, work, first, rows, columns):
        """Write samples first .. first + rows to the columns of work.a, work.y and work.weight, unless they are there
        already.
        """
        if not shuffle and work.filled[0] == first and work.filled[1] == rows:
            return
        n_features, n_outputs = net.sizes[0], net.sizes[net.n_layers]
        done = fill_some(data.X, work.order, shuffle, first, rows, n_features, columns, work.a, work.delta)
        for s in range(rows):
            sample = work.order[first + s] if shuffle else first + s
            for i in range(done, n_features):
                work.a[i * columns + s] = data.X[sample * n_features + i]
            if data.has_targets:
                for j in range(n_outputs):
                    work.y[j * columns + s] = data.Y[sample * n_outputs + j]
            work.weight[s] = data.weight[sample] if data.has_weights else scalar_like(work.weight, 1.0)
        nothing = scalar_like(work.weight, 0.0)
        for s in range(rows, columns):  # values of earlier batches could become infinite, and inf * 0 is NaN
            for i in range(done, n_features):
                work.a[i * columns + s] = nothing
            for j in range(n_outputs):
                work.y[j * columns + s] = nothing
            work.weight[s] = nothing
        work.filled[0], work.filled[1] = first, rows

    return fill_batch


@helper
def nothing_after(y, start, size, extra):
    pass


@inline_helper
def derivative_of(net, work, k):
    """Return the argument `extra` of after_rows for the backward pass through layer k's activation."""
    return (
        False,
        load_scalar(net.activations, k),
        work.z if load_scalar(net.derivative_needs_z, k) == 1 else work.a,
        False,
    )


def make_family(lanes):
    """Return (gradient_of, gradient, evaluate) for vectors of this many lanes."""

    fill_batch = make_fill(fill_squares if lanes == LANES_LARGE else fill_none)
    activate, backward, loss_and_delta, softmax_columns, count_right = make_passes(lanes)

    @helper
    def after_rows(y, start, size, extra):
        """Apply the activation to outputs, or multiply deltas by its derivative, in y[start : start + size].

        extra : (forward, code, z, keeps). forward: outputs, not deltas. code: of the activation. z: where inputs of the
            activation are stored if `keeps`; for deltas the array that the derivative is a function of
        """
        forward, code, z, keeps = extra
        if forward:
            activate(code, z, y, start, size, keeps)
        elif code != IDENTITY:
            backward(code, z, y, start, size)

    # With 4 lanes a row is one vector: a call for every few rows would cost more than it saves.
    by_rows, by_layer = (nothing_after, after_rows) if lanes == LANES_SMALL else (after_rows, nothing_after)
    dense, weight_gradients = make_products(lanes, by_rows)

    @inline_helper
    def forward(net, params, work, columns):
        a, z = work.a, work.z
        n_layers = net.n_layers
        for k in range(n_layers):
            fan_in, fan_out = load_scalar(net.sizes, k), load_scalar(net.sizes, k + 1)
            w, b = load_scalar(net.weight_offsets, k), load_scalar(net.bias_offsets, k)
            below, above = load_scalar(work.units, k) * columns, load_scalar(work.units, k + 1) * columns
            extra = (True, load_scalar(net.activations, k), z, load_scalar(net.keep_z, k) == 1)
            dense(params, w, 1, fan_out, True, b, a, below, fan_in, fan_out, columns, a, above, extra)
            by_layer(a, above, fan_out * columns, extra)
        if load_scalar(net.activations, n_layers - 1) == SOFTMAX:
            softmax_columns(
                z, a, load_scalar(work.units, n_layers) * columns, columns, net.sizes[net.n_layers] * columns
            )

    @inline_helper
    def judge(net, metric, work, share, columns, scale):
        """Write the loss and the number of correct samples of the batch in `work` to `share`, and the output delta.

        scale : factor on the delta
        """
        n_layers = net.n_layers
        start, size = load_scalar(work.units, n_layers) * columns, load_scalar(net.sizes, n_layers) * columns
        loss = sum_lanes(
            loss_and_delta(
                net.loss,
                work.z,
                work.a,
                work.delta,
                start,
                work.y,
                work.weight,
                columns,
                size,
                scalar_like(work.a, scale),
                scalar_like(work.a, net.loss_constant),
            )
        )
        share[LOSS] = loss / net.loss_width
        if metric != METRIC_NONE:
            bound = scalar_like(work.a, net.margin if metric == METRIC_MARGIN else net.class_threshold)
            share[RIGHT] = float(
                sum_lanes(count_right(metric, work.a, start, work.y, columns, size, work.weight, bound))
            )

    @inline_helper
    def gradient_of(net, data, shuffle, params, grads, work, share, first, rows, scale):
        """Compute the gradient of `rows` samples from sample `first` on, no more than `work` has columns for.

        scale : factor on the derivatives of the losses
        share : written; (sum of losses, number of correct samples)
        """
        columns, a, delta = columns_for(work, rows, lanes), work.a, work.delta
        fill_batch(net, data, shuffle, work, first, rows, columns)
        forward(net, params, work, columns)
        judge(net, data.metric, work, share, columns, scale)
        top = net.n_layers - 1
        if not net.delta_is_wrt_logit:
            size = load_scalar(net.sizes, top + 1) * columns
            after_rows(delta, load_scalar(work.units, top + 1) * columns, size, derivative_of(net, work, top))
        for k in range(top, -1, -1):
            fan_in, fan_out = load_scalar(net.sizes, k), load_scalar(net.sizes, k + 1)
            w, b = load_scalar(net.weight_offsets, k), load_scalar(net.bias_offsets, k)
            below, above = load_scalar(work.units, k) * columns, load_scalar(work.units, k + 1) * columns
            weight_gradients(a, below, delta, above, fan_in, fan_out, columns, grads, w, b)
            if k > 0:
                extra = derivative_of(net, work, k - 1)
                dense(params, w, fan_out, 1, False, 0, delta, above, fan_out, fan_in, columns, delta, below, extra)
                by_layer(delta, below, fan_in * columns, extra)

    @inline_helper
    def gradient(rank, n_ranks, net, data, course, params, grads, work, share, stage):
        scale = 1.0 / (stage.rows * net.loss_width)
        gradient_of(net, data, course.shuffle, params, grads, work, share, stage.first, stage.rows, scale)
        return n_ranks

    @inline_helper
    def evaluate(net, data, params, work, output):
        writes = output.size > 0
        evaluate_bare(
            as_pointers(net), as_pointers(data), offset(params, 0), as_pointers(work), writes, offset(output, 0)
        )

    @inline_helper
    def evaluate_bare(net, data, params, work, writes, output):
        share = work.partial
        work.filled[1] = -1
        loss = right = 0.0
        for first in range(0, data.n_samples, work.columns):
            rows = min(work.columns, data.n_samples - first)
            columns = columns_for(work, rows, lanes)
            fill_batch(net, data, False, work, first, rows, columns)
            forward(net, params, work, columns)
            if writes:
                width, start = net.sizes[net.n_layers], work.units[net.n_layers] * columns
                for s in range(rows):
                    for j in range(width):
                        output[(first + s) * width + j] = work.a[start + j * columns + s]
            if data.has_targets:
                judge(net, data.metric, work, share, columns, 0.0)
                loss += share[LOSS]
                right += share[RIGHT]
        share[LOSS], share[RIGHT] = loss, right

    return gradient_of, gradient, evaluate


# The rule is known only inside the loop: the state vectors that it does not have are read and written unchanged.
load_any_state, store_any_state = make_state_access(MOST_STATE, LANES_LARGE)


@helper
def update_range(rule, p, g, state, first, last, stride, h, decay, l2, clip):
    """Update a range of parameters, with L2 penalty, clipping and weight decay.

    Unlike optimizer_step.update it chooses the update rule inside the loop: a small net has few vectors, and there is
    much less to compile.
    """
    for i in range(first, last, LANES_LARGE):
        n = last - i
        value = load_partial(p, i, n, LANES_LARGE)
        slope = (load_partial(g, i, n, LANES_LARGE) + value * l2) * clip
        s0, s1, s2 = load_any_state(state, i, n, stride, value)
        value, s0, s1, s2 = apply_rule(rule, value * decay, slope, s0, s1, s2, h)
        store_partial(p, i, n, value)
        store_any_state(state, i, n, stride, s0, s1, s2)


@inline_helper
def begin_call(rank, n_ranks, net, memory, work):
    pass


@inline_helper
def accumulate_gradient(rank, n_ranks, net, data, course, memory, work, stage):
    """Never called: only batch_simd_data_parallel.py trains batches of more than one micro-batch."""


@inline_helper
def apply_gradient(rank, n_ranks, barrier, meetings, net, data, course, memory, work, stage, h):
    if course.rule == NO_UPDATE:
        return meetings
    p, g, state, n_layers = memory.params, memory.grads, memory.state, net.n_layers
    one, zero, l2 = scalar_like(p, 1.0), scalar_like(p, 0.0), scalar_like(p, net.l2)
    clip = one
    if course.hyper[CLIP_NORM] > 0.0:
        square_sum = 0.0
        for k in range(n_layers):
            w, b = net.weight_offsets[k], net.bias_offsets[k]
            square_sum += squares(p, g, w, b, l2) + squares(p, g, b, b + net.sizes[k + 1], zero)
        clip = clip_factor(course.hyper[CLIP_NORM], square_sum, p)
    # Weights and biases treated alike are one range.
    alike = net.l2 == 0.0 and course.hyper[WEIGHT_DECAY] == 0.0 and not course.layered
    for q in range(1 if alike else 2 * n_layers):
        first, last, decay, penalty, factor = 0, net.n_padded, one, zero, clip
        if not alike:
            k = q // 2
            first, last, decay, penalty = net.weight_offsets[k], net.bias_offsets[k], h.decay, l2
            if q % 2 == 1:
                first, last, decay, penalty = last, last + net.sizes[k + 1], one, zero
            if course.layered:
                factor = clip * scalar_like(p, course.layer_factors[q])
        update_range(course.rule, p, g, state, first, last, net.n_padded, h, decay, penalty, factor)
    return meetings


_, _gradient_narrow, _evaluate_narrow = make_family(LANES_SMALL)
gradient_wide, _gradient_wide, _evaluate_wide = make_family(LANES_LARGE)
_loop_narrow = make_loop(begin_call, _gradient_narrow, accumulate_gradient, apply_gradient, stages=False)
_loop_wide = make_loop(begin_call, _gradient_wide, accumulate_gradient, apply_gradient, stages=False)


@kernel
def train_4(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps):
    """Train for n_steps steps, from step number first_step on, with vectors of 4 samples."""
    _loop_narrow(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps)


@kernel
def train_16(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps):
    """Train for n_steps steps, from step number first_step on, with vectors of 16 samples."""
    _loop_wide(rank, n_ranks, barrier, net, data, course, memory, work, first_step, n_steps)


@kernel
def evaluate_4(rank, n_ranks, barrier, net, data, params, work, n_rows, output):
    """Evaluate the net with vectors of 4 samples.

    Writes the sums of losses and of correct samples to work.partial if data has targets.

    output : flat (n_samples * n_outputs,), written; or empty
    """
    _evaluate_narrow(net, data, params, work, output)


@kernel
def evaluate_16(rank, n_ranks, barrier, net, data, params, work, n_rows, output):
    """Evaluate the net with vectors of 16 samples, as evaluate_4 does with 4."""
    _evaluate_wide(net, data, params, work, output)
