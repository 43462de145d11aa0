"""Plots of decision boundaries: the outputs of a net over the plane of two inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import checked_count, counted
from .sample_checks import (
    PlotSamples,
    as_samples,
    class_labels,
    feature_labels,
    has_classes,
    one_output,
    probabilities,
    unwrap_estimator,
)
from .style import (
    BLACK,
    INK,
    LABEL,
    MARKERS,
    PALETTE,
    PANEL_TITLE,
    SMALL,
    axes,
    heading,
    label_axes,
    legend,
    literal_text,
    panels,
    percent,
)

MAX_POINTS = 1500  # largest number of samples to draw; larger data are drawn with a stride
SATURATION = 0.5  # saturation of the plane's colours, so that they differ from those of the points


@dataclass(frozen=True)
class Plane:
    """Grid over the plane of two inputs, with all other inputs at their medians.

    features : numbers of the two inputs
    extent : (left, right, bottom, top) of the plane, in units of the inputs
    resolution : number of grid points along each axis
    points : (resolution**2, n_features) inputs at the grid points
    """

    features: tuple[int, int]
    extent: tuple[float, float, float, float]
    resolution: int
    points: np.ndarray

    @classmethod
    def around(cls, X: np.ndarray, features: Sequence[int], resolution: int, margin: float = 0.12) -> Plane:
        """Return a plane around the samples X (n_samples, n_features), with a margin relative to their range."""
        n_features = X.shape[1]
        axes_ = tuple(int(feature) for feature in features)
        if n_features < 2:
            raise ValueError("A decision boundary needs two inputs, but the net has one. Plot net.predict(X) over X.")
        if len(axes_) != 2 or axes_[0] == axes_[1] or min(axes_) < 0 or max(axes_) >= n_features:
            raise ValueError(f"features must be two different inputs from 0 to {n_features - 1}, but it is {features}.")
        checked_count("resolution", resolution, at_least=2)
        extent: list[float] = []
        for feature in axes_:
            low, high = float(X[:, feature].min()), float(X[:, feature].max())
            margin_width = margin * (high - low) or 1.0
            extent += [low - margin_width, high + margin_width]
        x = np.linspace(extent[0], extent[1], resolution)
        y = np.linspace(extent[2], extent[3], resolution)
        points = np.tile(np.median(X, axis=0), (resolution * resolution, 1)).astype(X.dtype)
        points[:, axes_[0]], points[:, axes_[1]] = np.tile(x, resolution), np.repeat(y, resolution)
        return cls((axes_[0], axes_[1]), (extent[0], extent[1], extent[2], extent[3]), resolution, points)

    def image(self, values: np.ndarray) -> np.ndarray:
        """Return values (n_points, ...) as an image (resolution, resolution, ...), with the first row at the bottom."""
        return values.reshape(self.resolution, self.resolution, *values.shape[1:])


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
    title: str | None = None,
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
        Number of the only output to show. By default the most likely class is shown or, for regression and multilabel
        targets, the first output.
    feature_names : sequence of str, optional
        Names of all inputs.
    labels : sequence of str, optional
        Names of the classes; class numbers by default.
    resolution : int, default 200
        Number of grid points along each axis.
    title : str, optional
        Title of the plot; by default one with the accuracy.
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
    net, y, labels = unwrap_estimator(net, y, labels)
    samples = as_samples(net, X, y)
    plane = Plane.around(samples.X, features, resolution)
    names = feature_labels(net, feature_names)
    are_classes, n_outputs = has_classes(net.network, samples), net.network.n_outputs
    if output is None and n_outputs > 1 and samples.targets is not None and samples.classes is None:
        output = 0
    if output is not None:
        samples = one_output(net.network, samples, output)
    columns = slice(None) if output is None else slice(output, output + 1)
    outputs = net.predict(plane.points)[:, columns]
    ax = axes(ax, 5.4, 4.2)
    if are_classes:
        predicted = None
        if samples.classes is not None:
            predicted = probabilities(net.network, net.predict(samples.X)[:, columns]).argmax(axis=1)
        paint_classes(ax, plane, probabilities(net.network, outputs))
        draw_samples(ax, plane, samples, class_labels(net, labels, max(2, outputs.shape[1])), predicted)
        text = "Decision boundary"
        if predicted is not None:
            legend(ax, beside=True, title="class" if labels is None and net.preprocessing is None else None)
            text += f": {percent(np.mean(predicted == samples.classes))} of {counted(len(predicted), 'sample')} right"
    else:
        paint_values(ax, plane, outputs[:, 0], samples)
        text = "Output" if samples.targets is None else "Output, and targets as points"
    if output is not None and n_outputs > 1:
        text += f" (output {output})"
    n_others = samples.X.shape[1] - 2
    if n_others:
        text += (
            "\n(the other input at its median)"
            if n_others == 1
            else f"\n(the other {n_others} inputs at their medians)"
        )
    return label_axes(
        ax, text if title is None else literal_text(title), names[plane.features[0]], names[plane.features[1]]
    )


def paint_classes(ax: Any, plane: Plane, class_probabilities: np.ndarray) -> tuple[Any, list[Any]]:
    """Draw the plane in the colours of the classes, with decision boundaries. Returns the image and the lines.

    class_probabilities : (n_points, n_classes) probabilities
    """
    image = ax.imshow(
        colours(plane, class_probabilities),
        origin="lower",
        extent=plane.extent,
        aspect="auto",
        interpolation="bilinear",
        zorder=0,
    )
    return image, draw_lines(ax, plane, class_probabilities)


def colours(plane: Plane, class_probabilities: np.ndarray) -> np.ndarray:
    """Return the image (resolution, resolution, 3) of a plane in the colours of the most likely classes.

    Colours are blended with white where the second class is close.

    class_probabilities : (n_points, n_classes) probabilities
    """
    ranked = np.sort(class_probabilities, axis=1)
    lead = (ranked[:, -1] - ranked[:, -2])[:, None]
    full_colours = palette(class_probabilities.shape[1])[class_probabilities.argmax(axis=1)]
    return plane.image(1.0 - SATURATION * lead * (1.0 - full_colours))


def palette(n: int) -> np.ndarray:
    """Return n colours, (n, 3) in [0, 1]: those of the palette or, for more than eight, evenly spaced on a map."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if n <= len(PALETTE):
        return np.array([to_rgb(colour) for colour in PALETTE[:n]])
    return colormaps["turbo"](np.linspace(0.05, 0.95, n))[:, :3]


