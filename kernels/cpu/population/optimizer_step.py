"""Optimiser step for a block of nets: settings with one number per lane, and a whole step of one update rule.

Settings are rows of `lanes` numbers: setting q of the net in lane l is hyper[q * lanes + l].
"""

from __future__ import annotations

from ...formulas.update_rules import StepSettings
from ...jit.decorators import helper
from ...simd.load_store import cast_like, fill, load, store
from ...simd.vector import sqrt, where
from ..single_net.optimizer_step import (
    BETA1,
    BETA2,
    BIGGEST,
    EPSILON,
    GROWTH,
    LEARNING_RATE,
    MOMENTUM,
    SHRINK,
    SMALLEST,
    WEIGHT_DECAY,
)


def make_settings(lanes):
    """Return settings_now(...) for blocks of this many lanes."""

    @helper
    def settings_now(hyper, betas, powers, factor, corrects, loss_increased):
        """Return the update rule's settings at this step, one number per lane; see single_net's step_settings.

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
        return StepSettings(
            load(hyper, MOMENTUM * lanes, lanes),
            load(hyper, BETA1 * lanes, lanes),
            load(hyper, BETA2 * lanes, lanes),
            load(hyper, EPSILON * lanes, lanes),
            load(hyper, GROWTH * lanes, lanes),
            load(hyper, SHRINK * lanes, lanes),
            load(hyper, SMALLEST * lanes, lanes),
            load(hyper, BIGGEST * lanes, lanes),
            rate,
            decay,
            inv_sqrt_bias_correction2,
            loss_increased,
        )

    return settings_now


def make_advance(row, lanes):
    """Return advance(p, g, state, hyper, betas, powers, last_loss, objective, size) for one row of update_rules.RULES.

    advance makes one step of the update rule for the first `size` numbers of p, without penalty, clipping or schedule.
    """
    rule, n_state, corrects, settings_now = row.update, row.n_state, row.bias_correction, make_settings(lanes)

    def advance(p, g, state, hyper, betas, powers, last_loss, objective, size):
        loss_increased = where(objective > load(last_loss, 0, lanes), 1.0, 0.0)
        store(last_loss, 0, objective)
        h = settings_now(hyper, betas, powers, fill(p, 1.0, lanes), corrects, loss_increased)
        for i in range(0, size, lanes):
            value = load(p, i, lanes)
            s0 = load(state, i, lanes) if n_state > 0 else value
            s1 = load(state, size + i, lanes) if n_state > 1 else value
            s2 = load(state, 2 * size + i, lanes) if n_state > 2 else value
            value, s0, s1, s2 = rule(value, load(g, i, lanes), s0, s1, s2, h)
            store(p, i, value)
            if n_state > 0:
                store(state, i, s0)
            if n_state > 1:
                store(state, size + i, s1)
            if n_state > 2:
                store(state, 2 * size + i, s2)

    return advance
