"""Optimiser step on a range of the flat vectors: L2 penalty, clipping and weight decay if any, then the update rule."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from ...formulas.update_rules import BIAS_CORRECTED, HUGE_SCALE, PASSED, RULES, STEP_VALUES, StepSettings
from ...jit.decorators import expression, helper, inline_helper, linked_helper, linked_table
from ...simd.lanes import Lanes
from ...simd.load_store import fill, load, load_partial, load_scalar, scalar_like, store, store_partial
from ...simd.reductions import sum_lanes
from ...structs import BETA1, BETA2, HYPER, LANES, LAST_LOSS, LEARNING_RATE, POWER1, POWER2
from ...structs import CLIP_NORM as CLIP_NORM
from ...structs import WEIGHT_DECAY as WEIGHT_DECAY
from ..gemm.gemm import round_up
from ..threads.in_kernels import chunk_range, layer_of_chunk
from ..workspace import WEIGHT_CHUNK_ROWS

WIDTH = Lanes(LANES)


@cache
def make_step(row):
    """Return step(value, gradient, s, i, n, stride, h, lanes) -> value for one row of update_rules.RULES.

    value, gradient : vectors of parameters, from number i on, and of their gradient
    s : the optimiser state; vector k of parameter i is s[k * stride + i]. The first n of a vector are read and written
    """
    rule, n_state = row.update, row.n_state

    @inline_helper
    def step(value, gradient, s, i, n, stride, h, lanes):
        s0 = load_partial(s, i, n, lanes) if n_state > 0 else value  # unused by rules without it
        s1 = load_partial(s, stride + i, n, lanes) if n_state > 1 else value
        s2 = load_partial(s, 2 * stride + i, n, lanes) if n_state > 2 else value
        value, s0, s1, s2 = rule(value, gradient, s0, s1, s2, h)
        if n_state > 0:
            store_partial(s, i, n, s0)
        if n_state > 1:
            store_partial(s, stride + i, n, s1)
        if n_state > 2:
            store_partial(s, 2 * stride + i, n, s2)
        return value

    return step


def make_update(row):
    """Return update(p, g, s, first, last, stride, h, lanes) for one row of update_rules.RULES."""
    step = make_step(row)

    @inline_helper
    def update_vector(p, g, s, i, n, stride, h, lanes):
        gradient = load_partial(g, i, n, lanes)
        store_partial(p, i, n, step(load_partial(p, i, n, lanes), gradient, s, i, n, stride, h, lanes))

    @helper
    def update(p, g, s, first, last, stride, h, lanes):
        whole = last - (last - first) % lanes
        for i in range(first, whole, lanes):
            update_vector(p, g, s, i, lanes, stride, h, lanes)
        if whole < last:
            update_vector(p, g, s, whole, last - whole, stride, h, lanes)

    return update


# update(rule, p, g, s, first, last, stride, h, lanes)      s: the optimiser state, flat (n_state, stride)
update = linked_table(f"{__name__}.update", make_update, RULES, "TrainConfig.rule")


@helper
def add_penalty_and_clip(p, g, first, last, decay, l2, clip, lanes):
    """Write g = (g + l2 p) clip and p = decay p for elements first <= i < last.

    A loop of its own before the update rule's: most nets need none of it, and multipliers limit the rules' loops.

    decay, l2, clip : one number for the range, or a vector with a number per lane
    """
    whole = last - (last - first) % lanes
    for i in range(first, whole, lanes):
        value = load(p, i, lanes)
        store(g, i, (load(g, i, lanes) + value * l2) * clip)
        store(p, i, value * decay)
    if whole < last:
        i, n = whole, last - whole
        value = load_partial(p, i, n, lanes)
        store_partial(g, i, n, (load_partial(g, i, n, lanes) + value * l2) * clip)
        store_partial(p, i, n, value * decay)


def settings_expression(arguments, passed, *step_values, **names):
    """Return an inlined helper that makes StepSettings of its arguments.

    arguments : names of the arguments, separated by commas
    passed : text of a hyper-parameter that rules read as it is, with its {name} and its {index} in HYPER
    step_values : texts of the values in update_rules.STEP_VALUES
    names : further global names of the texts
    """
    fields = [f"{name}={passed.format(name=name, index=HYPER.index(name))}" for name in PASSED]
    fields += [f"{name}={value}" for name, value in zip(STEP_VALUES, step_values, strict=True)]
    return expression(arguments, f"StepSettings({', '.join(fields)})", StepSettings=StepSettings, **names)


# With a factor on the learning rate and on the distance of `decay` to 1: numbers, or vectors of them.
with_factor = settings_expression(
    "h, factor, one",
    "h.{name}",
    "h.learning_rate * factor",
    "one - (one - h.decay) * factor",
    "h.inv_sqrt_bias_correction2",
    "h.loss_increased",
)


@inline_helper
def settings_of_part(params, h, factor):
    """Return the settings of weights or biases that have a factor on their learning rate."""
    return with_factor(h, scalar_like(params, factor), scalar_like(params, 1.0))


@helper
def update_range_of_layer(net, config, state, g, k, is_bias, first, last, h, clip):
    """Update a range of layer k's weights, or of its biases if is_bias, by the gradient in g.

    first, last : the range, as indices into the flat vectors
    clip : factor of gradient clipping, 1 for none
    """
    p, l2, factor = state.params, scalar_like(state.params, net.l2), clip
    if config.layered:
        part = 2 * k + is_bias
        factor = clip * scalar_like(p, config.layer_factors[part])
        h = settings_of_part(p, h, config.layer_factors[2 * net.n_layers + part])
    decay = h.decay
    if is_bias:
        decay, l2 = scalar_like(p, 1.0), scalar_like(p, 0.0)
    if decay != 1.0 or l2 != 0.0 or factor != 1.0:
        add_penalty_and_clip(p, g, first, last, decay, l2, factor, WIDTH)
    update(config.rule, p, g, state.state, first, last, net.n_padded, h, WIDTH)


# In the dtype of params, from float64 hyper-parameters and the step's own values.
settings_like = settings_expression(
    "params, hyper, " + ", ".join(STEP_VALUES),
    "scalar_like(params, hyper[{index}])",
    *(f"scalar_like(params, {name})" for name in STEP_VALUES),
    scalar_like=scalar_like,
)


@inline_helper
def step_settings(rule, hyper, scalars, factor, loss, params):
    """Return the update rule's settings at this step, in the dtype of params, and advance the powers of its betas.

    rule : code of the update rule
    scalars : float64 (N_SCALARS,) of this thread; the powers in it are written
    factor : the schedule's factor on the learning rate
    loss : the objective of this step
    """
    rate = hyper[LEARNING_RATE] * factor
    decay = 1.0 - rate * hyper[WEIGHT_DECAY]
    inv_sqrt_bias_correction2 = 1.0
    if rule in BIAS_CORRECTED:
        scalars[POWER1] *= hyper[BETA1]
        scalars[POWER2] *= hyper[BETA2]
        rate /= 1.0 - scalars[POWER1]
        inv_sqrt_bias_correction2 = 1.0 / math.sqrt(1.0 - scalars[POWER2])
    loss_increased = 1.0 if loss > scalars[LAST_LOSS] else 0.0
    return settings_like(params, hyper, rate, decay, inv_sqrt_bias_correction2, loss_increased)


@helper
def squares(p, g, first, last, l2):
    """Return the sum of (g + l2 p)**2 over a range."""
    sums = fill(g, 0.0, LANES)
    for i in range(first, last, LANES):
        n = min(last - i, LANES)
        gradient = load_partial(g, i, n, LANES) + load_partial(p, i, n, LANES) * l2
        sums += gradient * gradient
    return float(sum_lanes(sums))


@linked_helper(float)
def squares_of_gradient(p, g, first, last, l2):
    """Return the sum of (g + l2 p)**2 over a range, in the form that add_squares_of_gradient and clip_factor take.

    Where it overflows, the result is negative: minus the sum of ((g + l2 p) HUGE_SCALE)**2, in float64.
    """
    square_sum = squares(p, g, first, last, l2)
    if square_sum != math.inf:
        return square_sum
    scaled_sum = 0.0
    for i in range(first, last):
        gradient = np.float64(load_scalar(g, i)) + np.float64(load_scalar(p, i)) * np.float64(l2)
        scaled_sum += (gradient * HUGE_SCALE) * (gradient * HUGE_SCALE)
    return -scaled_sum


@helper
def add_squares_of_gradient(x, y):
    """Return the sum of two results of squares_of_gradient, in the same form."""
    total = x + y
    if x >= 0.0 and y >= 0.0 and total < math.inf:
        return total
    scaled_x = -x if x < 0.0 else x * HUGE_SCALE * HUGE_SCALE
    scaled_y = -y if y < 0.0 else y * HUGE_SCALE * HUGE_SCALE
    return -(scaled_x + scaled_y)


@helper
def clip_factor(clip_norm, square_sum, params):
    """Return the factor that scales a gradient to at most clip_norm, or 1 if there is nothing to clip.

    square_sum : the gradient's squared norm, as squares_of_gradient returns it
    """
    if clip_norm > 0.0 and square_sum > clip_norm * clip_norm:
        return scalar_like(params, clip_norm / math.sqrt(square_sum))
    if clip_norm > 0.0 and square_sum < 0.0:
        return scalar_like(params, clip_norm * HUGE_SCALE / math.sqrt(-square_sum))
    return scalar_like(params, 1.0)


@helper
def add_squares(net, state, ws, chunk):
    """Write the sums of squares of the gradients of one chunk of parameters, L2 terms included, to ws.squares.

    Each sum covers WEIGHT_CHUNK_ROWS rows of W, or elements of b, whatever the number of threads, so
    the norm has the same bits for any number of threads.
    """
    layer_chunk = layer_of_chunk(ws, chunk)
    k = layer_chunk.layer
    fan_in, fan_out, p, g = net.sizes[k], net.sizes[k + 1], state.params, state.grads
    (start, end), (column, last_column) = chunk_range(layer_chunk, fan_in), chunk_range(layer_chunk, fan_out)
    w, b, block = net.weight_offsets[k], net.bias_offsets[k], blocks_before(net, k)
    for i in range(start, end, WEIGHT_CHUNK_ROWS):
        last = min(i + WEIGHT_CHUNK_ROWS, end)
        ws.squares[block + i // WEIGHT_CHUNK_ROWS] = squares_of_gradient(
            p, g, w + i * fan_out, w + last * fan_out, scalar_like(p, net.l2)
        )
    block += round_up(fan_in, WEIGHT_CHUNK_ROWS) // WEIGHT_CHUNK_ROWS
    for j in range(column, last_column, WEIGHT_CHUNK_ROWS):
        last = min(j + WEIGHT_CHUNK_ROWS, last_column)
        ws.squares[block + j // WEIGHT_CHUNK_ROWS] = squares_of_gradient(p, g, b + j, b + last, scalar_like(p, 0.0))


@helper
def blocks_before(net, k):
    """Return the number of sums of squared gradients that the layers before k have in ws.squares."""
    n = 0
    for i in range(k):
        n += (
            round_up(net.sizes[i], WEIGHT_CHUNK_ROWS) // WEIGHT_CHUNK_ROWS
            + round_up(net.sizes[i + 1], WEIGHT_CHUNK_ROWS) // WEIGHT_CHUNK_ROWS
        )
    return n


@helper
def clip_now(net, config, state, ws):
    """Return the factor that scales the gradient to at most clip_norm, once ws.squares is complete."""
    square_sum = 0.0
    for i in range(blocks_before(net, net.n_layers)):
        square_sum = add_squares_of_gradient(square_sum, ws.squares[i])
    return clip_factor(config.hyper[CLIP_NORM], square_sum, state.params)