def draw_lines(ax: Any, plane: Plane, class_probabilities: np.ndarray) -> list[Any]:
    """Draw the decision boundaries: the lines on which the most likely class changes. Returns the lines.

    class_probabilities : (n_points, n_classes) probabilities
    """
    lines = []
    n_classes = class_probabilities.shape[1]
    for k in range(1 if n_classes == 2 else 0, n_classes):
        other_probability = np.delete(class_probabilities, k, axis=1).max(axis=1)
        lead = plane.image(class_probabilities[:, k] - other_probability)
        if lead.min() < 0.0 < lead.max():
            line = ax.contour(lead, levels=[0.0], colors=BLACK, linewidths=1.3, extent=plane.extent, origin="lower")
            lines.append(line)
    return lines


def draw_samples(
    ax: Any, plane: Plane, samples: PlotSamples, labels: list[str], predicted: np.ndarray | None = None
) -> None:
    """Draw the samples with the colour and marker of their class.

    labels : names of the classes
    predicted : (n_samples,) predicted classes, or None; misclassified samples get a black rim
    """
    X, (first, second) = samples.X, plane.features
    step = -(-len(X) // MAX_POINTS)
    size = float(np.clip(5000.0 / len(X), 10.0, 70.0))
    if samples.classes is None:
        ax.scatter(X[::step, first], X[::step, second], s=size, c=INK, edgecolors="white", linewidths=0.6, zorder=3)
        return
    wrong = np.zeros(len(X), bool) if predicted is None else predicted != samples.classes
    class_colours = palette(len(labels))
    for k, label in enumerate(labels):
        of_class = samples.classes == k
        for mask, edge_colour, edge_width, size_factor in (
            (of_class & ~wrong, "white", 0.6, 1.0),
            (of_class & wrong, BLACK, 1.2, 1.3),
        ):
            rows = np.flatnonzero(mask)[::step]
            ax.scatter(
                X[rows, first],
                X[rows, second],
                s=size * size_factor,
                color=class_colours[k],
                marker=MARKERS[k % len(MARKERS)],
                edgecolors=edge_colour,
                linewidths=edge_width,
                zorder=4 if edge_colour == BLACK else 3,
                label=label if edge_colour == "white" else None,
            )
    if wrong.any():
        ax.scatter([], [], s=40, facecolors="none", edgecolors=BLACK, linewidths=1.2, label="wrong")


def paint_values(ax: Any, plane: Plane, values: np.ndarray, samples: PlotSamples) -> None:
    """Draw outputs over the plane, and the targets of the samples, on the same colour scale.

    values : (n_points,) outputs
    """
    from matplotlib.colors import Normalize

    targets = np.empty(0) if samples.targets is None else samples.targets[:, 0]
    low, high = (float(extreme(np.concatenate([values, targets]))) for extreme in (np.min, np.max))
    scale = Normalize(low, high)
    image = ax.imshow(
        plane.image(values),
        origin="lower",
        extent=plane.extent,
        aspect="auto",
        cmap="cividis",
        norm=scale,
        interpolation="bilinear",
        zorder=0,
    )
    if values.min() < values.max():
        ax.contour(
            plane.image(values),
            8,
            colors="white",
            linewidths=0.6,
            linestyles="solid",
            alpha=0.7,
            extent=plane.extent,
            origin="lower",
        )
    X, step = samples.X, -(-len(samples.X) // MAX_POINTS)
    marker_colours = targets[::step] if targets.size else INK
    ax.scatter(
        X[::step, plane.features[0]],
        X[::step, plane.features[1]],
        c=marker_colours,
        cmap="cividis" if targets.size else None,
        norm=scale if targets.size else None,
        s=float(np.clip(5000.0 / len(X), 10.0, 70.0)),
        edgecolors="white",
        linewidths=0.7,
        zorder=3,
    )
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label("output", fontsize=LABEL, color=INK)
    bar.outline.set_visible(False)


def boundaries(
    nets: Any, X: Any, y: Any = None, *, titles: Any = None, n_columns: int = 4, ax: Any = None, **options: Any
) -> np.ndarray:
    """Plot the decision boundaries of several nets side by side, over the same plane and with one legend.

    Parameters
    ----------
    nets : sequence or dict of MLP
        The nets, or {title: net}.
    X : array_like of shape (n_samples, n_features)
        Samples as in boundary.
    y : array_like, optional
        Targets as for fit.
    titles : sequence of str, optional
        Titles of the nets; accuracy on (X, y), or loss, is added to them.
    n_columns : int, default 4
        Largest number of panels in a row.
    ax : matplotlib.axes.Axes, optional
        Axes to divide into panels; a new figure by default.
    **options
        Further arguments of boundary.

    Returns
    -------
    ndarray of Axes, shape (n_nets,)

    Raises
    ------
    ValueError
        As in boundary, and if there are no nets, or if the number of titles differs from that of nets.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> nets = [fastmlp.MLP((2, 4, 1), loss="binary_cross_entropy", random_state=seed) for seed in range(2)]
    >>> boundaries(nets, X, y, titles=["one", "other"], resolution=20).shape
    (2,)
    """
    if isinstance(nets, dict):
        titles, nets = list(nets), list(nets.values())
    nets = list(nets)
    unwrapped = [unwrap_estimator(net, y, options.get("labels")) for net in nets]
    titles = [f"net {k}" for k in range(len(nets))] if titles is None else [literal_text(title) for title in titles]
    if not nets or len(titles) != len(nets):
        raise ValueError(
            f"There must be at least one net and a title for each, but there are {counted(len(nets), 'net')} and "
            f"{counted(len(titles), 'title')}."
        )
    n_columns = min(checked_count("n_columns", n_columns), len(nets))
    n_rows = -(-len(nets) // n_columns)
    canvas = axes(ax, 2.7 * n_columns + 0.6, 2.75 * n_rows + 0.35)
    grid = panels(canvas, n_rows, n_columns, 0.12, 0.42)
    panels_of_nets = grid.reshape(-1)[: len(nets)]
    for empty_panel in grid.reshape(-1)[len(nets) :]:
        empty_panel.set_axis_off()
    for k, ((net, targets, labels), title) in enumerate(zip(unwrapped, titles, strict=True)):
        boundary(net, X, targets, title="", ax=panels_of_nets[k], **{**options, "labels": labels})
        if y is not None:
            figures = net.evaluate(X, targets)
            accuracy = figures.get("accuracy")
            title += f"\nloss {figures['loss']:.3g}" if accuracy is None else f"\n{percent(accuracy)} right"
        panels_of_nets[k].set_title(title, loc="left", fontsize=PANEL_TITLE, color=INK)
        if panels_of_nets[k].get_legend() is not None and k != min(n_columns, len(nets)) - 1:
            panels_of_nets[k].get_legend().remove()
        if k % n_columns:
            panels_of_nets[k].set_ylabel("")
            panels_of_nets[k].set_yticklabels([])
        if k + n_columns < len(nets):
            panels_of_nets[k].set_xlabel("")
            panels_of_nets[k].set_xticklabels([])
    heading(canvas, ax, f"Decision boundaries of {counted(len(nets), 'net')}")
    return panels_of_nets
