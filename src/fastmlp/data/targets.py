"""Targets: checks, one-hot rows of class numbers, label smoothing, and what counts as a correct output."""

from __future__ import annotations

from math import isfinite, isinf
from typing import Any

import numpy as np

from ..devices import library_of
from ..errors import counted
from ..kernels.formulas.losses import SOFTMAX_CROSS_ENTROPY
from ..kernels.structs import METRIC_ARGMAX, METRIC_NONE, METRIC_THRESHOLD
from ..network.spec import Network
from ..runtime.memory_limits import check_array
from .arrays import as_numbers, checked_finite, contiguous


def _one_hot(y: Any, network: Network, dtype: np.dtype, name: str) -> Any:
    """Return class numbers as rows with `high` at the class and `low` elsewhere, the ends of the output's range."""
    k = network.n_outputs
    smallest, largest = float(y.min()), float(y.max())
    if y.dtype.kind == "f" and (y % 1 != 0).any():
        raise ValueError(
            f"{name} has shape ({len(y)},) but the net has {k} outputs, so it must hold class numbers, whole numbers "
            f"from 0 to {k - 1}; it holds fractions. For real targets pass shape (n_samples, {k})."
        )
    if smallest < 0 or largest >= k:
        raise ValueError(
            f"{name} must hold class numbers from 0 to {k - 1} for a net with {k} outputs, but it holds "
            f"{smallest:g} to {largest:g}. Renumber them with numpy.unique(y, return_inverse=True)."
        )
    low, high = network.output_row.low, network.output_row.high
    low, high = (low, high) if isfinite(low) and isfinite(high) else (0.0, 1.0)
    library = library_of(y)
    check_array((len(y), k), dtype.itemsize, f"{name} as one-hot rows", "Use fewer samples or classes.")
    rows = library.full((len(y), k), low, dtype)
    rows[library.arange(len(y)), y.astype(np.int64)] = high
    return rows


def as_targets(
    y: Any, network: Network, dtype: np.dtype, n_samples: int, name: str = "y", device: str | None = None
) -> Any:
    """Return y as (n_samples, n_outputs) in the net's dtype.

    y : (n_samples, n_outputs), or (n_samples,): targets of one output, or class numbers for several outputs
    name : str     name of the argument, for messages
    device : str or None     device on which y stays if it is there

    Raises
    ------
    ValueError
        If the shape of y does not fit, or the loss is not defined for a value.
    """
    array = as_numbers(y, name, device)
    k = network.n_outputs
    if array.ndim == 2 and array.shape[1] == 1 and k > 1:
        array = array[:, 0]
    if array.ndim in (1, 2) and len(array) != n_samples:
        raise ValueError(
            f"{name} has {counted(len(array), 'sample')}, but X has {n_samples}: they must have the same length."
        )
    has_class_numbers = array.ndim == 1 and k > 1
    if array.ndim == 1:
        if array.dtype.kind == "f":
            checked_finite(array, name)
        array = _one_hot(array, network, dtype, name) if k > 1 else array[:, None]
    if array.ndim != 2 or array.shape[1] != k:
        alternative = f" or ({n_samples},) with class numbers" if k > 1 else f" or ({n_samples},)"
        raise ValueError(f"{name} must have shape ({n_samples}, {k}){alternative}, but it has shape {array.shape}.")
    array = checked_finite(contiguous(array, dtype), name, array)
    low, high = network.loss_row.targets
    if not (isinf(low) and isinf(high)) and ((smallest := float(array.min())) < low or float(array.max()) > high):
        allowed = f"from {low:g} to {high:g}" if np.isfinite(high) else f"of at least {low:g}"
        raise ValueError(
            f"loss {network.loss_row.name!r} is defined for targets {allowed}, but {name} holds {smallest:g} to "
            f"{float(array.max()):g}. Rescale {name}, or choose another loss."
        )
    sums_to_1 = (
        has_class_numbers or network.loss != SOFTMAX_CROSS_ENTROPY or np.allclose(array.sum(axis=1), 1.0, atol=1e-3)
    )
    if not sums_to_1:
        raise ValueError(
            f"For softmax_cross_entropy each row of {name} must be a distribution that sums to 1. "
            "For labels that are not exclusive use loss='binary_cross_entropy'."
        )
    return array


def metric_of(targets: Any, network: Network) -> int:
    """Return which outputs count as correct, as a METRIC_* code.

    METRIC_ARGMAX for exclusive classes: the largest output is that of the class. METRIC_THRESHOLD for labels: each
    output is on the target's side of the middle of its range. METRIC_NONE for regression.
    """
    if network.loss == SOFTMAX_CROSS_ENTROPY:
        return METRIC_ARGMAX
    low, high = network.output_row.low, network.output_row.high
    if not (isfinite(low) and isfinite(high)) or not ((targets == low) | (targets == high)).all():
        return METRIC_NONE
    one_hot = targets.shape[1] > 1 and ((targets == high).sum(axis=1) == 1).all()
    return METRIC_ARGMAX if one_hot else METRIC_THRESHOLD


def class_numbers(targets: np.ndarray, network: Network, metric: int) -> np.ndarray:
    """Return class numbers (n_samples,) of targets (n_samples, n_outputs) of exclusive classes."""
    if metric == METRIC_ARGMAX:
        return targets.argmax(axis=1)
    return (targets[:, 0] == network.output_row.high).astype(np.int64)


def smoothed(targets: Any, network: Network) -> Any:
    """Return targets with label smoothing: (1 - s) y + s / n_outputs (Szegedy et al. 2016)."""
    s = network.label_smoothing
    return targets if s == 0.0 else (targets * (1.0 - s) + s / network.n_outputs).astype(targets.dtype)


def unsmoothed(targets: np.ndarray, network: Network) -> np.ndarray:
    """Return targets before label smoothing, from those after it; rounded, so that 0 and 1 are themselves again."""
    s = network.label_smoothing
    if s == 0.0:
        return targets
    return ((targets.astype(np.float64) - s / network.n_outputs) / (1.0 - s)).round(6).astype(targets.dtype)
