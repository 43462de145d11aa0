"""Class weights: their check, and those of training samples when others are held out.

class_weight does not affect validation records.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..devices import device_context, device_of
from ..errors import checked_number, shown, unknown_name
from ..kernels.structs import Samples
from ..network.spec import Network
from .sample_weights import as_weights


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
