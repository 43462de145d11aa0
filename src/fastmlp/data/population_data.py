"""Validation of a population's data: arrays for all nets, or arrays with a leading n_nets axis for data per net."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import numpy as np

from ..devices import device_context, device_of
from ..errors import counted
from ..kernels.structs import METRIC_MARGIN, METRIC_NONE, Samples
from ..network.spec import Network
from .arrays import ANYWHERE, as_numbers, empty_array
from .checked_samples import as_features, inputs_only, make_samples, make_validation
from .sample_weights import as_weights, weighted_by_class
from .targets import as_targets, metric_of, smoothed

Strides = tuple[int, int, int]  # elements between the X, Y and weight of successive nets; 0 for an array of all nets


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


def validated_population_samples(
    X: Any, y: Any, network: Network, dtype: np.dtype, n_nets: int, sample_weight: Any = None, class_weight: Any = None
) -> tuple[Samples, tuple[int, int, int]]:
    """Return (samples, strides) of a population, checked; X, y and sample_weight may have a leading n_nets axis.

    n_samples of the result is the number of samples of one net. Arguments and errors are those of as_features,
    as_targets and as_weights.
    """
    features, x_stride = as_nets_features(X, network.n_features, dtype, n_nets)
    n = len(features) // n_nets if x_stride else len(features)
    is_on_host = type(features) is np.ndarray
    device = None if is_on_host else device_of(features)
    with nullcontext() if is_on_host else device_context(features):
        targets, y_stride = as_numbers(y, "y", device), 0
        if targets.ndim == 3 or (targets.ndim == 2 and targets.shape == (n_nets, n) != (n, network.n_outputs)):
            if targets.shape[:2] != (n_nets, n):
                raise ValueError(
                    f"y for {counted(n_nets, 'net')} must have shape ({n_nets}, {n}, ...), but it has {targets.shape}."
                )
            y_stride = n * network.n_outputs
            targets = as_targets(
                targets.reshape(n_nets * n, *targets.shape[2:]), network, dtype, n_nets * n, device=device
            )
        else:
            targets = as_targets(targets, network, dtype, n, device=device)
        metric = metric_of(targets, network)
        n_axes = sample_weight.ndim if hasattr(sample_weight, "ndim") else np.ndim(sample_weight)  # CuPy's, and lists
        of_nets = (sample_weight is not None and n_axes == 2) or (class_weight is not None and len(targets) > n)
        of_targets = targets if of_nets else targets[:n]
        shape = (n_nets, n) if of_nets else ()
        weights = empty_array(dtype)
        if sample_weight is not None or class_weight is not None:
            weights = as_weights(sample_weight, class_weight, of_targets, network, metric, dtype, device, shape)
        if network.label_smoothing:
            targets = smoothed(targets, network)
        data = make_samples(features, targets, weights, metric)
    return data._replace(n_samples=n), (x_stride, y_stride, n if of_nets else 0)


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


def with_held_out(rows, network, dtype, validation_data, fraction, class_weight, converged, rng):
    """Return (rows to train on, held-out samples or None) of a fit of a population.

    rows : InMemory or OnDisk     all rows, checked
    fraction : checked validation_fraction; with one, class_weight weights the rows that remain
    converged : Converged or None     the convergence rule, which must suit the targets
    rng : function that returns the generator from which the seed of the validation split is drawn; called only for a
        fraction

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
        rows, held_out = rows.split(fraction, int(rng().integers(2**63)))
        data = weighted_by_class(rows.data, class_weight, network)
        held_out = held_out._replace(metric=METRIC_MARGIN if has_margin else held_out.metric)
    if has_margin:
        data = data._replace(metric=METRIC_MARGIN)
    return rows if data is rows.data else rows.with_data(data), held_out
