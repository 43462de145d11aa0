"""Levenberg-Marquardt steps of one net: damped Gauss-Newton, with the Jacobian of some samples at a time.

It is written in NumPy: almost all of the time goes into the product J J^T, for which NumPy calls BLAS, and into the
Cholesky factorisation, for which it calls LAPACK. All arithmetic is in float64, whatever the dtype of the net.

A step minimises f(p), the mean loss of a batch with the L2 penalty. With the gradient g and the Gauss-Newton matrix H,
the mean over samples of J^T C J for the Jacobian J of the outputs and the curvature C of the loss:

    (H + damping I) d = g,    ratio = (f(p) - f(p - r d)) / (r g^T d - r^2 d^T H d / 2)

with the learning rate r, 1 by default. The step to p - r d is made only if f falls. The damping is then multiplied by
max(1/3, 1 - (2 ratio - 1)**3), and by 2, 4, 8, ... after each further step that is not made (Nielsen 1999, "Damping
parameter in Marquardt's method"). scalars[POWER1] is the damping as a multiple of the initial one, and scalars[POWER2]
half of its next growth.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from ...formulas.activations import SOFTMAX
from ...formulas.array_passes import activation_derivatives, forward, layers_of
from ...formulas.losses import LOSSES
from ...structs import (
    DAMPING,
    DIVERGED,
    EPOCH_LOSS,
    EPOCH_N_CORRECT,
    LEARNING_RATE,
    METRIC_ARGMAX,
    METRIC_MARGIN,
    METRIC_NONE,
    POWER1,
    POWER2,
    STEPS_DONE,
    NetSpec,
    Samples,
    TrainConfig,
    TrainState,
)

JACOBIAN_BYTES = 2**21  # of the samples that are taken at a time, which fit into a cache
SAMPLES_PER_PARAMETER = 0.25  # samples taken at a time at least: adding their product to the matrix costs little then
# Bounds of the damping as a multiple of the initial one; at the upper one, no step can be found.
LEAST_FACTOR, MOST_FACTOR = 1e-15, 1e9
MOST_GROWTH = 2.0**20  # of half of the factor by which it grows


class Columns(NamedTuple):
    """Samples in float64, a column each."""

    X: np.ndarray  # (n_features, n)
    Y: np.ndarray  # (n_outputs, n)
    weight: np.ndarray  # (n,)


class Sums(NamedTuple):
    """Weighted sums over the samples of a batch."""

    loss: float
    n_correct: float
    gradient: np.ndarray  # (n_params,), of the loss
    matrix: np.ndarray  # (n_params, n_params), Gauss-Newton


def columns_of(data: Samples, rows: np.ndarray | slice) -> Columns:
    """Return some of the samples; those of weight 0 are left out, since their outputs may overflow."""
    weight = np.ones(data.n_samples)[rows]
    X, Y = data.X.reshape(data.n_samples, -1)[rows], data.Y.reshape(data.n_samples, -1)[rows]
    if data.has_weights:
        weight = data.weight[rows].astype(np.float64)
        X, Y, weight = X[weight > 0], Y[weight > 0], weight[weight > 0]
    return Columns(*(np.ascontiguousarray(array.T, np.float64) for array in (X, Y)), weight)


class Objective:
    """Loss of a net on the samples of a batch as a function of its parameters, all in float64."""

    def __init__(self, net: NetSpec, metric: int, columns: Columns, n_samples: int):
        self.net, self.metric, self.columns, self.n_samples = net, metric, columns, n_samples
        self.layers, self.loss_row = layers_of(net), LOSSES[net.loss]
        self.n_params = n = self.layers[-1].biases.stop
        # Both passes of a step add up the losses of the same parts: else their difference may be rounding alone.
        self.part_size = max(64, int(SAMPLES_PER_PARAMETER * n), JACOBIAN_BYTES // (8 * n))
        self.penalty = np.zeros(self.n_params)  # of each parameter
        for layer in self.layers:
            self.penalty[layer.weights] = net.l2

    def parts(self) -> Iterator[Columns]:
        """Yield the samples, some at a time."""
        n, size = self.columns.weight.size, self.part_size
        for first in range(0, n, size):
            yield Columns(*(array[..., first : first + size] for array in self.columns))

    def losses(self, columns: Columns, a: np.ndarray, z: np.ndarray) -> float:
        """Return the weighted sum of the losses of some samples."""
        with np.errstate(all="ignore"):
            values = self.loss_row.value(z, a, columns.Y, self.net.loss_constant)
        return float(values.sum(axis=0) @ columns.weight) / self.net.loss_width

    def mean_loss(self, params: np.ndarray) -> float:
        """Return the mean loss with the penalty."""
        total = 0.0
        for part in self.parts():
            a, z = forward(self.net, self.layers, params, part.X)
            total += self.losses(part, a[-1], z[-1])
        return total / self.n_samples + self.penalised(params)

    def penalised(self, params: np.ndarray) -> float:
        return 0.5 * float(self.penalty @ params**2)

    def sums(self, params: np.ndarray) -> Sums:
        """Return the sums over all samples."""
        loss = n_correct = 0.0
        gradient, matrix = np.zeros(self.n_params), np.zeros((self.n_params, self.n_params))
        for part in self.parts():
            a, z = forward(self.net, self.layers, params, part.X)
            loss += self.losses(part, a[-1], z[-1])
            n_correct += self.correct(part, a[-1])
            derivatives = activation_derivatives(self.layers, a, z)
            if self.loss_row.delta_is_wrt_logit:
                derivatives[-1] = np.ones_like(z[-1])
            delta = self.loss_row.delta(a[-1], part.Y, self.net.loss_constant) * part.weight
            gradient += self.back(params, a, derivatives, delta).sum(axis=1)
            for root in self.roots(part, a[-1], z[-1]):
                jacobian = self.back(params, a, derivatives, root)
                matrix += jacobian @ jacobian.T
        scale = 1.0 / self.net.loss_width
        return Sums(loss, n_correct, gradient * scale, matrix * scale)

    def roots(self, columns: Columns, a: np.ndarray, z: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the columns of a root of the curvature: sum r r^T is the second derivative by the outputs, weighted."""
        n_outputs, weight = len(a), np.sqrt(columns.weight)
        curvature = self.loss_row.curvature(z, a, columns.Y, self.net.loss_constant)
        for k in range(n_outputs):
            root = np.zeros_like(a)
            root[k] = np.sqrt(curvature[k] if np.ndim(curvature) else curvature) * weight
            if self.net.activations[-1] == SOFTMAX:  # diag(a) - a a^T = sum of a[k] (e[k] - a) (e[k] - a)^T
                root -= a * root[k]
            yield root

    def back(self, params: np.ndarray, a: list, derivatives: list, delta: np.ndarray) -> np.ndarray:
        """Return, for derivatives by the outputs or logits, those by the parameters, (n_params, n) for n samples."""
        n = delta.shape[1]
        jacobian = np.empty((self.n_params, n))
        for k in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[k]
            delta = delta * derivatives[k]
            np.multiply(a[k][:, None], delta[None], out=jacobian[layer.weights].reshape(*layer.shape, n))
            jacobian[layer.biases] = delta
            if k:
                delta = params[layer.weights].reshape(layer.shape) @ delta
        return jacobian

    def correct(self, columns: Columns, a: np.ndarray) -> float:
        """Return the sum of the weights of correct samples, as elementwise.count_correct counts them."""
        y = columns.Y
        if self.metric == METRIC_NONE:
            return 0.0
        if self.metric == METRIC_ARGMAX:
            return float(columns.weight @ (a.argmax(axis=0) == y.argmax(axis=0)))
        if self.metric == METRIC_MARGIN:
            right = np.abs(a - y) <= self.net.margin
        else:
            right = (a > self.net.class_threshold) == (y > self.net.class_threshold)
        return float(right.mean(axis=0) @ columns.weight)


