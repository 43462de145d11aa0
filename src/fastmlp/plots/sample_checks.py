"""What pictures ask of a net and its samples: classes and probabilities, numbers, names."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..data.validation import as_features, as_targets, class_numbers, metric_of
from ..errors import checked_count, counted
from ..kernels.structs import METRIC_ARGMAX, METRIC_NONE, METRIC_THRESHOLD
from ..network.spec import Network
from .style import plain

LONGEST = 24  # letters of a class's name, and half of those of an input's


class PlotSamples(NamedTuple):
    """Checked samples. targets and classes are None where there is no y, classes also where targets are no classes.

    X : (n_samples, n_features)
    targets : (n_samples, n_outputs)
    classes : (n_samples,) class numbers
    """

    X: np.ndarray
    targets: Any = None
    classes: Any = None


def opened(model: Any, y: Any = None, labels: Any = None) -> tuple[Any, Any, Any]:
    """(net, y, labels): of a scikit-learn estimator its `net_`, y as class numbers and the names of its classes.

    Anything else is an MLP and comes back as it is.

    Raises
    ------
    ValueError
        If y holds a class that the estimator does not know.
    """
    net, classes = getattr(model, "net_", model), getattr(model, "classes_", None)
    if net is model or classes is None or np.ndim(y) == 2:
        return net, y, labels
    if y is not None:
        place = np.searchsorted(classes, np.asarray(y)).clip(0, len(classes) - 1)
        unknown = np.asarray(classes)[place] != np.asarray(y)
        if unknown.any():
            raise ValueError(
                f"y holds {np.asarray(y)[unknown].tolist()[0]!r}, but the classes are {', '.join(map(str, classes))}."
            )
        y = place
    return net, y, classes if labels is None else labels


def as_samples(net: Any, X: Any, y: Any = None) -> PlotSamples:
    """Samples for an MLP or a Population; the errors for bad ones are those of fit."""
    network = net.network
    features = as_features(X, network.n_features, net.dtype)
    if y is None:
        return PlotSamples(features)
    targets = as_targets(y, network, net.dtype, len(features))
    metric = metric_of(targets, network)
    exclusive = metric == METRIC_ARGMAX or (metric == METRIC_THRESHOLD and network.n_outputs == 1)
    return PlotSamples(features, targets, class_numbers(targets, network, metric) if exclusive else None)


def need(thing: Any, names: tuple[str, ...], wanted: str) -> Any:
    """`thing`, if it has these attributes.

    Raises
    ------
    ValueError
        If it has not, in a sentence that says what is wanted and what came.
    """
    if not all(hasattr(thing, name) for name in names):
        raise ValueError(f"This picture needs {wanted}, but it was given {type(thing).__name__}.")
    return thing


def one_output(network: Network, samples: PlotSamples, k: int) -> PlotSamples:
    """The samples with the targets of output k alone, and its two classes where it is a label.

    Raises
    ------
    ValueError
        If the net has no such output.
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
    """Whether outputs are to be read as classes: so say the targets or, without any, a bounded output."""
    if samples.targets is not None:
        return metric_of(samples.targets, network) != METRIC_NONE
    return bool(np.isfinite([network.output_row.low, network.output_row.high]).all())


def probabilities(network: Network, outputs: np.ndarray) -> np.ndarray:
    """Outputs (..., n_outputs) of a classification as (..., n_classes) in [0, 1].

    One output in its range becomes two columns. Several that are no softmax are not made to sum to one.
    """
    low, high = network.output_row.low, network.output_row.high
    if not np.isfinite([low, high]).all():  # an unbounded output that was taught 0 and 1
        low, high = 0.0, 1.0
    share = np.clip((outputs.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return np.concatenate([1.0 - share, share], axis=-1) if outputs.shape[-1] == 1 else share


def need_classes(net: Any, X: Any, y: Any, picture: str) -> PlotSamples:
    """As as_samples, for pictures of classifiers.

    Raises
    ------
    ValueError
        If the targets are no exclusive classes.
    """
    samples = as_samples(net, X, y)
    if samples.classes is None:
        raise ValueError(
            f"A {picture} needs targets that are exclusive classes, but y holds numbers or labels that may occur "
            "together. For numbers look at history.plot() and net.plot_boundary(X, y)."
        )
    return samples


def class_labels(net: Any, labels: Any, n_classes: int) -> list[str]:
    """Names of the classes, ready to draw: those given, those of the table the net was trained on, or their numbers.

    Long ones are cut: LONGEST letters fit beside every picture.

    Raises
    ------
    ValueError
        If there are not as many names as classes.
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
    return [plain(label, LONGEST) for label in labels]


def feature_labels(net: Any, names: Any) -> list[str]:
    """Names of the inputs, ready to be drawn: those given, those of the table, or "input 0" and so on.

    Raises
    ------
    ValueError
        If there are not as many names as inputs.
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
    return [plain(name, 2 * LONGEST) for name in names]


def copy_of(net: Any) -> Any:
    """An MLP like this one with parameters of its own, for pictures of what it was or could be."""
    copy = type(net)(**{**net.get_settings(), "init": "zeros"}, device=net.device.name)
    copy.params, copy.preprocessing = net.params, net.preprocessing
    return copy
