"""Validation of data: inputs, targets and weights become C-contiguous arrays of the net's dtype, or a ValueError.

Accepted are NumPy arrays, lists, pandas and polars objects, SciPy sparse matrices (made dense), memory maps, and all
arrays with the DLPack protocol, such as those of PyTorch and JAX. Inputs on a GPU stay there, and so do targets and
weights on the same GPU.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from ..devices import device_context, device_of
from ..errors import counted, shown
from ..kernels.structs import METRIC_MARGIN, METRIC_NONE, Samples
from ..network.spec import Network
from ..streams.source_kinds import is_source, names_columns
from .arrays import ANYWHERE, as_numbers, checked_finite, contiguous, empty_array, on_host
from .sample_weights import as_weights, weighted_by_class
from .targets import as_targets, metric_of, smoothed, unsmoothed

Strides = tuple[int, int, int]  # elements between the X, Y and weight of successive nets; 0 for an array of all nets


def as_features(X: Any, n_features: int, dtype: np.dtype, name: str = "X") -> Any:
    """Return X as (n_samples, n_features) in the net's dtype, on the device that holds it.

    name : str     name of the argument, for messages

    Raises
    ------
    ValueError
        If X is empty, not two-dimensional, has another number of features, or is not finite.
    """
    array = as_numbers(X, name, ANYWHERE)
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


def make_samples(features: Any, targets: Any, weights: Any, metric: int) -> Samples:
    has_weights, has_targets = weights.size > 0, targets.size > 0
    return Samples(len(features), features.reshape(-1), targets.reshape(-1), has_weights, weights, has_targets, metric)


def as_nets_features(X: Any, n_features: int, dtype: np.dtype, n_nets: int) -> tuple[np.ndarray, int]:
    """Return (features, stride): checked rows of X, and the number of elements between the rows of successive nets.

    X : (n_samples, n_features) for all nets, stride 0; or (n_nets, n_samples, n_features), which becomes
        (n_nets * n_samples, n_features)
    """
    array = as_numbers(X, "X", ANYWHERE)
    if array.ndim != 3:
        return as_features(array, n_features, dtype), 0
    if array.shape[0] != n_nets:
        raise ValueError(
            f"X with three axes must have shape ({n_nets}, n_samples, {n_features}), but it has {array.shape}."
        )
    return as_features(array.reshape(-1, array.shape[2]), n_features, dtype), array.shape[1] * n_features


def validated_samples(
    X: Any,
    y: Any,
    network: Network,
    dtype: np.dtype,
    sample_weight: Any = None,
    class_weight: Any = None,
    n_nets: int = 0,
) -> tuple[Samples, Strides]:
    """Return (samples, strides), checked, in the form that kernels take.

    n_nets : number of nets of a population, for which X, y and sample_weight may have a leading n_nets axis; n_samples
        of the result is the number of samples of one net. 0 for an MLP

    Other arguments and errors are those of as_features, as_targets and as_weights.
    """
    if n_nets:
        features, x_stride = as_nets_features(X, network.n_features, dtype, n_nets)
    else:
        features, x_stride = as_features(X, network.n_features, dtype), 0
    n = len(features) // n_nets if x_stride else len(features)
    is_on_host = type(features) is np.ndarray
    device = None if is_on_host else device_of(features)
    with nullcontext() if is_on_host else device_context(features):
        y_stride, n_rows = 0, n
        if n_nets:
            y = as_numbers(y, "y", device)
            if y.ndim == 3 or (y.ndim == 2 and y.shape == (n_nets, n) != (n, network.n_outputs)):
                if y.shape[:2] != (n_nets, n):
                    raise ValueError(
                        f"y for {counted(n_nets, 'net')} must have shape ({n_nets}, {n}, ...), but it has {y.shape}."
                    )
                y_stride, n_rows = n * network.n_outputs, n_nets * n
                y = y.reshape(n_rows, *y.shape[2:])
        targets = as_targets(y, network, dtype, n_rows, device=device)
        metric, weights, of_nets = metric_of(targets, network), empty_array(dtype), False
        if sample_weight is not None or class_weight is not None:
            of_nets = n_nets > 0 and (np.ndim(sample_weight) == 2 or (class_weight is not None and n_rows > n))
            shape, of_targets = ((n_nets, n), targets) if of_nets else ((), targets[:n])
            weights = as_weights(sample_weight, class_weight, of_targets, network, metric, dtype, device, shape)
        if network.label_smoothing:
            targets = smoothed(targets, network)
        data = make_samples(features, targets, weights, metric)
    return data._replace(n_samples=n), (x_stride, y_stride, n if of_nets else 0)


def inputs_only(features: np.ndarray) -> Samples:
    """Return samples without targets, for predictions; features from as_features."""
    empty = empty_array(features.dtype)
    return Samples(len(features), features.reshape(-1), empty, False, empty, False, METRIC_NONE)


def samples_of_net(data: Samples, strides: Strides, net: int) -> Samples:
    """Return the samples of one net, as views, as that net would have them by itself."""
    rows_of_net = lambda array, stride: array[net * stride : (net + 1) * stride] if stride else array
    x, y, weight = strides
    return data._replace(X=rows_of_net(data.X, x), Y=rows_of_net(data.Y, y), weight=rows_of_net(data.weight, weight))


def prediction_samples(X: Any, n_features: int, dtype: np.dtype, n_nets: int) -> tuple[Samples, Strides]:
    """Return (samples without targets, strides), for predictions; X as for as_nets_features."""
    features, stride = as_nets_features(X, n_features, dtype, n_nets)
    n = len(features) // n_nets if stride else len(features)
    return inputs_only(features)._replace(n_samples=n), (stride, 0, 0)


def select_rows(data: Samples, rows: np.ndarray) -> Samples:
    """Return copies of the samples with the given row numbers; their weights are scaled to mean 1 again."""
    n = data.n_samples
    with device_context(data.X):
        X, Y = data.X.reshape(n, -1)[rows], data.Y.reshape(n, -1)[rows]
        return make_samples(X, Y, select_weights(data.weight, rows) if data.has_weights else data.weight, data.metric)


def select_weights(weight: Any, rows: np.ndarray) -> Any:
    """Return the weights of the samples with the given row numbers, scaled to mean 1 again."""
    selected = weight[rows].astype(np.float64)
    if not selected.max() > 0:
        raise ValueError("Every sample on one side of the validation split has weight 0. Give validation_data instead.")
    return (selected / selected.mean()).astype(weight.dtype)


def checked_pair(validation_data: Any) -> tuple:
    """Return validation_data, (X, y) or (X, y, sample_weight), as a tuple after a check of its form."""
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise ValueError(
            f"validation_data must be (X, y) or (X, y, sample_weight), but it is {shown(validation_data)}. For a file, "
            "pass its path and the name of the column of targets: ('rows.parquet', 'column')."
        )
    return tuple(validation_data)


def make_validation(validation_data: Any, network: Network, dtype: np.dtype, metric: int) -> Samples:
    """Return the checked samples of validation_data; those of a source are read into memory.

    metric : int     METRIC_* code of the training samples, by which the accuracy of held-out samples is computed, too
    """
    X, y, *weights = checked_pair(validation_data)
    try:
        if is_source(X) or names_columns(X, y):
            from ..streams.sources import arrays_of, as_source  # here, as few fits need it

            X, y = arrays_of(as_source(X, y))
        data, _ = validated_samples(X, y, network, dtype, *weights)
    except ValueError as error:
        raise ValueError(f"validation_data: {error}") from None
    has_classes = METRIC_NONE not in (metric, data.metric)
    return data._replace(metric=metric) if has_classes else data


def split(n_samples: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers of (training, held-out) samples, ascending, split at random; each has at least one sample.

    fraction : float     fraction of the samples to hold out
    """
    n_held_out = min(max(1, round(fraction * n_samples)), n_samples - 1)
    if n_held_out < 1:
        raise ValueError("validation_fraction needs at least two samples, but X has one.")
    order = np.random.default_rng(seed).permutation(n_samples)
    return np.sort(order[n_held_out:]), np.sort(order[:n_held_out])