def step(objective: Objective, state: TrainState, damping: float, factor: float) -> tuple[float, float]:
    """Make one step; return the sums of losses and of correct samples before it.

    damping : initial damping
    factor : on the step
    """
    from scipy.linalg.lapack import dposv  # importing it takes 0.1 s, and no other rule needs it

    scalars, params = state.scalars[0], state.params[: objective.n_params].astype(np.float64)
    n, sums = objective.n_samples, objective.sums(params)
    before = sums.loss / n + objective.penalised(params)
    gradient, matrix = sums.gradient / n + objective.penalty * params, sums.matrix / n
    diagonal = np.einsum("ii->i", matrix)
    diagonal += objective.penalty
    if not (np.isfinite(before) and np.isfinite(diagonal).all()):
        return np.nan, 0.0
    now = damping * scalars[POWER1]
    diagonal += now
    _, direction, is_singular = dposv(matrix.T, gradient, overwrite_a=True)
    if is_singular:  # not positive definite, to the precision of float64
        direction = np.zeros_like(gradient)
    trial = (params - factor * direction).astype(state.params.dtype)
    gain = before - objective.mean_loss(trial.astype(np.float64))
    slope = gradient @ direction
    expected = factor * slope - 0.5 * factor**2 * (slope - now * direction @ direction)
    if gain > 0.0 and expected > 0.0:
        state.params[: objective.n_params] = trial
        scalars[POWER1] *= max(1 / 3, 1 - (2 * min(gain / expected, 1.5) - 1) ** 3)
        scalars[POWER2] = 1.0
    else:
        scalars[POWER1] *= 2.0 * scalars[POWER2]
        scalars[POWER2] = min(2.0 * scalars[POWER2], MOST_GROWTH)
    scalars[POWER1] = min(max(scalars[POWER1], LEAST_FACTOR), MOST_FACTOR)
    return sums.loss, sums.n_correct


