"""The update loops over a range of the flat vectors: penalty, clipping and decay where there are any, and the rule."""

from __future__ import annotations

import math

import numpy as np

from ...formulas.update_rules import RULES, Settings
from ...jit.decorators import inlined, inner, selector
from ...simd.load_store import at, fill, load, load_first, number, store, store_first
from ...simd.reductions import total
from ...structs import HYPER, LAST_LOSS, POWER1, POWER2
from .elementwise import LANES

LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM, MOMENTUM, BETA1, BETA2, EPSILON, GROWTH, SHRINK, SMALLEST, BIGGEST = range(
    len(HYPER)
)


def make_update(row, lanes=LANES):
    """update(p, g, s, first, last, stride, h) of one rule, in vectors of this many lanes."""
    rule, n_state = row.update, row.n_state

    @inner
    def update(p, g, s, first, last, stride, h):
        whole = last - (last - first) % lanes
        for i in range(first, whole, lanes):
            value = load(p, i, lanes)
            s0 = load(s, i, lanes) if n_state > 0 else value
            s1 = load(s, stride + i, lanes) if n_state > 1 else value
            s2 = load(s, 2 * stride + i, lanes) if n_state > 2 else value
            value, s0, s1, s2 = rule(value, load(g, i, lanes), s0, s1, s2, h)
            store(p, i, value)
            if n_state > 0:
                store(s, i, s0)
            if n_state > 1:
                store(s, stride + i, s1)
            if n_state > 2:
                store(s, 2 * stride + i, s2)
        if whole < last:
            i, n = whole, last - whole
            value = load_first(p, i, n, lanes)
            s0 = load_first(s, i, n, lanes) if n_state > 0 else value
            s1 = load_first(s, stride + i, n, lanes) if n_state > 1 else value
            s2 = load_first(s, 2 * stride + i, n, lanes) if n_state > 2 else value
            value, s0, s1, s2 = rule(value, load_first(g, i, n, lanes), s0, s1, s2, h)
            store_first(p, i, n, value)
            if n_state > 0:
                store_first(s, i, n, s0)
            if n_state > 1:
                store_first(s, stride + i, n, s1)
            if n_state > 2:
                store_first(s, 2 * stride + i, n, s2)

    return update


# update(rule, p, g, s, first, last, stride, h)      s: flat, one row of `stride` per number of state
update = selector([make_update(row) for row in RULES], 7)


def make_adjust(lanes=LANES):
    """adjust(p, g, first, last, decay, l2, clip) in vectors of this many lanes: what comes before a rule, by itself:
    most nets have none of it, and the rules' loops wait for the multipliers.
    """

    @inner
    def adjust(p, g, first, last, decay, l2, clip):
        """g = (g + l2 p) clip, p = decay p; for a range, each number or vector of numbers the same."""
        whole = last - (last - first) % lanes
        for i in range(first, whole, lanes):
            value = load(p, i, lanes)
            store(g, i, (load(g, i, lanes) + value * l2) * clip)
            store(p, i, value * decay)
        if whole < last:
            i, n = whole, last - whole
            value = load_first(p, i, n, lanes)
            store_first(g, i, n, (load_first(g, i, n, lanes) + value * l2) * clip)
            store_first(p, i, n, value * decay)

    return adjust


adjust = make_adjust()


@inner
def change(net, course, memory, g, k, is_bias, first, last, h, clip):
    """Update a range of layer k's weights, or of its biases, by the slopes in g."""
    p, decay, l2 = memory.params, h.decay, number(memory.params, net.l2)
    if is_bias:
        decay, l2 = number(p, 1.0), number(p, 0.0)
    factor = clip * number(p, course.layer_factors[2 * k + is_bias]) if course.layered else clip
    if decay != 1.0 or l2 != 0.0 or factor != 1.0:
        adjust(p, g, first, last, decay, l2, factor)
    update(course.rule, p, g, memory.state, first, last, net.n_padded, h)


@inlined
def settings_now(hyper, scalars, factor, loss, params):
    """The rule's settings at this step, in the dtype of params; moves Adam's powers on."""
    rate = hyper[LEARNING_RATE] * factor
    decay = 1.0 - rate * hyper[WEIGHT_DECAY]
    root_correction = 1.0
    if hyper[BETA1] > 0.0:
        scalars[POWER1] *= hyper[BETA1]
        scalars[POWER2] *= hyper[BETA2]
        rate /= 1.0 - scalars[POWER1]
        root_correction = 1.0 / math.sqrt(1.0 - scalars[POWER2])
    worse = 1.0 if loss > scalars[LAST_LOSS] else 0.0
    p = params
    return Settings(
        number(p, hyper[MOMENTUM]), number(p, hyper[BETA1]), number(p, hyper[BETA2]), number(p, hyper[EPSILON]),
        number(p, hyper[GROWTH]), number(p, hyper[SHRINK]), number(p, hyper[SMALLEST]), number(p, hyper[BIGGEST]),
        number(p, rate), number(p, decay), number(p, root_correction), number(p, worse),
    )  # fmt: skip


@inner
def long_squares(p, g, first, last, l2):
    """The same in float64, for slopes whose squares overflow in float32."""
    square_sum = 0.0
    for i in range(first, last):
        slope = np.float64(at(g, i)) + np.float64(at(p, i)) * np.float64(l2)  # float() of float32 is float32 here
        square_sum += slope * slope
    return square_sum


@inner
def squares(p, g, first, last, l2):
    """The sum of (g + l2 p)**2 over a range."""
    sums = fill(g, 0.0, LANES)
    for i in range(first, last, LANES):
        n = min(last - i, LANES)
        slope = load_first(g, i, n, LANES) + load_first(p, i, n, LANES) * l2
        sums += slope * slope
    square_sum = float(total(sums))
    return square_sum if square_sum < math.inf else long_squares(p, g, first, last, l2)


@inner
def clip_factor(clip_norm, square_sum, params):
    """What brings a gradient of this squared norm to clip_norm; 1 where clip_norm is 0 or not reached."""
    if clip_norm > 0.0 and square_sum > clip_norm * clip_norm:
        return number(params, clip_norm / math.sqrt(square_sum))
    return number(params, 1.0)