def with_held_out(rows, network, dtype, validation_data, fraction, class_weight, converged, draw_seed):
    """Return (rows to train on, held-out samples or None) of a fit.

    rows : InMemory or OnDisk     all rows, checked
    fraction : checked validation_fraction; with one, class_weight weights the rows that remain
    converged : Converged or None     the convergence rule, which must suit the targets
    draw_seed : function that returns the seed of the validation split; called only for a fraction

    The other arguments are those of Population.fit.

    Raises
    ------
    ValueError
        If the rule does not suit the data, or samples of each net are to be split.
    """
    data = rows.data
    has_margin = converged is not None and converged.margin is not None
    if has_margin and not np.isfinite([network.output_row.low, network.output_row.high]).all():
        raise ValueError(
            "A margin, as in the 40-20-40 rule, needs an output with a range, such as sigmoid, but the output "
            f"activation is {network.output_row.name!r}. Use converged=0.01, a loss, instead."
        )
    if converged is not None and converged.accuracy is not None and data.metric == METRIC_NONE:
        raise ValueError(
            "Accuracy needs classes, but the targets are numbers between the ends of the output's range. Use "
            "converged=0.01, a loss, or converged='40-20-40'."
        )
    held_out = None
    if validation_data is not None:
        held_out = make_validation(validation_data, network, dtype, METRIC_MARGIN if has_margin else data.metric)
    elif fraction:  # before the metric is changed, by which class weights find the classes
        if any(rows.strides):
            raise ValueError("validation_fraction cannot split data that differ from net to net: give validation_data.")
        rows, held_out = rows.split(fraction, draw_seed())
        data = weighted_by_class(rows.data, class_weight, network)
        held_out = held_out._replace(metric=METRIC_MARGIN if has_margin else held_out.metric)
    if has_margin:
        data = data._replace(metric=METRIC_MARGIN)
    return rows if data is rows.data else rows.with_data(data), held_out


def sample_for_plots(
    network: Network, subsets: dict[str, Samples | None], max_samples: int = 2000, max_elements: int = 2**20
) -> dict[str, Any]:
    """Return {subset: (X, Y)}, copies of evenly spaced samples on the host, for plots; None subsets are skipped.

    network : of the net, whose label smoothing is undone
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
            X, Y = data.X.reshape(n, -1), data.Y.reshape(n, -1)
            if isinstance(X, np.ndarray):
                X, Y = X[rows].copy(), Y[rows].copy()
            else:
                with device_context(X):
                    X, Y = on_host(X[rows]), on_host(Y[rows])
            shown[name] = X, unsmoothed(Y, network) if network.label_smoothing else Y
    return shown
