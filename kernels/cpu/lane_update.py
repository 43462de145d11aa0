"""The optimiser's step for a block of nets: settings, one number per lane, and the whole step of one rule.

Per-lane numbers are rows of LANES: setting q of the net in lane l is hyper[q * LANES + l].
"""

from __future__ import annotations

from ..jit import inner
from ..memory import converted, fill, load, store
from ..optimizers import Settings
from ..simd import sqrt, where
from .update import BETA1, BETA2, BIGGEST, EPSILON, GROWTH, LEARNING_RATE, MOMENTUM, SHRINK, SMALLEST, WEIGHT_DECAY
from .work import LANES


@inner
def settings_now(hyper, betas, powers, factor, corrects, worse):
    """As update.settings_now. betas, powers : float64 (2, LANES), Adam's, in full precision; factor : the schedule's"""
    rate = load(hyper, LEARNING_RATE * LANES, LANES) * factor
    decay = 1.0 - rate * load(hyper, WEIGHT_DECAY * LANES, LANES)
    root_correction = fill(hyper, 1.0, LANES)
    if corrects:
        power1 = load(powers, 0, LANES) * load(betas, 0, LANES)
        power2 = load(powers, LANES, LANES) * load(betas, LANES, LANES)
        store(powers, 0, power1)
        store(powers, LANES, power2)
        rate = rate / converted(hyper, 1.0 - power1)
        root_correction = 1.0 / sqrt(converted(hyper, 1.0 - power2))
    return Settings(
        load(hyper, MOMENTUM * LANES, LANES), load(hyper, BETA1 * LANES, LANES), load(hyper, BETA2 * LANES, LANES),
        load(hyper, EPSILON * LANES, LANES), load(hyper, GROWTH * LANES, LANES), load(hyper, SHRINK * LANES, LANES),
        load(hyper, SMALLEST * LANES, LANES), load(hyper, BIGGEST * LANES, LANES),
        rate, decay, root_correction, worse,
    )  # fmt: skip


def make_advance(row):
    """advance(p, g, state, hyper, betas, powers, last_loss, objective, size): a step of this rule, without penalty,
    clipping or schedule, for `size` numbers of p.
    """
    rule, n_state, corrects = row.update, row.n_state, row.corrects

    def advance(p, g, state, hyper, betas, powers, last_loss, objective, size):
        worse = where(objective > load(last_loss, 0, LANES), 1.0, 0.0)
        store(last_loss, 0, objective)
        h = settings_now(hyper, betas, powers, fill(p, 1.0, LANES), corrects, worse)
        for i in range(0, size, LANES):
            value = load(p, i, LANES)
            s0 = load(state, i, LANES) if n_state > 0 else value
            s1 = load(state, size + i, LANES) if n_state > 1 else value
            s2 = load(state, 2 * size + i, LANES) if n_state > 2 else value
            value, s0, s1, s2 = rule(value, load(g, i, LANES), s0, s1, s2, h)
            store(p, i, value)
            if n_state > 0:
                store(state, i, s0)
            if n_state > 1:
                store(state, size + i, s1)
            if n_state > 2:
                store(state, 2 * size + i, s2)

    return advance
