"""Callbacks that keep what pictures of learning need: parameters over time, and activations and gradients by layer.

Both keep about as many records as asked for, evenly spaced, however long the fit becomes: when there is no room left
they drop every second one and take half as many from then on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

import numpy as np

from .data.validation import as_features
from .errors import checked_count
from .kernels.formulas.activations import ACTIVATIONS, SOFTMAX

FLAT = 0.05  # a unit whose slope is below this share of its activation's steepest passes hardly any error on


class _Thinning(ABC):
    """Records of evenly spaced epochs, from the first on: all of a short fit, `most` / 2 to `most` of a long one."""

    def __init__(self, most: int):
        self.most = checked_count("most", most, at_least=2)
        self.history: Any = None
        self.epochs: list[int] = []
        self._records: list[Any] = []
        self._stride = 1

    def __call__(self, epoch: int, history: Any) -> None:
        if self.history is not history:  # a new fit begins
            self.history, self.epochs, self._records, self._stride = history, [], [], 1
        if epoch % self._stride == 0:
            if len(self.epochs) == self.most:
                self.epochs, self._records, self._stride = self.epochs[::2], self._records[::2], 2 * self._stride
            if epoch % self._stride == 0:
                self.epochs.append(epoch)
                self._records.append(self._record(history.net))

    @abstractmethod
    def _record(self, net: Any) -> Any:
        """What is kept of the net at this epoch."""

    @property
    def net(self) -> Any:
        """The net of the fit that was recorded.

        Raises
        ------
        ValueError
            If nothing was recorded.
        """
        if self.history is None:
            name = type(self).__name__
            raise ValueError(
                f"Nothing was recorded: give the {name} to fit, as in net.fit(X, y, callbacks=[recorder])."
            )
        return self.history.net


class Snapshots(_Thinning):
    """A callback that keeps copies of the parameters while a net learns: fit(..., callbacks=[snapshots]).

    most : how many; each takes as much memory as the parameters
    epochs : list of int            which epochs, from 0
    params : (n_snapshots, n_params)

    A recorder used for a second fit forgets the first.

    >>> import fastmlp
    >>> snapshots, net = Snapshots(), fastmlp.MLP((2, 3, 1), random_state=0)
    >>> history = net.fit([[0, 1], [1, 0]], [0, 1], epochs=5, callbacks=[snapshots])
    >>> snapshots.epochs, snapshots.params.shape
    ([0, 1, 2, 3, 4], (5, 13))
    """

    def __init__(self, most: int = 500):
        super().__init__(most)

    def _record(self, net: Any) -> np.ndarray:
        return net.params.copy()

    @property
    def params(self) -> np.ndarray:
        return np.array(self._records)

    def frames(self, n: int) -> list[int]:
        """Numbers of about n snapshots, between which the parameters move about equally far or about equally many
        epochs pass, half of each: a plateau is not all there is to see, and neither is the way out of it.

        >>> Snapshots().frames(3)
        []
        """
        if len(self.epochs) < 2:
            return list(range(len(self.epochs)))
        steps = np.linalg.norm(np.diff(self.params.astype(np.float64), axis=0), axis=1)
        far = np.cumsum(steps) / (steps.sum() or 1.0)
        late = (np.array(self.epochs[1:]) - self.epochs[0]) / (self.epochs[-1] - self.epochs[0])
        progress = np.concatenate([[0.0], 0.5 * far + 0.5 * late])
        rows = np.searchsorted(progress, np.linspace(0.0, progress[-1], n)).clip(0, len(progress) - 1)
        return [int(row) for row in np.unique(rows)]


class LayerRecorder(_Thinning):
    """A callback that watches activations and gradients by layer, on samples that do not change.

    X, y : samples, as for fit; a few hundred are enough
    most : the most records
    epochs : list of int                   which epochs, from 0
    gradient : (n_records, n_layers)       root mean square of the loss's gradient by the layer's weights
    spread : (n_records, n_layers)         standard deviation of a unit's output over the samples, mean over units
    flat : (n_records, n_hidden)           per hidden layer: share of outputs where the activation's slope
                                           is below a twentieth of its steepest: saturated or dead

    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> recorder, net = LayerRecorder(X, y), fastmlp.MLP((2, 3, 1), random_state=0)
    >>> history = net.fit(X, y, epochs=5, callbacks=[recorder])
    >>> recorder.gradient.shape
    (5, 2)
    """

    def __init__(self, X: Any, y: Any, most: int = 400):
        super().__init__(most)
        self.X, self.y = X, y

    def _record(self, net: Any) -> tuple[np.ndarray, ...]:
        _, gradient = net.loss_and_gradient(self.X, self.y)
        sizes = [np.sqrt(np.mean(np.square(dW, dtype=np.float64))) for dW in net.network.layout.weights(gradient)]
        return np.array(sizes), *activity(net, self.X)

    @property
    def gradient(self) -> np.ndarray:
        return np.array([record[0] for record in self._records])

    @property
    def spread(self) -> np.ndarray:
        return np.array([record[1] for record in self._records])

    @property
    def flat(self) -> np.ndarray:
        return np.array([record[2] for record in self._records])


def activity(net: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """spread (n_layers,) and flat (n_hidden,) of a net's layers, as LayerRecorder describes them."""
    a = as_features(X, net.network.n_features, net.dtype)
    spread, flat = [], []
    for code, W, b in zip(net.network.activation_codes, net.weights, net.biases, strict=True):
        row = ACTIVATIONS[code]
        z = a @ W + b
        a = _softmax(z) if code == SOFTMAX else row.value(z)
        spread.append(float(a.std(axis=0).mean()))
        if row.hidden:
            slope = np.abs(row.derivative(z if row.needs_z else a) - row.offset)
            flat.append(float((slope < FLAT * _steepest(code)).mean()))
    return np.array(spread), np.array(flat[: len(spread) - 1])


def _softmax(z: np.ndarray) -> np.ndarray:
    a = np.exp(z - z.max(axis=1, keepdims=True))
    return a / a.sum(axis=1, keepdims=True)


@lru_cache
def _steepest(code: int) -> float:
    row, z = ACTIVATIONS[code], np.linspace(-6.0, 6.0, 1201)
    return float(np.abs(row.derivative(z if row.needs_z else row.value(z)) - row.offset).max())
