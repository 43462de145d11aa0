"""Input checks of the plots: samples, classes and probabilities, names of classes and inputs."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..data.checked_samples import as_features
from ..data.targets import as_targets, class_numbers, metric_of
from ..errors import checked_count, counted
from ..kernels.structs import METRIC_ARGMAX, METRIC_NONE, METRIC_THRESHOLD
from ..network.spec import Network
from .style import literal_text

MAX_NAME_LENGTH = 24  # largest number of characters in a class name; inputs may have twice as many


class PlotSamples(NamedTuple):
    """Checked samples.

    X : (n_samples, n_features)
    targets : (n_samples, n_outputs), or None without y
    classes : (n_samples,) class numbers, or None if the targets are not exclusive classes
    """

    X: np.ndarray
    targets: Any = None
    classes: Any = None


def unwrap(
    model: Any, X: Any, y: Any = None, labels: Any = None, *, is_of_one_net: bool = False
) -> tuple[Any, Any, Any, Any]:
    """Return (net, X, y, labels), with an estimator replaced by its net.

    For an estimator, net is its `net_`, a table is encoded, y are class numbers, and labels are the names of its
    classes unless given. An MLP and its samples and labels are returned unchanged. Of several nets, the net is a
    Population.

    is_of_one_net : whether the plot is of one net and of numbers, so that a Population and a table are refused

    Raises
    ------
    ValueError
        If model is neither, if y holds a class that is unknown to the estimator, or if the plot is of one net and there
        are several, or a table.
    """
    net, classes = getattr(model, "net_", model), getattr(model, "classes_", None)
    if hasattr(model, "encoded_samples"):
        if is_of_one_net:
            one = ".best()" if hasattr(net, "n_nets") else ""
            raise ValueError(
                f"This plot takes one net and inputs that are numbers, but {type(model).__name__} takes a table. "
                f"Encode it: X, y = model.encoded_samples(X, y), then plot model.net_{one}."
            )
        return net, *model.encoded_samples(X, y), classes if labels is None else labels
    if not hasattr(net, "network"):
        raise ValueError(f"This plot needs an MLP or a fitted estimator of fastmlp, {_instead_of(net)}.")
    if is_of_one_net and hasattr(net, "n_nets"):  # a Population
        raise ValueError(
            f"This plot is of one net, but there are {net.n_nets} here. Plot one of them, such as pop.best()."
        )
    if net is model or classes is None or np.ndim(y) == 2:
        return net, X, y, labels
    return net, X, None if y is None else numbers_of_classes(classes, y), classes if labels is None else labels


def numbers_of_classes(classes: np.ndarray, y: Any) -> np.ndarray:
    """Return the numbers (n_samples,) of the classes in y among those of an estimator.

    Raises
    ------
    ValueError
        If y holds a class that the estimator does not know.
    """
    y = np.asarray(y)
    if y.dtype.kind in "mM" and classes.dtype.kind == y.dtype.kind:  # dates, perhaps in another unit
        y = y.astype(classes.dtype)
    numbers = {label: k for k, label in enumerate(classes.tolist())}
    labels = y.reshape(-1).tolist()
    if unknown := [label for label in labels if label not in numbers]:
        raise ValueError(f"y holds {unknown[0]!r}, but the classes are {', '.join(map(str, classes))}.")
    return np.array([numbers[label] for label in labels], np.int64)


def _instead_of(found: Any) -> str:
    """Return what was given to a plot that needs a net, and what to give instead."""
    if hasattr(found, "coefs_"):
        return f"but it was given {type(found).__name__} of scikit-learn: plot fastmlp.from_sklearn(estimator)"
    if hasattr(found, "stopped_by") and hasattr(found, "loss"):
        return f"but it was given {type(found).__name__}: plot the net that was fitted"
    if hasattr(found, "fit"):
        return f"but it was given {type(found).__name__}, which is not fitted: call fit first"
    return f"but it was given {type(found).__name__}"


def as_samples(net: Any, X: Any, y: Any = None) -> PlotSamples:
    """Return checked samples for an MLP or a Population. Bad samples raise the same errors as in fit."""
    network = net.network
    features = as_features(X, network.n_features, net.dtype)
    if y is None:
        return PlotSamples(features)
    targets = as_targets(y, network, net.dtype, len(features))
    metric = metric_of(targets, network)
    exclusive = metric == METRIC_ARGMAX or (metric == METRIC_THRESHOLD and network.n_outputs == 1)
    return PlotSamples(features, targets, class_numbers(targets, network, metric) if exclusive else None)


def require_attributes(value: Any, names: tuple[str, ...], expected: str) -> Any:
    """Return `value` if it has the attributes `names`.

    expected : description of the expected object, for the error message

    Raises
    ------
    ValueError
        If an attribute is missing.
    """
    if not all(hasattr(value, name) for name in names):
        raise ValueError(f"This plot needs {expected}, but it was given {type(value).__name__}.")
    return value


def one_output(network: Network, samples: PlotSamples, k: int) -> PlotSamples:
    """Return the samples with the targets of output k only, and as two classes if the output is a label.

    Raises
    ------
    ValueError
        If the net has no output k.
    """
    if checked_count("output", k, at_least=0) >= network.n_outputs:
        raise ValueError(f"output must be below {network.n_outputs}, the number of outputs, but it is {k}.")
    if samples.targets is None:
        return samples
    targets = samples.targets[:, [k]]
    if metric_of(samples.targets, network) == METRIC_NONE:
        return PlotSamples(samples.X, targets)
    return PlotSamples(samples.X, targets, (targets[:, 0] == network.output_row.high).astype(np.int64))


def has_classes(network: Network, samples: PlotSamples) -> bool:
    """Return whether outputs mean classes, by the targets or, without targets, by a bounded output activation."""
    if samples.targets is not None:
        return metric_of(samples.targets, network) != METRIC_NONE
    return bool(np.isfinite([network.output_row.low, network.output_row.high]).all())


def probabilities(network: Network, outputs: np.ndarray) -> np.ndarray:
    """Return outputs (..., n_outputs) of a classifier as values (..., n_classes) in [0, 1].

    A single output becomes two columns. Several outputs without softmax are not normalised to a sum of 1.
    """
    low, high = network.output_row.low, network.output_row.high
    if not np.isfinite([low, high]).all():  # an unbounded output, trained on targets 0 and 1
        low, high = 0.0, 1.0
    fractions = np.clip((outputs.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return np.concatenate([1.0 - fractions, fractions], axis=-1) if outputs.shape[-1] == 1 else fractions


def calibrated(p: np.ndarray, net: Any) -> np.ndarray:
    """Return class probabilities (..., n_classes) with the temperature of the table that the net was trained on.

    Logits divided by a temperature, as in `fastmlp predict`, give powers of the probabilities.
    """
    if net.preprocessing is None:
        return p
    powers = p ** (1.0 / net.preprocessing.target.temperature)
    return powers / powers.sum(axis=-1, keepdims=True)


def require_classes(net: Any, X: Any, y: Any, plot_name: str) -> PlotSamples:
    """Return checked samples for a plot of a classifier; see as_samples.

    plot_name : name of the plot, for the error message

    Raises
    ------
    ValueError
        If the targets are not exclusive classes.
    """
    samples = as_samples(net, X, y)
    if samples.classes is None:
        raise ValueError(
            f"A {plot_name} needs targets that are exclusive classes, but y holds numbers or labels that may occur "
            "together. For numbers look at history.plot() and net.plot_boundary(X, y)."
        )
    return samples


def class_labels(net: Any, labels: Any, n_classes: int) -> list[str]:
    """Return the names of the classes, ready to draw.

    They are `labels` if given, otherwise the classes of the table that the net was trained on, otherwise class numbers.
    Names are cut after LONGEST characters, which fit beside every plot.

    Raises
    ------
    ValueError
        If the number of labels differs from that of classes.
    """
    if labels is None and net.preprocessing is not None and net.preprocessing.target.classes:
        labels = net.preprocessing.target.classes
    if labels is None:
        return [str(k) for k in range(n_classes)]
    if len(labels) != n_classes:
        raise ValueError(
            f"labels must name {counted(n_classes, 'class', 'classes')}, but it has "
            f"{counted(len(labels), 'entry', 'entries')}."
        )
    return [literal_text(label, MAX_NAME_LENGTH) for label in labels]


def feature_labels(net: Any, names: Any) -> list[str]:
    """Return the names of the inputs, ready to draw.

    They are `names` if given, otherwise the feature names of the table that the net was trained on, otherwise "input 0"
    and so on.

    Raises
    ------
    ValueError
        If the number of names differs from that of inputs.
    """
    n = net.network.n_features
    if names is None and net.preprocessing is not None:
        names = net.preprocessing.feature_names
    if names is None:
        return [f"input {k}" for k in range(n)]
    if len(names) != n:
        raise ValueError(
            f"feature_names must name {counted(n, 'input')}, but it has {counted(len(names), 'entry', 'entries')}."
        )
    return [literal_text(name, 2 * MAX_NAME_LENGTH) for name in names]