def train(
    net: NetSpec,
    data: Samples,
    config: TrainConfig,
    state: TrainState,
    draw_order: Callable[[int], np.ndarray],
    first: int,
    n: int,
) -> None:
    """Train a net for n steps, from step number `first` on, as kernels of the other families do.

    draw_order : function (epoch) that returns the order of its samples, int64 (n_samples,), if they are shuffled
    """
    scalars, size = state.scalars[0], config.batch_size
    n_batches, objective = -(-data.n_samples // size), None
    damping, rate, order = config.hyper[DAMPING], config.hyper[LEARNING_RATE], None
    for t in range(n):
        epoch, batch = divmod(first + t, n_batches)
        if batch == 0:
            scalars[EPOCH_LOSS] = scalars[EPOCH_N_CORRECT] = 0.0
        if config.shuffle and (order is None or batch == 0):
            order = draw_order(epoch)
        if objective is None or n_batches > 1:
            rows = slice(batch * size, min((batch + 1) * size, data.n_samples))
            columns = columns_of(data, rows if order is None else order[rows])
            objective = Objective(net, data.metric, columns, rows.stop - rows.start)
        with np.errstate(over="ignore", invalid="ignore"):
            loss, n_correct = step(objective, state, damping, rate * config.factors[t])
        if not np.isfinite(loss):
            scalars[DIVERGED] = 1.0
            return
        scalars[EPOCH_LOSS] += loss
        scalars[EPOCH_N_CORRECT] += n_correct
        scalars[STEPS_DONE] = first + t + 1.0
        if batch == n_batches - 1:
            state.epoch_loss[epoch] = scalars[EPOCH_LOSS] / data.n_samples
            state.epoch_accuracy[epoch] = scalars[EPOCH_N_CORRECT] / data.n_samples
