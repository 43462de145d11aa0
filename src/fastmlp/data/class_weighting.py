"""What classes weigh in training, where part of the samples is held out: validation figures leave class_weight out."""

from __future__ import annotations

from typing import Any

from ..devices import device_context, device_of
from ..kernels.structs import Samples
from ..network.spec import Network
from .validation import as_weights, split


def weighted_by_class(data: Samples, class_weight: Any, network: Network) -> Samples:
    """The samples, the weight of each multiplied by its class's and all brought to mean 1 again; as they are for None.

    class_weight : as for MLP.fit; "balanced" counts the classes of these samples

    Raises
    ------
    ValueError
        For a class_weight that does not fit the task, or leaves no sample with a weight.
    """
    if class_weight is None:
        return data
    with device_context(data.X):
        targets = data.Y.reshape(data.n_samples, -1)
        weights = as_weights(
            data.weight if data.has_weights else None, class_weight, targets, network, data.metric, data.X.dtype,
            device_of(data.X),
        )  # fmt: skip
    return data._replace(has_weights=weights.size > 0, weight=weights)


def split_and_weighted(
    data: Samples, share: float, seed: int, class_weight: Any, network: Network
) -> tuple[Samples, Samples]:
    """(training, held out) as data.split draws them; class_weight counts in the first part only."""
    training, held_out = split(data, share, seed)
    return weighted_by_class(training, class_weight, network), held_out
