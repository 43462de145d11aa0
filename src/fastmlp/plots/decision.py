"""Plot of a decision boundary: the outputs of a net over the plane of two inputs, and samples on it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import checked_count, counted
from .samples import PlotSamples, plot_samples, probabilities
from .style import BLACK, INK, LABEL, MARKERS, PALETTE, SMALL, axes, label_axes, legend, percent

MAX_POINTS = 1500  # largest number of samples to draw; larger data are drawn with a stride
SATURATION = 0.5  # saturation of the plane's colours, so that they differ from those of the points


def boundary(
    net: Any,
    X: Any,
    y: Any = None,
    *,
    features: Sequence[int] = (0, 1),
    output: int | None = None,
    feature_names: Any = None,
    labels: Any = None,
    resolution: int = 200,
    ax: Any = None,
) -> Any:
    """Plot the outputs of a net over the plane of two inputs, with the samples.

    Each class has a colour and a marker. The plane is paler where the net is less sure, and lines are the decision
    boundaries. Misclassified samples have a black rim. In a regression, outputs and targets are shown as colours.

    Parameters
    ----------
    net : MLP, MLPClassifier or MLPRegressor
        A net, or a fitted estimator.
    X : array_like of shape (n_samples, n_features)
        Samples; inputs other than the two in `features` are held at their medians.
    y : array_like, optional
        Targets as for fit.
    features : sequence of two ints, default (0, 1)
        Numbers of the inputs on the two axes.
    output : int, optional
        Number of the only output to show, as classes 0 and 1. By default the most likely class is shown or, for
        regression and multilabel targets, the first output.
    feature_names : sequence of str, optional
        Names of all inputs.
    labels : sequence of str, optional
        Names of the classes; class numbers by default.
    resolution : int, default 200
        Number of grid points along each axis.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the samples do not match the net, or features are not two different inputs.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastmlp.MLP((2, 4, 1), hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    >>> history = net.fit(X, y, epochs=1000, optimizer="rprop")
    >>> boundary(net, X, y, resolution=20).get_title(loc="left")
    'Decision boundary: 100 % of 4 samples right'
    """
    samples = plot_samples(net, X, y, labels, is_of_one_net=True)
    net, network = samples.net, samples.net.network
    features, points, place = plane_of_two(samples.X, features, resolution)
    names, are_classes = samples.input_names(feature_names), samples.have_classes
    if output is None and network.n_outputs > 1 and samples.targets is not None and samples.classes is None:
        output = 0
    is_one_of_several = output is not None and network.n_outputs > 1
    samples = samples if output is None else samples.of_output(output)
    columns = slice(None) if output is None else slice(output, output + 1)
    image = net.predict(points)[:, columns].reshape(resolution, resolution, -1)
    ax = axes(ax, 5.4, 4.2)
    if are_classes:
        predicted, text = None, "Decision boundary"
        if samples.classes is not None:
            predicted = probabilities(network, net.predict(samples.X)[:, columns]).argmax(axis=1)
        _paint_classes(ax, probabilities(network, image), place)
        _draw_samples(ax, samples, features, ["0", "1"] if is_one_of_several else samples.class_names(), predicted)
        if predicted is not None:
            legend(ax, beside=True, title="class" if samples.labels is None and net.preprocessing is None else None)
            text += f": {percent(np.mean(predicted == samples.classes))} of {counted(len(predicted), 'sample')} right"
    else:
        _paint_values(ax, image[..., 0], place, samples, features)
        text = "Output" if samples.targets is None else "Output, and targets as points"
    if is_one_of_several:
        text += f" (output {output})"
    n_others = samples.X.shape[1] - 2
    if n_others:
        others = "input at its median" if n_others == 1 else f"{n_others} inputs at their medians"
        text += f"\n(the other {others})"
    return label_axes(ax, text, names[features[0]], names[features[1]])


def plane_of_two(
    X: np.ndarray, features: Sequence[int], resolution: int, margin: float = 0.12
) -> tuple[list[int], np.ndarray, dict[str, Any]]:
    """Return a grid over the plane of two inputs around samples, with all other inputs at their medians.

    X : (n_samples, n_features) samples
    features : numbers of the two inputs
    resolution : number of grid points along each axis
    margin : width of the plane beyond the samples, relative to their range

    Returns (features, checked; inputs at the grid points, row by row from the bottom; arguments of matplotlib that
    place an image of the plane)
    """
    n_features, features = X.shape[1], [int(feature) for feature in features]
    if n_features < 2:
        raise ValueError("A decision boundary needs two inputs, but the net has one. Plot net.predict(X) over X.")
    if len(features) != 2 or features[0] == features[1] or min(features) < 0 or max(features) >= n_features:
        raise ValueError(f"features must be two different inputs from 0 to {n_features - 1}, but it is {features}.")
    checked_count("resolution", resolution, at_least=2)
    points = np.tile(np.median(X, axis=0), (resolution * resolution, 1)).astype(X.dtype)
    extent, grid = list[float](), list[np.ndarray]()
    for feature in features:
        low, high = float(X[:, feature].min()), float(X[:, feature].max())
        margin_width = margin * (high - low) or 1.0
        extent += [low - margin_width, high + margin_width]
        grid.append(np.linspace(extent[-2], extent[-1], resolution))
    points[:, features] = np.stack(np.meshgrid(*grid), axis=-1).reshape(-1, 2)
    return features, points, {"origin": "lower", "extent": extent}


def _paint(ax: Any, image: np.ndarray, place: dict[str, Any], **options: Any) -> Any:
    """Draw an image (resolution, resolution, ...) of the plane, and return its artist."""
    return ax.imshow(image, aspect="auto", interpolation="bilinear", zorder=0, **place, **options)


def _paint_classes(ax: Any, class_probabilities: np.ndarray, place: dict[str, Any]) -> None:
    """Draw the plane in the colours of the classes, with decision boundaries: where the most likely class changes.

    Colours are blended with white where the second class is close.

    class_probabilities : (resolution, resolution, n_classes) probabilities
    """
    n_classes, ranked = class_probabilities.shape[-1], np.sort(class_probabilities)
    margin = (ranked[..., -1] - ranked[..., -2])[..., None]
    full_colours = palette(n_classes)[class_probabilities.argmax(axis=-1)]
    _paint(ax, 1.0 - SATURATION * margin * (1.0 - full_colours), place)
    for k in range(1 if n_classes == 2 else 0, n_classes):
        lead = class_probabilities[..., k] - np.delete(class_probabilities, k, axis=-1).max(axis=-1)
        if lead.min() < 0.0 < lead.max():
            ax.contour(lead, [0.0], colors=BLACK, linewidths=1.3, **place)


def palette(n: int) -> np.ndarray:
    """Return n colours, (n, 3) in [0, 1]: those of the palette or, for more than eight, evenly spaced on a map."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if n <= len(PALETTE):
        return np.array([to_rgb(colour) for colour in PALETTE[:n]])
    return colormaps["turbo"](np.linspace(0.05, 0.95, n))[:, :3]


def stride_and_size(n: int) -> tuple[slice, float]:
    """Return which of n samples are drawn, and the size of their points."""
    return slice(None, None, -(-n // MAX_POINTS)), float(np.clip(5000.0 / n, 10.0, 70.0))


def _draw_samples(
    ax: Any, samples: PlotSamples, features: list[int], labels: list[str], predicted: np.ndarray | None = None
) -> None:
    """Draw the samples with the colour and marker of their class.

    labels : names of the classes
    predicted : (n_samples,) predicted classes, or None; misclassified samples get a black rim
    """
    (drawn, size), points = stride_and_size(len(samples.X)), samples.X[:, features]
    white = {"edgecolors": "white", "linewidths": 0.6, "zorder": 3}
    if samples.classes is None:
        ax.scatter(*points[drawn].T, s=size, c=INK, **white)
        return
    wrong = np.zeros(len(samples.X), bool) if predicted is None else predicted != samples.classes
    for k, (label, colour) in enumerate(zip(labels, palette(len(labels)), strict=True)):
        look, is_in_class = {"color": colour, "marker": MARKERS[k % len(MARKERS)]}, samples.classes == k
        right, missed = (np.flatnonzero(is_in_class & mask)[drawn] for mask in (~wrong, wrong))
        ax.scatter(*points[right].T, s=size, label=label, **white, **look)
        ax.scatter(*points[missed].T, s=1.3 * size, edgecolors=BLACK, linewidths=1.2, zorder=4, **look)
    if wrong.any():
        ax.scatter([], [], s=40, facecolors="none", edgecolors=BLACK, linewidths=1.2, label="wrong")


def _paint_values(
    ax: Any, values: np.ndarray, place: dict[str, Any], samples: PlotSamples, features: list[int]
) -> None:
    """Draw outputs over the plane, and the targets of the samples, on the same colour scale.

    values : (resolution, resolution) outputs
    """
    from matplotlib.colors import Normalize

    targets = np.empty(0) if samples.targets is None else samples.targets[:, 0]
    every = np.append(values, targets)
    scale = {"cmap": "cividis", "norm": Normalize(float(every.min()), float(every.max()))}
    image = _paint(ax, values, place, **scale)
    if values.min() < values.max():
        ax.contour(values, 8, colors="white", linewidths=0.6, linestyles="solid", alpha=0.7, **place)
    drawn, size = stride_and_size(len(samples.X))
    look = {"c": targets[drawn], **scale} if targets.size else {"c": INK}
    ax.scatter(*samples.X[drawn][:, features].T, s=size, edgecolors="white", linewidths=0.7, zorder=3, **look)
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label("output", fontsize=LABEL, color=INK)
    bar.outline.set_visible(False)
