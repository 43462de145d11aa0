"""Plots of what nets predict: confusion matrix and calibration curve of classifiers, predictions over true values."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..convergence import wilson_interval
from ..errors import checked_count
from ..tables.metrics import regression_metrics
from .samples import MAX_NAME_LENGTH, PlotSamples, plot_samples, predicted_probabilities
from .style import BLUE, FAINT, GRID, INK, SKY, SMALL, axes, label_axes, legend, literal_text, percent

MAX_NUMBERED_CLASSES = 20  # largest number of classes for which cells show their counts
MAX_POINTS = 3000  # largest number of samples to draw; larger data are drawn with a stride


def confusion(net: Any, X: Any, y: Any, *, labels: Any = None, ax: Any = None) -> Any:
    """Plot the confusion matrix: one row per true class, one column per predicted class.

    The colour of a cell is its fraction of the row; the number is the count of samples.

    Parameters
    ----------
    net : MLP, Population, MLPClassifier or TabularMLPClassifier
        A net, nets, whose mean output predicts the class, or a fitted estimator.
    X : array_like of shape (n_samples, n_features)
        Inputs.
    y : array_like
        Targets as for fit.
    labels : sequence of str, optional
        Names of the classes; class numbers by default.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the targets are not exclusive classes, or the number of labels differs from that of classes.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastmlp.MLP((2, 4, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    >>> history = net.fit(X, y, epochs=1000, optimizer="rprop")
    >>> confusion(net, X, y, labels=["same", "different"]).get_title(loc="left")
    'Confusion matrix\\n100 % of 4 right'
    """
    samples = _with_classes(net, X, y, labels, "confusion matrix")
    predicted = predicted_probabilities(net, X, y, samples).argmax(axis=1)
    names = samples.class_names()
    n = len(names)
    counts = np.zeros((n, n), np.int64)
    np.add.at(counts, (samples.classes, predicted), 1)
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = float(np.clip(1.6 + 0.55 * n, 3.2, 8.0))
    ax = axes(ax, size + 1.0, size)
    ax.imshow(fractions, cmap="Blues", vmin=0.0, vmax=1.15)  # vmax above 1: light enough for dark text in most cells
    if n <= MAX_NUMBERED_CLASSES:
        for i, j in np.ndindex(n, n):
            colour = "white" if fractions[i, j] > 0.65 else INK if counts[i, j] else "#B0B0B0"
            weight = "bold" if i == j else "normal"
            ax.text(j, i, f"{counts[i, j]:,}", ha="center", va="center", fontsize=SMALL, color=colour, weight=weight)
        look = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if max(map(len, names)) > 6 else {}
        ax.set_xticks(range(n), names, **look)
        ax.set_yticks(range(n), names)
    ax.set_anchor("W")
    for boundary in np.arange(n - 1) + 0.5:
        ax.axhline(boundary, color="white", linewidth=1.0)
        ax.axvline(boundary, color="white", linewidth=1.0)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    right = f"{percent(float((predicted == samples.classes).mean()))} of {predicted.size:,} right"
    return label_axes(ax, f"Confusion matrix\n{right}", "predicted class", "true class")


def _with_classes(net: Any, X: Any, y: Any, labels: Any, plot_name: str) -> PlotSamples:
    """Return checked samples for a plot of a classifier. Raises ValueError if targets are not exclusive classes."""
    samples = plot_samples(net, X, y, labels)
    if samples.classes is None:
        raise ValueError(
            f"A {plot_name} needs targets that are exclusive classes, but y holds numbers or labels that may occur "
            "together. For numbers look at history.plot() and net.plot_boundary(X, y)."
        )
    return samples


def reliability(p: np.ndarray, occurred: np.ndarray, n_bins: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """Return the reliability curve of predicted probabilities, in bins of equal width.

    p : (n_samples,) predicted probability of an event
    occurred : (n_samples,) 1 if the event happened, else 0
    n_bins : number of bins

    Returns (mean of p, fraction that happened, number of samples), arrays over the bins that are not empty, and the
    expected calibration error: the mean distance of the first two, weighted by the number of samples (Naeini et al.
    2015).

    >>> mean, frequency, count, error = reliability(np.array([0.1, 0.9, 0.9, 0.9]), np.array([0, 1, 1, 0]), 10)
    >>> frequency.round(2), count, round(error, 3)
    (array([0.  , 0.67]), array([1, 3]), 0.2)
    """
    bins = np.minimum((p * n_bins).astype(int), n_bins - 1)
    count = np.bincount(bins, minlength=n_bins)
    is_filled = count > 0
    mean = np.bincount(bins, p, n_bins)[is_filled] / count[is_filled]
    frequency = np.bincount(bins, occurred, n_bins)[is_filled] / count[is_filled]
    return mean, frequency, count[is_filled], float(np.sum(count[is_filled] * np.abs(mean - frequency)) / len(p))


def calibration(net: Any, X: Any, y: Any, *, n_bins: int = 10, labels: Any = None, ax: Any = None) -> Any:
    """Plot the calibration curve: observed frequency over predicted probability.

    For two classes the probability is that of class 1; for more classes it is that of the predicted class. Bars are 95
    % Wilson intervals; grey columns are the fractions of the samples in each bin.

    Parameters
    ----------
    net : MLP, Population, MLPClassifier or TabularMLPClassifier
        A net, nets, of which the mean probability is drawn, or a fitted estimator.
    X : array_like of shape (n_samples, n_features)
        Inputs.
    y : array_like
        Targets as for fit.
    n_bins : int, default 10
        Number of bins of equal width.
    labels : sequence of str, optional
        Names of the classes; class numbers by default.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the targets are not exclusive classes.
    ImportError
        If matplotlib is not installed.

    Notes
    -----
    The expected error in the title is the mean distance of frequency and probability over the bins, weighted by the
    number of samples in each.

    References
    ----------
    Naeini, Cooper and Hauskrecht 2015, "Obtaining well calibrated probabilities using Bayesian binning".

    Examples
    --------
    >>> import fastmlp
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(200, 2)); y = (X[:, 0] + rng.normal(size=200) > 0).astype(int)
    >>> net = fastmlp.MLP((2, 4, 1), loss="binary_cross_entropy", random_state=0)
    >>> history = net.fit(X, y, epochs=50)
    >>> calibration(net, X, y).get_xlabel()
    'probability of class 1'
    """
    samples = _with_classes(net, X, y, labels, "calibration curve")
    n_bins = checked_count("n_bins", n_bins)
    class_probabilities = predicted_probabilities(net, X, y, samples)
    if class_probabilities.shape[1] == 2:
        p, occurred = class_probabilities[:, 1], samples.classes == 1
        name = samples.class_names()[1]
        x, y_label = f"probability of class {name}", f"share that was class {name}"
    else:
        p, occurred = class_probabilities.max(axis=1), class_probabilities.argmax(axis=1) == samples.classes
        x, y_label = "probability of the predicted class", "share that was right"
    mean, frequency, count, error = reliability(p, occurred.astype(float), n_bins)
    ax = axes(ax, 5.6, 4.0)
    ax.grid(color=GRID, linewidth=0.8)
    middle = (np.floor(mean * n_bins).clip(0, n_bins - 1) + 0.5) / n_bins
    ax.bar(middle, count / len(p), 0.94 / n_bins, color="#DADADA", label="share of samples")
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=1.0, linestyle="--", label="perfect")
    intervals = np.array([wilson_interval(round(s * c), int(c)) for s, c in zip(frequency, count, strict=True)])
    ax.vlines(mean, intervals[:, 0], intervals[:, 1], color=SKY, linewidth=2.2, label="95 % interval")
    drawn = f"mean of {samples.net.n_nets} nets" if hasattr(samples.net, "n_nets") else "this net"
    ax.plot(mean, frequency, "o-", color=BLUE, linewidth=0.8, markersize=5, label=drawn)
    ax.set_xlim(0, 1)
    ax.set_ylim(0, 1.02)
    ax.set_aspect("equal", anchor="W")
    legend(ax, beside=True)
    return label_axes(ax, f"Calibration: expected error {percent(error)}", x, y_label)


def predictions(net: Any, X: Any, y: Any, *, output: int = 0, ax: Any = None) -> Any:
    """Plot predictions over true values, with a dashed line on which they are equal.

    Parameters
    ----------
    net : MLP, Population, MLPRegressor or TabularMLPRegressor
        A net, nets, whose mean output is drawn, or a fitted estimator.
    X : array_like of shape (n_samples, n_features)
        Inputs.
    y : array_like
        Targets as for fit; for a net trained on a table, they are shown in the units of the target columns.
    output : int, default 0
        Number of the output.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes
        The title has the root mean squared error and R2.

    Raises
    ------
    ValueError
        For bad samples, or an output that the net does not have.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> net = fastmlp.MLP((1, 8, 1), hidden_activation="tanh", random_state=0)
    >>> history = net.fit(X, X**2, epochs=100)
    >>> predictions(net, X, X**2).get_ylabel()
    'predicted value'
    """
    samples = plot_samples(net, X, y).of_output(output)
    own, n_outputs = samples.net, samples.net.network.n_outputs
    outputs = own.ensemble_predict(samples.X) if hasattr(own, "n_nets") else own.predict(samples.X)
    true, predicted = samples.targets[:, 0].astype(np.float64), outputs[:, output].astype(np.float64)
    name = "value" if n_outputs == 1 else f"output {output}"
    if own.preprocessing is not None:
        target = own.preprocessing.target
        true, predicted = (values * target.std + target.mean for values in (true, predicted))
        name = literal_text(target.name, 2 * MAX_NAME_LENGTH)
    elif hasattr(net, "encoded_samples"):  # of several targets, which the net has in standard deviations
        true, predicted = (np.asarray(values, np.float64)[:, output] for values in (y, net.predict(X)))
    figures = regression_metrics(true, predicted)
    ax = axes(ax, 4.6, 4.2)
    ax.grid(color=GRID, linewidth=0.8)
    step = -(-len(true) // MAX_POINTS)
    low, high = float(min(true.min(), predicted.min())), float(max(true.max(), predicted.max()))
    margin = 0.05 * (high - low) or 1.0
    size = float(np.clip(4000.0 / len(true), 4.0, 30.0))
    ax.scatter(true[::step], predicted[::step], s=size, color=BLUE, alpha=0.5 if len(true) > 200 else 0.9, linewidths=0)
    ax.plot([low, high], [low, high], color=INK, linewidth=1.0, linestyle="--")
    along = {"rotation": 45, "rotation_mode": "anchor", "ha": "right", "va": "top"}
    ax.text(high, high, "equal", fontsize=SMALL, color=FAINT, **along)
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylim(low - margin, high + margin)
    ax.set_aspect("equal", anchor="W")
    title = f"Predictions: RMSE {figures['RMSE']:.3g}, R² {figures['R2']:.3f}"
    return label_axes(ax, title, f"true {name}", f"predicted {name}")
