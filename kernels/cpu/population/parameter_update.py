"""One step of the optimiser for all nets of a block: settings of the step, clipping and penalties, and the update rule.

`block` is a LaneBlock (workspace.py) whose field `lanes` is a simd.lanes.Lanes, and `nets` the PopulationState.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ...formulas.update_rules import HUGE_SCALE, STEP_VALUES
from ...jit.decorators import helper, inline_helper, linked_helper
from ...jit.intrinsics import dereference, reference
from ...simd.load_store import cast_like, fill, load, scalar_like, store
from ...simd.reductions import any_of
from ...simd.vector import sqrt, where
from ...structs import CLIP_NORM, L2, LEARNING_RATE, WEIGHT_DECAY
from ..single_net.optimizer_step import add_penalty_and_clip, make_step, settings_expression, settings_of_part, update
from ..workspace import EPOCH

SINGLE_SCALE = 2.0**-75  # in float32, as HUGE_SCALE in float64

# StepSettings of the block's hyper-parameters and the step's own values, one number per lane.
settings_of = settings_expression(
    f"hyper, {', '.join(STEP_VALUES)}, lanes", "load(hyper, {index} * lanes, lanes)", *STEP_VALUES, load=load
)


@helper
def step_settings(hyper, betas, powers, factor, corrects, loss_increased, lanes):
    """Return the update rule's settings at this step, one number per lane, as single_net's step_settings does.

    betas, powers : float64 (2, lanes), Adam's betas and their powers, in full precision; powers are advanced
    factor : (lanes,) the schedule's factor on the learning rates
    corrects : whether the rule has a bias correction
    loss_increased : (lanes,) 1 where the objective has grown since the last step, else 0
    """
    rate = load(hyper, LEARNING_RATE * lanes, lanes) * factor
    decay = 1.0 - rate * load(hyper, WEIGHT_DECAY * lanes, lanes)
    inv_sqrt_bias_correction2 = fill(hyper, 1.0, lanes)
    if corrects:
        power1 = load(powers, 0, lanes) * load(betas, 0, lanes)
        power2 = load(powers, lanes, lanes) * load(betas, lanes, lanes)
        store(powers, 0, power1)
        store(powers, lanes, power2)
        rate = rate / cast_like(hyper, 1.0 - power1)
        inv_sqrt_bias_correction2 = 1.0 / sqrt(cast_like(hyper, 1.0 - power2))
    return settings_of(hyper, rate, decay, inv_sqrt_bias_correction2, loss_increased, lanes)


@cache  # Numba compiles a function once for all architectures of a process if it is the same object
def make_advance(row, lanes):
    """Return advance(p, g, state, hyper, betas, powers, last_loss, objective, size) for one row of update_rules.RULES.

    advance makes one step of the update rule for the first `size` numbers of p, without penalty, clipping or schedule.

    lanes : Lanes
    """
    step, corrects = make_step(row), row.bias_correction

    def advance(p, g, state, hyper, betas, powers, last_loss, objective, size):
        loss_increased = where(objective > load(last_loss, 0, lanes), 1.0, 0.0)
        store(last_loss, 0, objective)
        h = step_settings(hyper, betas, powers, fill(p, 1.0, lanes), corrects, loss_increased, lanes)
        for i in range(0, size, lanes):
            store(p, i, step(load(p, i, lanes), load(g, i, lanes), state, i, lanes, size, h, lanes))

    return advance


@helper
def squares(p, g, first, end, l2, scale, lanes):
    """Return each lane's sum of ((g + l2 p) scale)**2 over parameters first <= q < end."""
    sums = fill(g, 0.0, lanes)
    for i in range(first * lanes, end * lanes, lanes):
        gradient = (load(g, i, lanes) + load(p, i, lanes) * l2) * scale
        sums += gradient * gradient
    return sums


@helper
def squares_of_net(net, p, g, l2, scale, lanes):
    """Return `squares` of all parameters; biases have no penalty."""
    total, zero = fill(p, 0.0, lanes), fill(p, 0.0, lanes)
    for k in range(net.n_layers):
        first, middle = net.weight_offsets[k], net.bias_offsets[k]
        total += squares(p, g, first, middle, l2, scale, lanes)
        total += squares(p, g, middle, middle + net.sizes[k + 1], zero, scale, lanes)
    return total


