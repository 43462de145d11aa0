"""Units of the rows of a fit: nets with standardize=True are trained on inputs, and targets of regressions, of mean 0
and standard deviation 1. Before and after the fit, their parameters are for rows in units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ..interface.user_warnings import warn_user
from ..kernels.formulas.activations import IDENTITY
from ..kernels.structs import METRIC_NONE, Samples
from ..network.spec import Network
from .arrays import on_host
from .checked_samples import Strides

PIECE = 2**18  # numbers that are converted to float64 at a time
UNRESOLVED = 2.0**10  # roundings of the mean in a standard deviation: with fewer, inputs have few digits left
CONSTANT = 10 * np.finfo(np.float64).eps  # of the mean: a smaller standard deviation is rounding


class Moments(NamedTuple):
    """Means and standard deviations of columns, float64 (k, n_columns): of all rows, k = 1, or of each net's."""

    mean: np.ndarray
    scale: np.ndarray  # 1 for a constant column

    @classmethod
    def of(cls, rows: np.ndarray, weight: np.ndarray) -> Moments:
        """Return those of rows (k, n, n_columns); weight : float64 (k, n) or (1, n)"""
        mean = _mean(rows, weight, lambda part: part)
        scale = np.sqrt(_mean(rows, weight, lambda part: np.square(part - mean[:, None])))
        return cls(mean, np.where(scale > CONSTANT * np.abs(mean), scale, 1.0))

    def apply(self, rows: np.ndarray, out: np.ndarray) -> np.ndarray:
        """Return `out` with the standardised rows, both (k, n, n_columns); they may be the same array."""
        for piece in _pieces(rows):
            out[:, piece] = (rows[:, piece] - self.mean[:, None]) / self.scale[:, None]
        return out

    def undo(self, rows: np.ndarray, net: int) -> np.ndarray:
        """Return rows of a net (n, n_columns) in units."""
        net = net if len(self.mean) > 1 else 0
        return (rows * self.scale[net] + self.mean[net]).astype(rows.dtype)


class Units(NamedTuple):
    """Units of inputs and targets."""

    inputs: Moments
    targets: Moments | None  # None where they stay as they are: classes, and outputs with an activation

    @classmethod
    def of(cls, data: Samples, strides: Strides, network: Network, pooled: bool) -> Units:
        """Return the units of samples.

        pooled : whether nets with rows of their own have the same units
        """
        n, (x_stride, y_stride, _) = data.n_samples, strides
        weight = on_host(data.weight).astype(np.float64).reshape(-1, n) if data.has_weights else np.ones((1, n))

        def moments(array: Any, stride: int) -> Moments:
            rows = on_host(array).reshape(len(array) // stride if stride else 1, n, -1)
            w = weight if stride else weight.mean(axis=0, keepdims=True)
            if stride and pooled:
                w = np.broadcast_to(w, rows.shape[:2]).reshape(1, -1)
                rows = rows.reshape(1, w.size, -1)
            return Moments.of(rows, w)

        inputs = moments(data.X, x_stride)
        _warn_of_unresolved(inputs, data.X.dtype)
        is_regression = data.metric == METRIC_NONE and network.activation_codes[-1] == IDENTITY
        return cls(inputs, moments(data.Y, y_stride) if is_regression else None)

    def apply(self, X: np.ndarray, Y: np.ndarray) -> None:
        """Standardise rows X (n, n_features) and Y (n, n_outputs) of all nets in place."""
        self.inputs.apply(X[None], X[None])
        if self.targets is not None:
            self.targets.apply(Y[None], Y[None])

    def standardized(self, data: Samples) -> Samples:
        """Return samples with standardised rows, on the host."""
        X, Y = on_host(data.X), on_host(data.Y)
        X, Y = (self._copy(array, data.n_samples, moments) for array, moments in ((X, self.inputs), (Y, self.targets)))
        return data._replace(X=X, Y=Y, weight=on_host(data.weight))

    @staticmethod
    def _copy(array: np.ndarray, n: int, moments: Moments | None) -> np.ndarray:
        if moments is None:
            return array
        rows = array.reshape(-1, n, moments.mean.shape[1])
        if len(rows) > len(moments.mean):  # the rows of nets in the same units
            rows = rows.reshape(1, -1, rows.shape[2])
        return moments.apply(rows, np.empty_like(rows)).reshape(-1)

    def of_targets(self, Y: np.ndarray, net: int) -> np.ndarray:
        """Return targets or outputs of a net, (n, n_outputs), in units."""
        return Y if self.targets is None else self.targets.undo(Y, net)

    def of_rows(self, subsets: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Return standardised rows {subset: (X, Y)} of a net in units."""
        return {name: (self.inputs.undo(X, 0), self.of_targets(Y, 0)) for name, (X, Y) in subsets.items()}

    def of_nets(self, nets: slice) -> Units:
        """Return the units of some nets."""
        chosen: Callable[[np.ndarray], np.ndarray] = lambda array: array[nets] if len(array) > 1 else array
        inputs, targets = (moments and Moments(*map(chosen, moments)) for moments in self)
        assert inputs is not None
        return Units(inputs, targets)

    # ---- parameters, (n_nets, n_params)

    def in_units(self, params: np.ndarray, network: Network) -> np.ndarray:
        """Return parameters for rows in units, from those for standardised rows; float64."""
        params = params.astype(np.float64)
        W, b = network.layout.weights(params), network.layout.biases(params)
        W[0] /= self.inputs.scale[..., None]
        b[0] -= (self.inputs.mean[..., None] * W[0]).sum(axis=1)
        if self.targets is not None:
            W[-1] *= self.targets.scale[:, None]
            b[-1] *= self.targets.scale
            b[-1] += self.targets.mean
        return params

    def for_standardized(self, params: np.ndarray, network: Network) -> np.ndarray:
        """Return parameters for standardised rows, from those for rows in units; float64."""
        params = params.astype(np.float64)
        W, b = network.layout.weights(params), network.layout.biases(params)
        if self.targets is not None:
            b[-1] -= self.targets.mean
            b[-1] /= self.targets.scale
            W[-1] /= self.targets.scale[:, None]
        b[0] += (self.inputs.mean[..., None] * W[0]).sum(axis=1)
        W[0] *= self.inputs.scale[..., None]
        return params


def _mean(rows: np.ndarray, weight: np.ndarray, of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return the weighted mean of a function of the rows (k, n, n_columns) over n."""
    sums = ((of(rows[:, piece].astype(np.float64)) * weight[:, piece, None]).sum(axis=1) for piece in _pieces(rows))
    return sum(sums) / weight.sum(axis=1, keepdims=True)


def _pieces(rows: np.ndarray) -> list[slice]:
    """Return slices of the rows (k, n, n_columns) along n."""
    k, n, n_columns = rows.shape
    size = max(1, PIECE // (k * n_columns))
    return [slice(first, first + size) for first in range(0, n, size)]


def _warn_of_unresolved(inputs: Moments, dtype: np.dtype) -> None:
    """Warn of a column whose numbers differ by few roundings of the dtype."""
    is_unresolved = inputs.scale < UNRESOLVED * np.finfo(dtype).eps * np.abs(inputs.mean)
    if is_unresolved.any():
        net, k = np.argwhere(is_unresolved)[0]
        warn_user(
            f"Column {k} of X has the mean {inputs.mean[net, k]:.6g} and the standard deviation "
            f"{inputs.scale[net, k]:.2g}, of which {dtype.name} keeps few digits. Subtract a number from it, or make "
            "the net with dtype='float64'."
        )
