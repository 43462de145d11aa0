"""Recorder callbacks: parameters over time, and activations and gradients by layer.

A recorder keeps a bounded number of evenly spaced records, however long the fit becomes: when it is full, it drops
every second record and from then on records at half the rate.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any

import numpy as np

from .data.checked_samples import as_features
from .errors import checked_count
from .kernels.formulas.activations import ACTIVATIONS, SOFTMAX

# A unit is saturated or dead where the derivative of its activation is below this fraction of the activation's largest
# derivative: it passes hardly any delta on.
FLAT_DERIVATIVE = 0.05


class _ThinningRecorder(ABC):
    """Base class of recorders: records of evenly spaced epochs from the first on.

    A short fit has a record of each epoch, a long one between half of max_records and max_records.
    """

    def __init__(self, max_records: int):
        self.max_records = checked_count("max_records", max_records, at_least=2)
        self.history: Any = None
        self.epochs: list[int] = []
        self._records: list[Any] = []
        self._stride = 1

    def __call__(self, epoch: int, history: Any) -> None:
        if self.history is not history:  # a new fit begins
            self.history, self.epochs, self._records, self._stride = history, [], [], 1
        if epoch % self._stride == 0:
            if len(self.epochs) == self.max_records:
                self.epochs, self._records, self._stride = self.epochs[::2], self._records[::2], 2 * self._stride
            if epoch % self._stride == 0:
                self.epochs.append(epoch)
                self._records.append(self._record(history.net))

    @abstractmethod
    def _record(self, net: Any) -> Any:
        """Return the record of the net at the current epoch."""

    @property
    def net(self) -> Any:
        """Net of the recorded fit.

        Raises
        ------
        ValueError
            If no fit was recorded.
        """
        if self.history is None:
            name = type(self).__name__
            raise ValueError(
                f"Nothing was recorded: give the {name} to fit, as in net.fit(X, y, callbacks=[recorder])."
            )
        return self.history.net


class Snapshots(_ThinningRecorder):
    """Recorder of the parameters during a fit: fit(..., callbacks=[snapshots]).

    A fit longer than max_records epochs has evenly spaced snapshots, at least half as many. A second fit with the same
    recorder replaces the first.

    Parameters
    ----------
    max_records : int, default 500
        Largest number of snapshots, each as large as the parameters; at least 2.

    Attributes
    ----------
    epochs : list of int
        Epochs of the snapshots, counted from 0.
    params : ndarray of shape (n_snapshots, n_params)
        Parameters after these epochs.
    history : History or None
        History of the recorded fit.
    net : MLP
        Net of the recorded fit; ValueError before a fit.
    max_records : int
        Largest number of snapshots.

    Examples
    --------
    >>> import fastmlp
    >>> snapshots, net = Snapshots(), fastmlp.MLP((2, 3, 1), random_state=0)
    >>> history = net.fit([[0, 1], [1, 0]], [0, 1], epochs=5, callbacks=[snapshots])
    >>> snapshots.epochs, snapshots.params.shape
    ([0, 1, 2, 3, 4], (5, 13))
    """

    def __init__(self, max_records: int = 500):
        super().__init__(max_records)

    def _record(self, net: Any) -> np.ndarray:
        return net.params.copy()

    @property
    def params(self) -> np.ndarray:
        """Parameters after the recorded epochs, (n_snapshots, n_params)."""
        return np.array(self._records)


class LayerRecorder(_ThinningRecorder):
    """Recorder of activations and gradients by layer, on a fixed set of samples: fit(..., callbacks=[recorder]).

    A fit longer than max_records epochs has evenly spaced records, at least half as many. A second fit with the same
    recorder replaces the first.

    Parameters
    ----------
    X : array_like of shape (n_samples, n_features)
        Inputs of the samples; a few hundred are enough.
    y : array_like
        Targets of the samples, as for fit.
    max_records : int, default 400
        Largest number of records; at least 2.

    Attributes
    ----------
    epochs : list of int
        Epochs of the records, counted from 0.
    gradient : ndarray of float64, shape (n_records, n_layers)
        Root mean square of the gradient with respect to the layer's weights.
    spread : ndarray of float64, shape (n_records, n_layers)
        Standard deviation of a unit's output over the samples, mean over units.
    flat : ndarray of float64, shape (n_records, n_hidden)
        Per hidden layer, fraction of outputs at which the activation's derivative is below a twentieth of its largest:
        saturated or dead.
    history : History or None
        History of the recorded fit.
    net : MLP
        Net of the recorded fit; ValueError before a fit.
    X : array_like
        Inputs, as given.
    y : array_like
        Targets, as given.
    max_records : int
        Largest number of records.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> recorder, net = LayerRecorder(X, y), fastmlp.MLP((2, 3, 1), random_state=0)
    >>> history = net.fit(X, y, epochs=5, callbacks=[recorder])
    >>> recorder.gradient.shape
    (5, 2)
    """

    def __init__(self, X: Any, y: Any, max_records: int = 400):
        super().__init__(max_records)
        self.X, self.y = X, y

    def _record(self, net: Any) -> tuple[np.ndarray, ...]:
        _, gradient = net.loss_and_gradient(self.X, self.y)
        sizes = [np.sqrt(np.mean(np.square(dW, dtype=np.float64))) for dW in net.network.layout.weights(gradient)]
        return np.array(sizes), *activity(net, self.X)

    @property
    def gradient(self) -> np.ndarray:
        """Root mean square of the gradient with respect to each layer's weights, (n_records, n_layers)."""
        return np.array([record[0] for record in self._records])

    @property
    def spread(self) -> np.ndarray:
        """Standard deviation of a unit's output over the samples, mean over units, (n_records, n_layers)."""
        return np.array([record[1] for record in self._records])

    @property
    def flat(self) -> np.ndarray:
        """Fraction of outputs at which the activation is nearly flat, per hidden layer, (n_records, n_hidden)."""
        return np.array([record[2] for record in self._records])


def activity(net: Any, X: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return spread (n_layers,) and flat (n_hidden,) of a net's layers on inputs X, as defined in LayerRecorder."""
    a = as_features(X, net.network.n_features, net.dtype)
    spread, flat = [], []
    for code, W, b in zip(net.network.activation_codes, net.weights, net.biases, strict=True):
        row, z = ACTIVATIONS[code], a @ W + b
        a = _softmax(z) if code == SOFTMAX else row.value(z)
        spread.append(float(a.std(axis=0).mean()))
        if row.hidden:
            derivative = np.abs(row.derivative(z if row.needs_z else a) - row.offset)
            flat.append(float((derivative < FLAT_DERIVATIVE * _largest_derivative(code)).mean()))
    return np.array(spread), np.array(flat[: len(spread) - 1])


def _softmax(z: np.ndarray) -> np.ndarray:
    a = np.exp(z - z.max(axis=1, keepdims=True))
    return a / a.sum(axis=1, keepdims=True)


@lru_cache
def _largest_derivative(code: int) -> float:
    row, z = ACTIVATIONS[code], np.linspace(-6.0, 6.0, 1201)
    return float(np.abs(row.derivative(z if row.needs_z else row.value(z)) - row.offset).max())
