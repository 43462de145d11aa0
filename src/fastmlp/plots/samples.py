"""Samples of a plot, checked: with the net within an estimator, class numbers, and names of classes and inputs."""

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

    net : MLP or Population, that of an estimator
    X : (n_samples, n_features)
    targets : (n_samples, n_outputs), or None without y
    classes : (n_samples,) class numbers, or None if the targets are not exclusive classes
    labels : names of the classes, those of the user's argument or of an estimator, or None
    """

    net: Any
    X: np.ndarray
    targets: Any = None
    classes: Any = None
    labels: Any = None

    @property
    def have_classes(self) -> bool:
        """Whether outputs mean classes, by the targets or, without targets, by a bounded output activation."""
        network = self.net.network
        if self.targets is not None:
            return metric_of(self.targets, network) != METRIC_NONE
        return bool(np.isfinite([network.output_row.low, network.output_row.high]).all())

    def of_output(self, k: int) -> PlotSamples:
        """Return the samples with the targets of output k only, and as two classes if the output is a label."""
        network = self.net.network
        if checked_count("output", k, at_least=0) >= network.n_outputs:
            raise ValueError(f"output must be below {network.n_outputs}, the number of outputs, but it is {k}.")
        if self.targets is None:
            return self
        targets = self.targets[:, [k]]
        is_high = (targets[:, 0] == network.output_row.high).astype(np.int64)
        return self._replace(targets=targets, classes=is_high if self.have_classes else None)

    def class_names(self) -> list[str]:
        """Return the names of the classes, ready to draw.

        They are the given ones, otherwise those of the table that the net was trained on, otherwise class numbers.
        Names are cut after MAX_NAME_LENGTH characters, which fit beside every plot.
        """
        n, labels, table = max(2, self.net.network.n_outputs), self.labels, self.net.preprocessing
        if labels is None and table is not None and table.target.classes:
            labels = table.target.classes
        return [str(k) for k in range(n)] if labels is None else _names("labels", labels, n, "class", "classes")

    def input_names(self, names: Any) -> list[str]:
        """Return the names of the inputs, ready to draw: the given ones, those of the table, or "input 0" and so on."""
        n, table = self.net.network.n_features, self.net.preprocessing
        names = table.feature_names if names is None and table is not None else names
        return [f"input {k}" for k in range(n)] if names is None else _names("feature_names", names, n, "input")


def _names(argument: str, names: Any, n: int, noun: str, plural: str = "") -> list[str]:
    if len(names) != n:
        entries = counted(len(names), "entry", "entries")
        raise ValueError(f"{argument} must name {counted(n, noun, plural or noun + 's')}, but it has {entries}.")
    return [literal_text(name, MAX_NAME_LENGTH if noun == "class" else 2 * MAX_NAME_LENGTH) for name in names]


def plot_samples(model: Any, X: Any, y: Any = None, labels: Any = None, *, is_of_one_net: bool = False) -> PlotSamples:
    """Return checked samples of a net or an estimator. Bad samples raise the same errors as in fit.

    For an estimator, a table is encoded, and y are its classes.

    is_of_one_net : whether the plot is of one net and of numbers, so that a Population and a table are refused

    Raises
    ------
    ValueError
        If model is neither, if y holds a class that is unknown to the estimator, or if the plot is of one net and there
        are several, or a table.
    """
    net, classes = getattr(model, "net_", model), getattr(model, "classes_", None)
    is_of_table, has_nets = hasattr(model, "encoded_samples"), hasattr(net, "n_nets")
    if not is_of_table and not hasattr(net, "network"):
        raise ValueError(f"This plot needs an MLP or a fitted estimator of fastmlp, {_advice(net)}.")
    if is_of_one_net and is_of_table:
        raise ValueError(
            f"This plot takes one net and inputs that are numbers, but {type(model).__name__} takes a table. "
            "Encode it: X, y = model.encoded_samples(X, y), then plot "
            f"model.net_{'.best()' if has_nets else ''}."
        )
    if is_of_one_net and has_nets:
        raise ValueError(
            f"This plot is of one net, but there are {net.n_nets} here. Plot one of them, such as pop.best()."
        )
    if is_of_table:
        X, y = model.encoded_samples(X, y)
    elif classes is not None and y is not None and np.ndim(y) != 2:
        y = _numbers_of_classes(classes, y)
    if labels is None and np.ndim(y) != 2:
        labels = classes
    network = net.network
    samples = PlotSamples(net, as_features(X, network.n_features, net.dtype), labels=labels)
    if y is None:
        return samples
    targets = as_targets(y, network, net.dtype, len(samples.X))
    metric = metric_of(targets, network)
    exclusive = metric == METRIC_ARGMAX or (metric == METRIC_THRESHOLD and network.n_outputs == 1)
    return samples._replace(targets=targets, classes=class_numbers(targets, network, metric) if exclusive else None)


def _advice(model: Any) -> str:
    """Return what was given to a plot that needs a net, and what to give instead."""
    if hasattr(model, "coefs_"):
        return f"but it was given {type(model).__name__} of scikit-learn: plot fastmlp.from_sklearn(estimator)"
    if hasattr(model, "stopped_by") and hasattr(model, "loss"):
        return f"but it was given {type(model).__name__}: plot the net that was fitted"
    if hasattr(model, "fit"):
        return f"but it was given {type(model).__name__}, which is not fitted: call fit first"
    return f"but it was given {type(model).__name__}"


def _numbers_of_classes(classes: np.ndarray, y: Any) -> np.ndarray:
    """Return the numbers (n_samples,) of the classes in y among those of an estimator."""
    y = np.asarray(y)
    if y.dtype.kind in "mM" and classes.dtype.kind == y.dtype.kind:  # dates, perhaps in another unit
        y = y.astype(classes.dtype)
    numbers = {label: k for k, label in enumerate(classes.tolist())}
    labels = y.reshape(-1).tolist()
    if unknown := [label for label in labels if label not in numbers]:
        raise ValueError(f"y holds {unknown[0]!r}, but the classes are {', '.join(map(str, classes))}.")
    return np.array([numbers[label] for label in labels], np.int64)


def probabilities(network: Network, outputs: np.ndarray) -> np.ndarray:
    """Return outputs (..., n_outputs) of a classifier as values (..., n_classes) in [0, 1].

    A single output becomes two columns. Several outputs without softmax are not normalised to a sum of 1.
    """
    low, high = network.output_row.low, network.output_row.high
    if not np.isfinite([low, high]).all():  # an unbounded output, trained on targets 0 and 1
        low, high = 0.0, 1.0
    fractions = np.clip((outputs.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return np.concatenate([1.0 - fractions, fractions], axis=-1) if outputs.shape[-1] == 1 else fractions


def predicted_probabilities(model: Any, inputs: Any, y: Any, samples: PlotSamples) -> np.ndarray:
    """Return the class probabilities (n_samples, n_classes) that a net, the mean of nets or an estimator predicts.

    Those of a net of `fastmlp train` have the temperature of its table, as in `fastmlp predict`: logits divided by a
    temperature give powers of the probabilities.

    inputs, y : the user's samples
    """
    net = samples.net
    if model is not net and np.ndim(y) < 2:
        return model.predict_proba(inputs)
    p = probabilities(net.network, net.predict(samples.X))
    if net.preprocessing is not None:
        powers = p ** (1.0 / net.preprocessing.target.temperature)
        p = powers / powers.sum(axis=-1, keepdims=True)
    return p.mean(axis=0) if hasattr(net, "n_nets") else p
