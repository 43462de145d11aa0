"""Model under test: nets with weights, or a forward function whose outputs alone are known, in one float64 form.

Everything here is plain NumPy in float64 over all nets of a model at once: parameters (n_nets, n_params), activations
(n_nets, n_samples, width). It is slow, and independent of the kernels that trained the net.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..kernels.formulas.activations import ACTIVATIONS, ActivationRow
from ..kernels.formulas.losses import LOSSES, SOFTMAX_CROSS_ENTROPY, LossRow
from ..network.parameter_layout import Layout
from ..network.spec import Network


@dataclass(frozen=True, eq=False)
class ModelUnderTest:
    """Nets of one architecture, or a forward function. All values are already checked.

    layout : layer sizes, and the offsets of each W and b in the parameters
    params : float64 (n_nets, n_params), or (1, 0) for a function
    activations : table row of each layer's activation, including the output; for a function one row without bounds
    loss : table row of the loss
    loss_constant : constant of the loss, such as huber_delta of the huber loss
    l2 : penalty factor; a number or (n_nets,)
    dropout : dropout rate in training; a number, (n_nets, n_hidden_layers) or (n_nets, 1)
    function : X (n_samples, n_features) -> outputs (n_samples, n_outputs), or None
    label_smoothing : fraction of each target that is spread over all classes
    """

    layout: Layout
    params: np.ndarray
    activations: tuple[ActivationRow, ...]
    loss: LossRow
    loss_constant: float = 1.0
    l2: Any = 0.0
    dropout: Any = 0.0
    function: Callable[[np.ndarray], np.ndarray] | None = None
    label_smoothing: float = 0.0

    @property
    def n_nets(self) -> int:
        return len(self.params)

    @property
    def n_outputs(self) -> int:
        return self.layout.layer_sizes[-1]

    @property
    def has_weights(self) -> bool:
        return self.function is None

    @property
    def dropped(self) -> np.ndarray:
        """Dropout rate of each hidden layer in training, (n_nets, n_hidden_layers)."""
        return np.broadcast_to(np.asarray(self.dropout, np.float64), (self.n_nets, self.layout.n_layers - 1))

    @property
    def is_softmax(self) -> bool:
        return self.loss is LOSSES[SOFTMAX_CROSS_ENTROPY]

    def layers(self, params: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return W (n_nets, fan_in, fan_out) and b (n_nets, fan_out) of each layer, views into params."""
        n, layout = len(params), self.layout
        offsets = zip(layout.weight_offsets, layout.bias_offsets, layout.shapes, strict=True)
        return [(params[:, w : w + i * j].reshape(n, i, j), params[:, b : b + j]) for w, b, (i, j) in offsets]

    def of_nets(self, members: slice) -> ModelUnderTest:
        """Return the model with the nets of a slice only."""
        setting_of_nets = lambda setting: setting if np.ndim(setting) == 0 else np.asarray(setting)[members]
        return replace(
            self, params=self.params[members], l2=setting_of_nets(self.l2), dropout=setting_of_nets(self.dropout)
        )

    # ---- mathematics

    def forward(
        self, X: np.ndarray, params: np.ndarray | None = None, rng: np.random.Generator | None = None
    ) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """Return ([z of each layer], [a of each layer]), each (n_nets, n_samples, width).

        The logits of a function are unknown; if the loss needs them, they are computed from the outputs.

        X : (n_samples, n_features)
        params : (n_nets, n_params) instead of the model's own, or None
        rng : generator of dropout masks for the hidden units, or None for no dropout
        """
        if self.function is not None:
            a = as_outputs(self.function(X), len(X))[None]
            return [self.logits(a)], [a]
        params = self.params if params is None else params
        layers = self.layers(params)
        keep_probability = 1.0 - self.dropped[:, :, None, None]
        zs, outputs, a = [], [], X[None]
        with np.errstate(all="ignore"):
            for k, ((W, b), row) in enumerate(zip(layers, self.activations, strict=True)):
                z = a @ W + b[:, None, :]
                a = _softmax(z) if row.name == "softmax" else np.asarray(row.value(z))
                if rng is not None and k < len(layers) - 1:
                    a = a * (rng.random(a.shape) < keep_probability[:, k]) / keep_probability[:, k]
                zs.append(z)
                outputs.append(a)
        return zs, outputs

    def logits(self, a: np.ndarray) -> np.ndarray:
        if self.loss.name == "binary_cross_entropy":
            p = np.clip(a, 1e-12, 1 - 1e-12)
            return np.log(p) - np.log1p(-p)
        if self.loss.delta_is_wrt_logit:
            return np.log(np.maximum(a, 1e-12))
        return a

    def losses(self, z: np.ndarray, a: np.ndarray, Y: np.ndarray) -> np.ndarray:
        """Return the loss of each net, (n_nets,), without the L2 penalty.

        It is the mean over samples and, except for softmax, over outputs.
        """
        with np.errstate(all="ignore"):
            return self.sample_losses(z, a, Y).mean(axis=1)

    def sample_losses(self, z: np.ndarray, a: np.ndarray, Y: np.ndarray) -> np.ndarray:
        """Return the loss of each net and sample, (n_nets, n_samples), without the L2 penalty."""
        with np.errstate(all="ignore"):
            if self.is_softmax:
                z = z - _logsumexp(z)
            losses = np.asarray(self.loss.value(z, a, self.smoothed(Y)[None], self.loss_constant))
            return losses.sum(axis=2) / (1 if self.is_softmax else self.n_outputs)

    def smoothed(self, Y: np.ndarray) -> np.ndarray:
        s = self.label_smoothing
        return Y * (1.0 - s) + s / self.n_outputs if s else Y

    def objective(self, X: np.ndarray, Y: np.ndarray, params: np.ndarray) -> np.ndarray:
        """Return the loss of each net with the L2 penalty, (n_nets,)."""
        zs, outputs = self.forward(X, params)
        squares = sum((W * W).sum(axis=(1, 2)) for W, _ in self.layers(params)) if np.any(self.l2) else 0.0
        return self.losses(zs[-1], outputs[-1], Y) + 0.5 * np.asarray(self.l2) * squares

    def gradient(self, X: np.ndarray, Y: np.ndarray, params: np.ndarray | None = None) -> np.ndarray:
        """Return the gradient of the objective, (n_nets, n_params)."""
        params = self.params if params is None else params
        zs, outputs = self.forward(X, params)
        deltas = self.deltas(zs, outputs, Y, params)
        grads = np.empty_like(params)
        inputs = [np.broadcast_to(X[None], (len(params), *X.shape)), *outputs[:-1]]
        with np.errstate(all="ignore"):
            for (dW, db), a, delta, (W, _) in zip(self.layers(grads), inputs, deltas, self.layers(params), strict=True):
                dW[:] = a.transpose(0, 2, 1) @ delta + np.reshape(self.l2, (-1, 1, 1)) * W
                db[:] = delta.sum(axis=1)
        return grads

    def deltas(
        self, zs: list[np.ndarray], outputs: list[np.ndarray], Y: np.ndarray, params: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Return the deltas: the derivative of the loss with respect to z of each layer, (n_nets, n_samples, width)."""
        params = self.params if params is None else params
        layers = self.layers(params)
        with np.errstate(all="ignore"):
            delta = np.asarray(self.loss.delta(outputs[-1], self.smoothed(Y)[None], self.loss_constant)) / len(Y)
            if not self.is_softmax:
                delta = delta / self.n_outputs
            if not self.loss.delta_is_wrt_logit:
                delta = delta * activation_derivative(self.activations[-1], zs[-1], outputs[-1])
            deltas = [delta]
            for k in range(len(layers) - 1, 0, -1):
                propagated = deltas[0] @ layers[k][0].transpose(0, 2, 1)
                slope = activation_derivative(self.activations[k - 1], zs[k - 1], outputs[k - 1])
                deltas.insert(0, propagated * slope)
        return deltas


def activation_derivative(row: ActivationRow, z: np.ndarray, a: np.ndarray) -> np.ndarray:
    """Return f'(z) of an activation, without the offset that some activations add to it in training."""
    with np.errstate(all="ignore"):
        return np.asarray(row.derivative(z if row.needs_z else a)) - row.offset


def _logsumexp(z: np.ndarray) -> np.ndarray:
    largest = z.max(axis=2, keepdims=True)
    return largest + np.log(np.exp(z - largest).sum(axis=2, keepdims=True))


def _softmax(z: np.ndarray) -> np.ndarray:
    return np.exp(z - _logsumexp(z))


def sample_rows(n: int, max_rows: int) -> np.ndarray:
    """Return at most `max_rows` of n row numbers, drawn at random with a fixed seed."""
    return np.arange(n) if n <= max_rows else np.sort(np.random.default_rng(3).choice(n, max_rows, replace=False))


def as_outputs(values: Any, n_samples: int) -> np.ndarray:
    """Return the result of a user's forward function as float64 (n_samples, n_outputs).

    Raises
    ------
    ValueError
        If the result does not have one row per sample.
    """
    array = np.asarray(values, np.float64)
    if array.ndim == 1:
        array = array[:, None]
    if array.ndim != 2 or len(array) != n_samples:
        raise ValueError(
            f"The forward function must return one row of outputs per sample, shape ({n_samples}, n_outputs), but it "
            f"returned shape {np.shape(values)}. Give diagnose a function of X (n_samples, n_features), such as "
            "lambda X: forward(X.T).T."
        )
    return array


def model_of_fastmlp(network: Network, params: np.ndarray, l2: Any, dropout: Any = 0.0) -> ModelUnderTest:
    """Return the model for nets of fastmlp.

    params : (n_nets, n_params)
    l2, dropout : as in ModelUnderTest
    """
    rows = tuple(ACTIVATIONS[code] for code in network.activation_codes)
    return ModelUnderTest(
        network.layout,
        params.astype(np.float64),
        rows,
        LOSSES[network.loss],
        network.loss_constant,
        l2,
        dropout,
        label_smoothing=network.label_smoothing,
    )
