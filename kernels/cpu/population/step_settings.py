"""Step settings of a block of nets, with one number per lane, and steps of one update rule in unrolled code.

Settings are rows of `lanes` numbers: setting q of the net in lane l is hyper[q * lanes + l]. The number of lanes is a
simd.lanes.Lanes.
"""

from __future__ import annotations

from functools import cache

from ...formulas.update_rules import STEP_VALUES
from ...jit.decorators import helper
from ...simd.load_store import cast_like, fill, load, store
from ...simd.vector import sqrt, where
from ...structs import LEARNING_RATE, WEIGHT_DECAY
from ..single_net.optimizer_step import make_step, settings_expression

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
