"""L-BFGS steps of one net: a quasi-Newton direction from the last steps, and a line search that goes back.

It is written in NumPy; loss and gradient come from the kernels of the net's family. A step minimises f(p), the mean
loss of all samples with the L2 penalty, along the direction d = H g. H, an estimate of the inverse of the second
derivatives, comes from the last N_PAIRS steps s and changes y of the gradient with s^T y > 0 by the two-loop recursion
(Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.4); before the first, d = g / |g|. The step to
p - t r d, with the learning rate r, 1 by default, is made only if f falls by SUFFICIENT t r g^T d. Then t is 1 again;
else the next step has t at the minimum of the parabola through both losses and the slope, within LEAST_CUT and MOST_CUT
of this one. scalars[POWER1] is t, and scalars[POWER2] is 2 once there has been a step.

Rows of the optimiser state: parameters and gradient before the last step, then N_PAIRS steps and N_PAIRS changes, the
newest first.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ...formulas.update_rules import LBFGS_STATE, N_PAIRS
from ...structs import DIVERGED, LEARNING_RATE, POWER1, POWER2, STEPS_DONE, NetSpec, TrainConfig, TrainState

PARAMS, GRADIENT, STEPS, CHANGES = 0, 1, 2, 2 + N_PAIRS  # rows of the state
CURVATURE = 1e-10  # least s^T y / y^T y of a pair
SUFFICIENT = 1e-4  # share of the fall that the slope promises
LEAST_CUT, MOST_CUT = 0.5, 0.1  # factors on the length of a step that was not made
LEAST_LENGTH = 1e-10


class Evaluation(NamedTuple):
    """Loss and gradient of all samples at some parameters."""

    loss: float  # mean, without the penalty
    accuracy: float
    objective: float  # with the penalty
    gradient: np.ndarray  # (n_params,), of the objective


def train(
    net: NetSpec,
    config: TrainConfig,
    state: TrainState,
    evaluate: Callable[[np.ndarray], tuple[float, float, np.ndarray]],
    first: int,
    n: int,
) -> None:
    """Train a net for n steps, from step number `first` on, as kernels of the other families do.

    evaluate : function (params) that returns mean loss, accuracy and gradient, of n_padded numbers each
    """
    scalars, params, penalty = state.scalars[0], state.params, np.zeros_like(state.params)
    for weights, biases in zip(net.weight_offsets, net.bias_offsets, strict=True):
        penalty[weights:biases] = net.l2
    memory = state.state.reshape(-1, len(params))[:LBFGS_STATE]

    def evaluation(at: np.ndarray) -> Evaluation:
        loss, accuracy, gradient = evaluate(at)
        return Evaluation(loss, accuracy, loss + 0.5 * float(penalty @ (at * at)), gradient + penalty * at)

    now = evaluation(params)
    for t in range(n):
        if not np.isfinite(now.loss):
            scalars[DIVERGED] = 1.0
            return
        remember(memory, params, now.gradient, scalars[POWER2] > 1.5)
        direction = direction_of(memory, now.gradient)
        length = float(scalars[POWER1])
        rate = float(config.hyper[LEARNING_RATE] * length * config.factors[t])
        fall = rate * float(now.gradient @ direction)
        there = params - rate * direction
        trial = evaluation(there)
        state.epoch_loss[first + t], state.epoch_accuracy[first + t] = now.loss, now.accuracy
        if fall > 0.0 and trial.objective <= now.objective - SUFFICIENT * fall:
            params[:], now, length = there, trial, 1.0
        else:
            gap = trial.objective - now.objective + fall
            cut = 0.5 * fall / gap if gap > 0.0 else MOST_CUT
            length = max(length * (min(cut, LEAST_CUT) if cut > MOST_CUT else MOST_CUT), LEAST_LENGTH)
        scalars[POWER1], scalars[POWER2], scalars[STEPS_DONE] = length, 2.0, first + t + 1.0


def remember(memory: np.ndarray, params: np.ndarray, gradient: np.ndarray, has_step: bool) -> None:
    """Add the pair of the last step to the state, in place of the oldest one, if it has a curvature."""
    step, change = params - memory[PARAMS], gradient - memory[GRADIENT]
    if has_step and step @ change > CURVATURE * (change @ change):
        for rows, newest in ((memory[STEPS:CHANGES], step), (memory[CHANGES:], change)):
            rows[1:] = rows[:-1].copy()
            rows[0] = newest
    memory[PARAMS], memory[GRADIENT] = params, gradient


def direction_of(memory: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Return the direction, by the two-loop recursion."""
    d = gradient.copy()
    pairs = [(s, y, float(s @ y)) for s, y in zip(memory[STEPS:CHANGES], memory[CHANGES:], strict=True)]
    pairs = [pair for pair in pairs if pair[2] > 0.0]
    coefficients = []
    for s, y, product in pairs:
        coefficients.append(float(s @ d) / product)
        d -= coefficients[-1] * y
    if pairs:
        _, y, product = pairs[0]
        d *= product / float(y @ y)
    else:
        norm = float(np.sqrt(gradient @ gradient))
        d *= 1.0 / norm if norm > 0.0 else 0.0
    for (s, y, product), coefficient in zip(reversed(pairs), reversed(coefficients), strict=True):
        d += (coefficient - float(y @ d) / product) * s
    return d
