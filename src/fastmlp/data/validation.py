"""Validation of data: inputs, targets and weights become C-contiguous arrays of the net's dtype, or a ValueError.

Accepted are NumPy arrays, lists, pandas and polars objects, SciPy sparse matrices (made dense), memory maps, and all
arrays with the DLPack protocol, such as those of PyTorch and JAX. Inputs on a GPU stay there, and so do targets and
weights on the same GPU. In this module, "array" means a NumPy array or, on a GPU, a CuPy array.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from math import isfinite, isinf
from typing import Any

import numpy as np

from ..devices import as_device_array, device_context, device_of, library_of
from ..errors import checked_number, counted, is_number, shown
from ..kernels.formulas.losses import SOFTMAX_CROSS_ENTROPY
from ..kernels.structs import METRIC_ARGMAX, METRIC_NONE, METRIC_THRESHOLD, Samples
from ..memory_check import check_array
from ..network.spec import Network

ENCODE = "Encode text first, or use TabularMLPClassifier, TabularMLPRegressor or `fastmlp train`, which do."


def as_numbers(values: Any, name: str, device: str | None = None) -> Any:
    """Return values as an array of numbers.

    values : array, list, data frame or sparse matrix
    name : str     name of the argument, for messages
    device : str or None     device whose arrays stay there and are returned as CuPy arrays; arrays on other devices are
        copied to the host

    Raises
    ------
    ValueError
        If the values are text, ragged or otherwise not numbers.
    """
    if type(values) is np.ndarray and values.dtype.kind in "biuf":
        return values
    source_device = device_of(values)
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(f"{name} has masked entries, which a net cannot learn from. Impute or drop them first.")
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        check_array(values.shape, values.dtype.itemsize, f"{name} as a dense array", "Choose fewer columns or rows.")
        values = values.toarray()
    only_dlpack = hasattr(values, "__dlpack__") and not hasattr(values, "__array__")
    try:
        if source_device is not None:
            array = as_device_array(values)
        else:
            array = np.from_dlpack(values) if only_dlpack else np.asarray(values)
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise ValueError(f"{name} must be an array of numbers, but it cannot be made one: {error}") from None
    if array.dtype == object:
        array = _objects_as_float64(array, name, type(values).__name__)
    if array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name} must hold numbers, but its dtype is {array.dtype}. "
            + ("Pass real and imaginary parts as columns of their own." if array.dtype.kind == "c" else ENCODE)
        )
    return array if source_device == device else on_host(array)


def on_host(array: Any) -> np.ndarray:
    """Return an array as a NumPy array; a CuPy array is copied to the host."""
    return array if isinstance(array, np.ndarray) else array.get()


def _objects_as_float64(array: np.ndarray, name: str, type_name: str) -> np.ndarray:
    """Return an array of Python objects as float64."""
    if array.ndim == 0:
        raise ValueError(f"{name} must be an array of numbers, but it is a {type_name}.")
    try:
        return array.astype(np.float64)
    except OverflowError:
        raise ValueError(f"{name} must hold numbers that fit into float64, but it holds a larger one.") from None
    except (ValueError, TypeError):
        where, cell = next((where, cell) for where, cell in np.ndenumerate(array) if not is_number(cell))
    raise ValueError(f"{name} must hold numbers, but it holds {cell!r} at {where}. Impute missing values. {ENCODE}")


# Elements up to which a dot product of BLAS is the fastest check that all are finite, and from which a kernel is.
MAX_BLAS_CHECK, MIN_KERNEL_CHECK = 8192, 65_536


def checked_finite(array: Any, name: str, original: Any = None) -> Any:
    """Return the array, or raise ValueError if an element is not finite.

    original : the array before its conversion to the net's dtype, to tell an overflow of the conversion from bad input
    """
    if isfinite(_finite_check_sum(array)):  # one pass and no temporary array; elements are checked only if this fails
        return array
    bad = ~np.isfinite(on_host(array))
    if not bad.any():
        return array  # the sum overflowed, but all elements are finite
    where = tuple(int(k) for k in np.argwhere(bad)[0])
    if original is not None and np.isfinite(was := on_host(original)[where]):
        raise ValueError(
            f"{name} must fit into {array.dtype}, but it holds {was:g} at {where}, which is too large. Use "
            "dtype='float64', or scale it."
        )
    raise ValueError(
        f"{name} must be finite in {array.dtype}, but {int(bad.sum())} of its {counted(array.size, 'value')} "
        f"{'is' if bad.sum() == 1 else 'are'} NaN or infinite, the first at {where}. Impute, drop or rescale them."
    )


def _finite_check_sum(array: Any) -> float:
    """Return the sum of the elements or of their squares, whichever is faster; not finite if an element is not."""
    if type(array) is np.ndarray and (flags := array.flags).c_contiguous and flags.aligned:
        if array.size <= MAX_BLAS_CHECK:
            return float(np.vdot(array, array))  # np.dot would warn of an overflow
        if array.size >= MIN_KERNEL_CHECK and array.dtype in (np.float32, np.float64):
            from ..kernels.jit.call import call

            out = np.empty(1)
            call("simd.finite_sum.sum_to", array.dtype, array.reshape(-1), array.size, out)
            return float(out[0])
    with np.errstate(over="ignore", invalid="ignore"), device_context(array):
        return float(array.sum())


def contiguous(array: Any, dtype: np.dtype) -> Any:
    """Return an array as aligned, writeable and C-contiguous, the only memory layout that kernels are compiled for."""
    if not isinstance(array, np.ndarray):
        return as_device_array(array, dtype)
    if type(array) is np.ndarray and array.dtype == dtype and array.flags.carray:
        return array
    with np.errstate(over="ignore"):
        return np.require(array, dtype, ["C", "A", "W"])


def as_features(X: Any, n_features: int, dtype: np.dtype, name: str = "X") -> Any:
    """Return X as (n_samples, n_features) in the net's dtype, on the device that holds it.

    name : str     name of the argument, for messages

    Raises
    ------
    ValueError
        If X is empty, not two-dimensional, has another number of features, or is not finite.
    """
    array = as_numbers(X, name, device_of(X))
    if array.ndim == 1 and n_features == 1:
        array = array[:, None]
    if array.ndim != 2:
        hint = " For one sample, pass X[None, :]." if array.ndim == 1 else ""
        raise ValueError(f"{name} must have shape (n_samples, {n_features}), but it has shape {array.shape}.{hint}")
    if array.shape[0] == 0:
        raise ValueError(f"{name} must have at least one sample, but its shape is {array.shape}.")
    if array.shape[1] != n_features:
        raise ValueError(
            f"{name} has {counted(array.shape[1], 'feature')}, but the net has {counted(n_features, 'input')}. "
            f"Pass the columns it was made for, or make a net whose layer_sizes start with {array.shape[1]}."
        )
    return checked_finite(contiguous(array, dtype), name, array)


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


def as_weights(
    sample_weight: Any,
    class_weight: Any,
    targets: Any,
    network: Network,
    metric: int,
    dtype: np.dtype,
    device: str | None = None,
) -> Any:
    """Return weights (n_samples,) with mean 1, or an empty array if all are equal.

    sample_weight, class_weight : as for MLP.fit
    targets : (n_samples, n_outputs), from as_targets
    metric : int     METRIC_* code of the targets
    device : str or None     device on which sample_weight stays if it is there and class_weight is None

    Raises
    ------
    ValueError
        If the shape is wrong, a weight is negative, all weights are 0, class_weight names an unknown class, or the task
        has no exclusive classes.
    """
    if sample_weight is None and class_weight is None:
        return _empty(dtype)
    n = len(targets)
    weights: Any = np.ones(n)
    if sample_weight is not None:
        weights = as_numbers(sample_weight, "sample_weight", None if class_weight is not None else device)
        weights = weights.astype(np.float64)
        if weights.shape != (n,):
            raise ValueError(f"sample_weight must have shape ({n},), but it has shape {weights.shape}.")
        checked_finite(weights, "sample_weight")
        if weights.min() < 0 or weights.max() == 0:
            raise ValueError("sample_weight must be at least 0, and above 0 for some sample.")
    if class_weight is not None:
        weights = weights * class_weights(class_weight, targets, network, metric)
    if not weights.max() > 0:
        raise ValueError(
            "Every sample has weight 0 by sample_weight and class_weight, so there is nothing to learn from."
        )
    if weights.min() == weights.max():
        return np.empty(0, dtype)
    return normalized_weights(weights).astype(dtype)


def normalized_weights(weights: Any) -> Any:
    """Return weights (n,) or (n_nets, n), scaled to mean 1 in each row."""
    with np.errstate(over="ignore"):
        means = weights.mean(axis=-1, keepdims=True)
        if not np.isfinite(means).all():  # a sum overflowed
            weights = weights / weights.max(axis=-1, keepdims=True)
            means = weights.mean(axis=-1, keepdims=True)
    return weights / means


def class_weights(class_weight: Any, targets: Any, network: Network, metric: int) -> np.ndarray:
    if metric == METRIC_NONE or (metric == METRIC_THRESHOLD and targets.shape[1] > 1):
        raise ValueError("class_weight needs a task with exclusive classes; these targets are numbers or labels.")
    classes = class_numbers(on_host(targets), network, metric)
    n_classes = max(targets.shape[1], 2)
    if class_weight == "balanced":
        counts = np.bincount(classes, minlength=n_classes)
        return (len(classes) / (np.count_nonzero(counts) * np.maximum(counts, 1)))[classes]
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            f"class_weight must be 'balanced' or a dictionary {{class: weight}}, but it is {class_weight!r}."
        )
    unknown = [key for key in class_weight if key not in range(n_classes)]
    if unknown:
        raise ValueError(f"class_weight names {shown(unknown)}, but the classes are 0 to {n_classes - 1}.")
    table = [checked_number(f"class_weight[{k}]", class_weight.get(k, 1.0), 0.0) for k in range(n_classes)]
    return np.array(table)[classes]


def smoothed(targets: Any, network: Network) -> Any:
    """Return targets with label smoothing: (1 - s) y + s / n_outputs (Szegedy et al. 2016)."""
    s = network.label_smoothing
    return targets if s == 0.0 else (targets * (1.0 - s) + s / network.n_outputs).astype(targets.dtype)


def make_samples(features: Any, targets: Any, weights: Any, metric: int) -> Samples:
    has_weights, has_targets = weights.size > 0, targets.size > 0
    return Samples(len(features), features.reshape(-1), targets.reshape(-1), has_weights, weights, has_targets, metric)


def validated_samples(
    X: Any, y: Any, network: Network, dtype: np.dtype, sample_weight: Any = None, class_weight: Any = None
) -> Samples:
    """Return checked samples in the form that kernels take; arguments as for MLP.fit."""
    features = as_features(X, network.n_features, dtype)
    device = device_of(features)
    with device_context(features):
        targets = as_targets(y, network, dtype, len(features), device=device)
        metric = metric_of(targets, network)
        weights = as_weights(sample_weight, class_weight, targets, network, metric, dtype, device)
        return make_samples(features, smoothed(targets, network), weights, metric)


def inputs_only(features: np.ndarray) -> Samples:
    """Return samples without targets, for predictions; features from as_features."""
    empty = _empty(features.dtype)
    return Samples(len(features), features.reshape(-1), empty, False, empty, False, METRIC_NONE)


@cache
def _empty(dtype: np.dtype) -> np.ndarray:
    return np.empty(0, dtype)


def select_rows(data: Samples, rows: np.ndarray) -> Samples:
    """Return copies of the samples with the given row numbers; their weights are scaled to mean 1 again."""
    n = data.n_samples
    with device_context(data.X):
        X, Y, weight = data.X.reshape(n, -1)[rows], data.Y.reshape(n, -1)[rows], data.weight
        if data.has_weights:
            selected = weight[rows].astype(np.float64)
            if not selected.max() > 0:
                raise ValueError(
                    "Every sample on one side of the validation split has weight 0. Give validation_data instead."
                )
            weight = (selected / selected.mean()).astype(weight.dtype)
        return make_samples(X, Y, weight, data.metric)


def checked_pair(validation_data: Any) -> tuple:
    """Return validation_data, (X, y) or (X, y, sample_weight), as a tuple after a check of its form."""
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise ValueError("validation_data must be a pair (X, y), or (X, y, sample_weight).")
    return tuple(validation_data)


def make_validation(validation_data: Any, network: Network, dtype: np.dtype, metric: int) -> Samples:
    """Return the checked samples of validation_data.

    metric : int     METRIC_* code of the training samples, by which the accuracy of held-out samples is computed, too
    """
    X, y, *weights = checked_pair(validation_data)
    try:
        data = validated_samples(X, y, network, dtype, *weights)
    except ValueError as error:
        raise ValueError(f"validation_data: {error}") from None
    has_classes = METRIC_NONE not in (metric, data.metric)
    return data._replace(metric=metric) if has_classes else data


def split(data: Any, fraction: float, seed: int):
    """Return (training, held out) samples, split at random; each has at least one sample.

    fraction : float     fraction of the samples to hold out
    """
    n_held_out = min(max(1, round(fraction * data.n_samples)), data.n_samples - 1)
    if n_held_out < 1:
        raise ValueError("validation_fraction needs at least two samples, but X has one.")
    order = np.random.default_rng(seed).permutation(data.n_samples)
    return select_rows(data, np.sort(order[n_held_out:])), select_rows(data, np.sort(order[:n_held_out]))


def sample_for_plots(
    subsets: dict[str, Samples | None], max_samples: int = 2000, max_elements: int = 2**20
) -> dict[str, Any]:
    """Return {subset: (X, Y)}, copies of evenly spaced samples on the host, for plots; None subsets are skipped.

    subsets : {"training": Samples, "validation": Samples or None}
    max_samples : int     largest number of samples per subset
    max_elements : int     limit on the number of elements of X per subset; at least 100 samples are copied in any case
    """
    shown = {}
    for name, data in subsets.items():
        if data is not None:
            n = data.n_samples
            n_shown = min(n, max_samples, max(100, max_elements * n // data.X.size))
            rows = slice(None) if n_shown == n else np.linspace(0, n - 1, n_shown).round().astype(np.int64)
            with device_context(data.X):
                X, Y = (on_host(array.reshape(n, -1)[rows]) for array in (data.X, data.Y))
            shown[name] = (X.copy(), Y.copy()) if n_shown == n else (X, Y)
    return shown
