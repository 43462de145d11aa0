"""L-BFGS steps of the nets of a block, each in a lane: single_net/lbfgs.py has the method, and the rows of the state.

block.powers has, per lane, the step length, and 2 once there has been a step.
"""

from __future__ import annotations

from ...formulas.update_rules import N_PAIRS
from ...jit.decorators import helper, inline_helper, linked_helper
from ...jit.intrinsics import dereference
from ...simd.load_store import cast_like, fill, load, store
from ...simd.vector import sqrt, where
from ...structs import L2, LEARNING_RATE
from ..single_net.lbfgs import (
    CHANGES,
    CURVATURE,
    GRADIENT,
    LEAST_CUT,
    LEAST_LENGTH,
    MOST_CUT,
    PARAMS,
    STEPS,
    SUFFICIENT,
)
from .parameter_update import factors_now, penalties
from .second_order import loss_of_batch

SLOPE = N_PAIRS  # number of the slope in block.expected, after the coefficients of the pairs


@helper
def dot(a, i, b, j, size, lanes):
    """Return each lane's product of `size` numbers of `a` from i on with those of `b` from j on."""
    total = fill(a, 0.0, lanes)
    for q in range(0, size, lanes):
        total = load(a, i + q, lanes) * load(b, j + q, lanes) + total
    return total


@helper
def add_penalty(net, p, g, l2, lanes):
    """Add the gradient of the penalty, which biases do not have."""
    for k in range(net.n_layers):
        for i in range(net.weight_offsets[k] * lanes, net.bias_offsets[k] * lanes, lanes):
            store(g, i, load(g, i, lanes) + l2 * load(p, i, lanes))


@helper
def remember(block, size):
    """Add the pair of the last step to the state, in place of the oldest one, in lanes where it has a curvature."""
    lanes, p, g, state = block.lanes, block.p, block.g, block.state
    product, squares = fill(p, 0.0, lanes), fill(p, 0.0, lanes)
    for i in range(0, size, lanes):
        step = load(p, i, lanes) - load(state, PARAMS * size + i, lanes)
        change = load(g, i, lanes) - load(state, GRADIENT * size + i, lanes)
        product = step * change + product
        squares = change * change + squares
    has_step = cast_like(p, load(block.powers, lanes, lanes)) > 1.5
    is_new = has_step & (product > CURVATURE * squares) & (squares > 0.0)
    for i in range(0, size, lanes):
        v, w = load(p, i, lanes), load(g, i, lanes)
        step = v - load(state, PARAMS * size + i, lanes)
        change = w - load(state, GRADIENT * size + i, lanes)
        store(state, PARAMS * size + i, v)
        store(state, GRADIENT * size + i, w)
        for k in range(N_PAIRS):  # newest first
            a, b = (STEPS + k) * size + i, (CHANGES + k) * size + i
            old_step, old_change = load(state, a, lanes), load(state, b, lanes)
            store(state, a, where(is_new, step, old_step))
            store(state, b, where(is_new, change, old_change))
            step, change = old_step, old_change


@linked_helper()
def find_direction(net, nets, block):
    """Replace block.g, the gradient of the batch, by the direction of the step, and leave the slope in block.expected.

    net, nets, block : references
    """
    net, nets, block = dereference(net), dereference(nets), dereference(block)
    lanes, g, state, expected = block.lanes, block.g, block.state, block.expected
    size, zero, one = nets.n_params * block.lanes, fill(block.g, 0.0, block.lanes), fill(block.g, 1.0, block.lanes)
    if nets.penalised:
        add_penalty(net, block.p, g, load(block.hyper, L2 * lanes, lanes), lanes)
    remember(block, size)
    squares = dot(g, 0, g, 0, size, lanes)
    scale = where(squares > 0.0, one / sqrt(where(squares > 0.0, squares, one)), zero)  # a step of length 1
    for k in range(N_PAIRS):
        a, b = (STEPS + k) * size, (CHANGES + k) * size
        product = dot(state, a, state, b, size, lanes)
        has_pair = product > 0.0
        coefficient = where(has_pair, dot(state, a, g, 0, size, lanes) / where(has_pair, product, one), zero)
        store(expected, k * lanes, coefficient)
        if k == 0:
            own = dot(state, b, state, b, size, lanes)
            scale = where(has_pair, product / where(has_pair, own, one), scale)
        for i in range(0, size, lanes):
            store(g, i, load(g, i, lanes) - coefficient * load(state, b + i, lanes))
    for i in range(0, size, lanes):
        store(g, i, load(g, i, lanes) * scale)
    for k in range(N_PAIRS - 1, -1, -1):
        a, b = (STEPS + k) * size, (CHANGES + k) * size
        product = dot(state, a, state, b, size, lanes)
        has_pair = product > 0.0
        other = where(has_pair, dot(state, b, g, 0, size, lanes) / where(has_pair, product, one), zero)
        coefficient = load(expected, k * lanes, lanes) - other
        for i in range(0, size, lanes):
            store(g, i, load(g, i, lanes) + coefficient * load(state, a + i, lanes))
    store(expected, SLOPE * lanes, dot(state, GRADIENT * size, g, 0, size, lanes))


@inline_helper
def line_search_step(task, mode, batch, rows, objective):
    """Make a step for all lanes, where it lowers the objective enough, and choose the length of the next one.

    objective : (lanes,) mean loss of the batch before the step
    """
    net, nets, block, lanes, p, g = task.net, task.nets, task.block, task.block.lanes, task.block.p, task.block.g
    size, l2 = nets.n_params * lanes, load(block.hyper, L2 * lanes, lanes)
    if nets.penalised:
        objective += penalties(net, block, l2)
    find_direction(task.refs.net, task.refs.nets, task.refs.block)
    length = cast_like(p, load(block.powers, 0, lanes))
    rate = load(block.hyper, LEARNING_RATE * lanes, lanes) * length
    if task.criteria.scheduled:
        rate = rate * factors_now(task.config.factors, task.criteria, block, batch, mode.n_batches)
    for i in range(0, size, lanes):
        store(p, i, load(p, i, lanes) - rate * load(g, i, lanes))
    now = loss_of_batch(task, batch, rows)
    if nets.penalised:
        now += penalties(net, block, l2)
    fall = rate * load(block.expected, SLOPE * lanes, lanes)
    falls = (now <= objective - SUFFICIENT * fall) & (fall > 0.0)
    for i in range(0, size, lanes):
        store(p, i, where(falls, load(p, i, lanes), load(block.state, PARAMS * size + i, lanes)))
    gap = now - objective + fall
    cut = 0.5 * fall / where(gap > 0.0, gap, 1.0)
    shorter = length * where(cut > MOST_CUT, where(cut < LEAST_CUT, cut, LEAST_CUT), MOST_CUT)
    length = where(falls, 1.0, where(shorter > LEAST_LENGTH, shorter, LEAST_LENGTH))
    store(block.powers, 0, cast_like(block.powers, length))
    store(block.powers, lanes, cast_like(block.powers, fill(p, 2.0, lanes)))