@inline_helper
def clip_factors(net, block, l2):
    """Return the factor that scales each lane's gradient to its clip_norm, 1 where there is nothing to clip.

    l2 : (lanes,) the penalties, whose gradient is clipped too
    """
    p, g, lanes = block.p, block.g, block.lanes
    total = squares_of_net(net, p, g, l2, fill(p, 1.0, lanes), lanes)
    norm = load(block.hyper, CLIP_NORM * lanes, lanes)
    too_long = (norm > 0.0) & (total > norm * norm)
    overflows = (norm > 0.0) & ~(total < np.inf)
    clip = where(too_long & ~overflows, norm / sqrt(where(too_long & ~overflows, total, 1.0)), 1.0)
    if any_of(overflows):
        scale = scalar_like(p, HUGE_SCALE)
        if scale == 0.0:  # in float32
            scale = scalar_like(p, SINGLE_SCALE)
        total = squares_of_net(net, p, g, l2, fill(p, scale, lanes), lanes)
        clip = where(overflows, norm * scale / sqrt(where(total > 0.0, total, 1.0)), clip)
    return clip


@inline_helper
def penalties(net, block, l2):
    """Return each lane's l2 / 2 times the sum of its squared weights."""
    p, lanes = block.p, block.lanes
    sums, zero, one = fill(p, 0.0, lanes), fill(p, 0.0, lanes), fill(p, 1.0, lanes)
    for k in range(net.n_layers):
        sums += squares(p, p, net.weight_offsets[k], net.bias_offsets[k], zero, one, lanes)
    return 0.5 * l2 * sums


@inline_helper
def factors_now(factors, criteria, block, batch, n_batches):
    """Return the factor of each lane at this step, and leave it in block.factor.

    factors : (n_steps,) of a schedule
    """
    for lane in range(block.n_lanes):
        step = (block.clock[EPOCH] - block.start_epoch[lane]) * n_batches + batch
        block.factor[lane] = scalar_like(block.p, factors[min(step, criteria.n_epochs * n_batches - 1)])
    return load(block.factor, 0, block.lanes)


@inline_helper
def settings_now(config, criteria, nets, block, batch, n_batches, objective):
    """Return the update rule's settings at this step, one number per lane.

    objective : (lanes,) the objective of this step, where the rule compares it with the last one
    """
    lanes, factor = block.lanes, fill(block.p, 1.0, block.lanes)
    if criteria.scheduled:
        factor = factors_now(config.factors, criteria, block, batch, n_batches)
    increased = where(objective > load(block.last_loss, 0, lanes), 1.0, 0.0)
    return step_settings(block.hyper, block.betas, block.powers, factor, nets.bias_correction, increased, lanes)


@linked_helper()
def step_by_layers(net, nets, block, config, h):
    """Make one step of the update rule for all lanes, with penalties, clipping and layers' factors.

    All parameters are references: h of StepSettings, one number per lane.
    """
    net, nets, block, config, h = (
        dereference(net),
        dereference(nets),
        dereference(block),
        dereference(config),
        dereference(h),
    )
    p, g, n, lanes = block.p, block.g, nets.n_params, block.lanes
    one, zero = fill(p, 1.0, lanes), fill(p, 0.0, lanes)
    l2, clip = load(block.hyper, L2 * lanes, lanes), one
    if nets.clipped:
        clip = clip_factors(net, block, l2)
    by_layer = nets.penalised or config.layered
    for i in range(2 * net.n_layers if by_layer else 1):  # the weights of layer 0, its biases, the weights of layer 1
        first, end, decay, penalty, factor, settings = 0, n, one, zero, clip, h
        if config.layered:
            factor = clip * scalar_like(p, config.layer_factors[i])
            settings = settings_of_part(p, h, config.layer_factors[2 * net.n_layers + i])
        if by_layer:
            first, end, decay, penalty = net.weight_offsets[i // 2], net.bias_offsets[i // 2], settings.decay, l2
            if i % 2 == 1:
                first, end, decay, penalty = end, end + net.sizes[i // 2 + 1], one, zero
        add_penalty_and_clip(p, g, first * lanes, end * lanes, decay, penalty, factor, lanes)
        update(config.rule, p, g, block.state, first * lanes, end * lanes, n * lanes, settings, lanes)


@inline_helper
def rule_step(task, h):
    """Make one step of the update rule for all lanes, with penalties, clipping and layers' factors if there are any.

    task : Task of train.py
    h : StepSettings, one number per lane
    """
    config, nets, block, refs = task.config, task.nets, task.block, task.refs
    if nets.penalised or nets.clipped or config.layered:
        step_by_layers(refs.net, refs.nets, refs.block, refs.config, reference(h))
    else:
        size = nets.n_params * block.lanes
        update(config.rule, block.p, block.g, block.state, 0, size, size, h, block.lanes)


@inline_helper
def plain_sgd_step(nets, block):
    """Make one step of plain SGD, formulas/update_rules.sgd, with each lane's learning rate."""
    p, g, lanes = block.p, block.g, block.lanes
    rate = load(block.hyper, LEARNING_RATE * lanes, lanes)
    for i in range(0, nets.n_params * lanes, lanes):
        store(p, i, load(p, i, lanes) - rate * load(g, i, lanes))
