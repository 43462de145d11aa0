"""Sample weights: checks of sample_weight and class_weight, and their product with mean 1.

class_weight does not affect validation records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..devices import device_context, device_of
from ..errors import checked_number, shown, unknown_name
from ..kernels.structs import METRIC_NONE, METRIC_THRESHOLD, Samples
from ..network.spec import Network
from .arrays import as_numbers, checked_finite, empty_array, on_host
from .targets import class_numbers


def as_weights(
    sample_weight: Any,
    class_weight: Any,
    targets: Any,
    network: Network,
    metric: int,
    dtype: np.dtype,
    device: str | None = None,
    shape: tuple[int, ...] = (),
) -> Any:
    """Return weights (n_samples,) with mean 1, or an empty array if all are equal.

    sample_weight, class_weight : as for MLP.fit
    targets : (n_samples, n_outputs), from as_targets
    metric : int     METRIC_* code of the targets
    device : str or None     device on which sample_weight stays if it is there and class_weight is None
    shape : (n_nets, n_samples) for weights of each net, with mean 1 for each, one net after another; targets may then
        be those of all nets, too

    Raises
    ------
    ValueError
        If the shape is wrong, a weight is negative, all weights are 0, class_weight names an unknown class, or the task
        has no exclusive classes.
    """
    if sample_weight is None and class_weight is None:
        return empty_array(dtype)
    shape = shape or (len(targets),)
    n, of_nets = shape[-1], len(shape) > 1
    weights: Any = np.ones(shape)
    if sample_weight is not None:
        weights = as_numbers(sample_weight, "sample_weight", None if class_weight is not None else device)
        weights = weights.astype(np.float64)
        if of_nets and weights.shape == (n,):
            weights = np.broadcast_to(weights, shape)
        if weights.shape != shape:
            expected = f"({n},)" + f" or {shape}" * of_nets
            raise ValueError(f"sample_weight must have shape {expected}, but it has shape {weights.shape}.")
        checked_finite(weights, "sample_weight")
        if weights.min() < 0 or weights.max() == 0:
            raise ValueError("sample_weight must be at least 0, and above 0 for some sample.")
    if class_weight is not None:
        of_classes = class_weights(class_weight, targets, network, metric, len(targets) // n)
        weights = weights * (of_classes.reshape(-1, n) if of_nets else of_classes)
    largest = weights.max(axis=-1)
    if not (largest > 0).all():
        net = f" of net {int(largest.argmin())}" * of_nets
        raise ValueError(
            f"Every sample{net} has weight 0 by sample_weight and class_weight, so there is nothing to learn from."
        )
    if not of_nets and weights.min() == weights.max():
        return np.empty(0, dtype)
    return normalized_weights(weights).astype(dtype).reshape(-1)


def normalized_weights(weights: Any) -> Any:
    """Return weights (n,) or (n_nets, n), scaled to mean 1 in each row."""
    with np.errstate(over="ignore"):
        means = weights.mean(axis=-1, keepdims=True)
        if not np.isfinite(means).all():  # a sum overflowed
            weights = weights / weights.max(axis=-1, keepdims=True)
            means = weights.mean(axis=-1, keepdims=True)
    return weights / means


def class_weights(class_weight: Any, targets: Any, network: Network, metric: int, n_target_sets: int = 1) -> np.ndarray:
    """Return the weight of each sample by its class, (n_samples,).

    class_weight : "balanced" or {class: weight}, as for MLP.fit
    targets : (n_samples, n_outputs), from as_targets; those of n_target_sets nets come one after another
    n_target_sets : number of equal parts of targets, in each of which "balanced" counts the classes by themselves

    Raises
    ------
    ValueError
        If the task has no exclusive classes, or class_weight is something else or names an unknown class.
    """
    if metric == METRIC_NONE or (metric == METRIC_THRESHOLD and targets.shape[1] > 1):
        raise ValueError("class_weight needs a task with exclusive classes; these targets are numbers or labels.")
    classes = class_numbers(on_host(targets), network, metric)
    n_classes = max(targets.shape[1], 2)
    if isinstance(class_weight, str) and class_weight == "balanced":
        n = len(classes) // n_target_sets
        places = classes + n_classes * (np.arange(len(classes)) // n)  # of each sample, in the counts
        counts = np.bincount(places, minlength=n_classes * n_target_sets).reshape(n_target_sets, n_classes)
        n_present = np.count_nonzero(counts, axis=1, keepdims=True)
        return (n / (n_present * np.maximum(counts, 1))).reshape(-1)[places]
    if not isinstance(class_weight, Mapping):
        raise ValueError(
            f"class_weight must be 'balanced' or a dictionary {{class: weight}}, but it is {class_weight!r}."
        )
    unknown = [key for key in class_weight if key not in range(n_classes)]
    if unknown:
        raise ValueError(f"class_weight names {shown(unknown)}, but the classes are 0 to {n_classes - 1}.")
    table = [checked_number(f"class_weight[{k}]", class_weight.get(k, 1.0), 0.0) for k in range(n_classes)]
    return np.array(table)[classes]


def check_class_weights(class_weight: Any) -> None:
    """Check the weights in a dict, or in a list of a dict for each label; scikit-learn reads text as numbers.

    class_weight : "balanced", {class: weight}, or a list of them; anything else has no weights to check

    Raises
    ------
    ValueError
        If a weight is not a number, or below 0, or the name is another one.

    >>> check_class_weights({"yes": "5"})
    Traceback (most recent call last):
    ValueError: class_weight['yes'] must be a number in [0, inf), but it is '5'.
    """
    if isinstance(class_weight, str) and class_weight != "balanced":
        raise unknown_name("class_weight", class_weight, ("balanced",))
    for weights in class_weight if isinstance(class_weight, (list, tuple)) else [class_weight]:
        for label, weight in weights.items() if isinstance(weights, Mapping) else ():
            number = weight.item() if getattr(weight, "ndim", None) == 0 else weight  # NumPy's, or another library's
            checked_number(f"class_weight[{shown(label)}]", number, 0.0)


def weighted_by_class(data: Samples, class_weight: Any, network: Network) -> Samples:
    """Return samples whose weights are multiplied by the weight of their class, and scaled to mean 1.

    data : Samples     samples of a classification task
    class_weight : as for MLP.fit; "balanced" counts the classes of these samples; None returns them unchanged

    Raises
    ------
    ValueError
        If class_weight does not fit the task, or every sample has weight 0.
    """
    if class_weight is None:
        return data
    with device_context(data.X):
        targets = data.Y.reshape(data.n_samples, -1)
        weights = as_weights(
            data.weight if data.has_weights else None,
            class_weight,
            targets,
            network,
            data.metric,
            data.X.dtype,
            device_of(data.X),
        )
    return data._replace(has_weights=weights.size > 0, weight=weights)
