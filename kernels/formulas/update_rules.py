"""Update rules and the hyper-parameters they read: one table row each.

`update(p, g, s0, s1, s2, h) -> (p, s0, s1, s2)` updates one parameter: p its value, g its gradient, s0 to s2 up to
three numbers of optimiser state, h the settings of the step. A row of RULES says how many state values its rule uses
and their initial values; the others pass through unchanged. The position of a row is its code.

A rule reads `h.name` for every hyper-parameter of HYPER_PARAMETERS that is passed to it, and for every name in
STEP_VALUES. Kernels, CUDA source and the host follow from these tables by name. Decoupled weight decay (Loshchilov and
Hutter 2019) is available with every rule: before the rule, the loop multiplies weights, but not biases, by `h.decay`.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import NamedTuple

from ..jit.decorators import formula
from .numpy_math import absolute, multiply_add, ratio, sqrt, where

HUGE_SCALE = 2.0**-540  # factor with which no float64 gradient has a square that overflows, for clipping


class HyperParameter(NamedTuple):
    """A number that users set for an optimiser, under the same name in src/fastmlp/optimizers/__init__.py."""

    name: str
    is_passed: bool = True  # whether rules read it as it is; if not, kernels compute step values from it
    default: float = 0.0  # of optimisers without it, and of empty SIMD lanes: nonzero if a rule divides by it


HYPER_PARAMETERS = (
    HyperParameter("learning_rate", is_passed=False),
    HyperParameter("weight_decay", is_passed=False),
    HyperParameter("clip_norm", is_passed=False),
    HyperParameter("momentum"),
    HyperParameter("beta1"),
    HyperParameter("beta2"),
    HyperParameter("epsilon", default=1.0),
    HyperParameter("growth"),
    HyperParameter("shrink"),
    HyperParameter("smallest"),
    HyperParameter("biggest"),
    HyperParameter("damping", is_passed=False),
)
# Values that kernels compute for each step, in the dtype of the parameters:
#   learning_rate                 including the schedule's factor, and the correction 1 / (1 - beta1**t)
#   decay                         1 - learning rate * weight decay
#   inv_sqrt_bias_correction2     1 / sqrt(1 - beta2**t)
#   loss_increased                1 if the objective has increased since the last step, else 0; for rules whose row says
#                                 compares_loss
STEP_VALUES = ("learning_rate", "decay", "inv_sqrt_bias_correction2", "loss_increased")
PASSED = tuple(row.name for row in HYPER_PARAMETERS if row.is_passed)

StepSettings = namedtuple("StepSettings", PASSED + STEP_VALUES)  # type: ignore[misc]  # h, the settings of one step


@formula
def sgd(p, g, s0, s1, s2, h):
    """p - lr g"""
    return multiply_add(-h.learning_rate, g, p), s0, s1, s2


@formula
def momentum(p, g, v, s1, s2, h):
    """v = mu v - lr g; p + v  (Polyak 1964)"""
    v = multiply_add(h.momentum, v, -h.learning_rate * g)
    return p + v, v, s1, s2


@formula
def nesterov(p, g, v, s1, s2, h):
    """v = mu v - lr g; p + mu v - lr g  (Sutskever et al. 2013, in the shifted variables of Bengio et al. 2012)"""
    v = multiply_add(h.momentum, v, -h.learning_rate * g)
    return p + multiply_add(h.momentum, v, -h.learning_rate * g), v, s1, s2


@formula
def adam(p, g, m, v, s2, h):
    """Kingma and Ba 2015, algorithm 1: epsilon is added to the root of the corrected second moment.

    Moments move by a fraction of their distance to the new value, one operation less than a sum of two fractions.
    """
    m = multiply_add(1.0 - h.beta1, g - m, m)
    v = multiply_add(1.0 - h.beta2, multiply_add(g, g, -v), v)
    return multiply_add(-h.learning_rate, ratio(m, sqrt(v) * h.inv_sqrt_bias_correction2 + h.epsilon), p), m, v, s2


@formula
def rmsprop(p, g, v, s1, s2, h):
    """Tieleman and Hinton 2012: v = rho v + (1 - rho) g**2; p - lr g / (sqrt(v) + epsilon)"""
    v = multiply_add(1.0 - h.beta2, multiply_add(g, g, -v), v)
    return multiply_add(-h.learning_rate, ratio(g, sqrt(v) + h.epsilon), p), v, s1, s2


@formula
def adagrad(p, g, v, s1, s2, h):
    """Duchi et al. 2011: v = v + g**2; p - lr g / (sqrt(v) + epsilon)"""
    v = multiply_add(g, g, v)
    return multiply_add(-h.learning_rate, ratio(g, sqrt(v) + h.epsilon), p), v, s1, s2


@formula
def quickprop(p, g, step, g_before, s2, h):
    """Fahlman 1988: jump to the minimum of the parabola through the last two gradients.

    A step is at most `growth` times the last one. A gradient step is added unless the gradient has changed sign since
    the last step. A gradient that is 0 twice in a row, such as that of a unit that is never active, ends the steps; in
    Fahlman's program they would go on growing.
    """
    bound = g_before * h.growth / (1.0 + h.growth)
    descent = -h.learning_rate * g
    gap = g_before - g
    jump = step * g / where(absolute(gap) > 0.0, gap, 1.0)
    steep = where(step > 0.0, bound - g, g - bound)  # the parabola's jump would exceed growth * step
    jump = where(steep > 0.0, h.growth * step, jump)
    downhill = where(step * g < 0.0, descent, 0.0)
    moved = where(absolute(step) > 0.0, jump + downhill, descent)
    return p + moved, moved, g, s2


@formula
def rprop(p, g, g_before, size, step, h):
    """iRprop+, Igel and Huesken 2003: after a change of sign, take the last step back if the loss has increased."""
    sign = g * g_before
    grown = where(size * h.growth > h.biggest, h.biggest, size * h.growth)
    shrunk = where(size * h.shrink < h.smallest, h.smallest, size * h.shrink)
    size = where(sign > 0.0, grown, where(sign < 0.0, shrunk, size))
    forward = where(g > 0.0, -size, where(g < 0.0, size, 0.0))
    step = where(sign < 0.0, -h.loss_increased * step, forward)
    return p + step, where(sign < 0.0, 0.0, g), size, step


class Rule(NamedTuple):
    name: str
    update: Callable | None  # None for a rule of SECOND_ORDER
    n_state: int
    initial: tuple[str | None, ...] = (None, None, None)  # name of the hyper-parameter a state starts from; None: 0
    bias_correction: bool = False  # whether the learning rate is corrected by the powers of beta1 and beta2
    is_plain_descent: bool = False  # whether steps are linear in the gradients: descent with or without momentum
    sign_like_steps: bool = False  # whether steps are about as long as the learning rate, however large the gradients
    needs_full_batch: bool = False  # whether the rule compares consecutive gradients, which needs the same samples
    compares_loss: bool = False  # whether the rule reads h.loss_increased, which needs the objective of every step
    is_second_order: bool = False
    needs_curvature: bool = False  # whether the rule needs the Gauss-Newton matrix


RULES = (
    Rule("sgd", sgd, 0, is_plain_descent=True),
    Rule("momentum", momentum, 1, is_plain_descent=True),
    Rule("nesterov", nesterov, 1, is_plain_descent=True),
    Rule("adam", adam, 2, bias_correction=True, sign_like_steps=True),
    Rule("rmsprop", rmsprop, 1, sign_like_steps=True),
    Rule("adagrad", adagrad, 1),
    Rule("quickprop", quickprop, 2, needs_full_batch=True),
    Rule("rprop", rprop, 3, initial=(None, "learning_rate", None), needs_full_batch=True, compares_loss=True),
)
# Rules whose steps need second derivatives, or estimates of them, so that they are no function of one parameter and its
# gradient.
N_PAIRS = 10  # changes of parameters and gradient from which L-BFGS estimates them, as many as in SciPy
LBFGS_STATE = 2 + 2 * N_PAIRS
SECOND_ORDER = (
    Rule("levenbergmarquardt", None, 0, needs_full_batch=True, is_second_order=True, needs_curvature=True),
    Rule("lbfgs", None, LBFGS_STATE, (None,) * LBFGS_STATE, needs_full_batch=True, is_second_order=True),
)
ALL_RULES = RULES + SECOND_ORDER
CODES = {row.name: code for code, row in enumerate(ALL_RULES)}
SGD, LEVENBERG_MARQUARDT, LBFGS = CODES["sgd"], CODES["levenbergmarquardt"], CODES["lbfgs"]
BIAS_CORRECTED = tuple(code for code, row in enumerate(RULES) if row.bias_correction)
# Code of the one rule that compares losses. CPU kernels compare a code with it, which is shorter code than a test of
# membership; a second such rule is an error here until they make two comparisons.
(LOSS_COMPARING,) = (code for code, row in enumerate(RULES) if row.compares_loss)
MOST_STATE = max(row.n_state for row in RULES)


def n_state_rows(rule: Rule) -> int:
    """Return the number of vectors that hold the state of a rule: as many for all rules but L-BFGS."""
    return max(MOST_STATE, rule.n_state)
