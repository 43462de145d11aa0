"""Decision boundaries: what a net says over the plane of two inputs."""

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
    opened,
    probabilities,
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
    legend,
    named,
    panels,
    percent,
    plain,
)

MOST_POINTS = 1500  # samples drawn; every so many-th of larger data
FADE = 0.5  # how far the plane's colours stay from those of the points


@dataclass(frozen=True)
class Plane:
    """Points (resolution**2, n_features) in which two inputs vary and the others are at their medians.

    extent : (left, right, bottom, top)
    """

    features: tuple[int, int]
    extent: tuple[float, float, float, float]
    resolution: int
    points: np.ndarray

    @classmethod
    def around(cls, X: np.ndarray, features: Sequence[int], resolution: int, margin: float = 0.12) -> Plane:
        """The plane around the samples, with a margin that is a share of their range."""
        n_features = X.shape[1]
        pair = tuple(int(feature) for feature in features)
        if n_features < 2:
            raise ValueError("A decision boundary needs two inputs, but the net has one. Plot net.predict(X) over X.")
        if len(pair) != 2 or pair[0] == pair[1] or min(pair) < 0 or max(pair) >= n_features:
            raise ValueError(f"features must be two different inputs from 0 to {n_features - 1}, but it is {features}.")
        checked_count("resolution", resolution, at_least=2)
        extent: list[float] = []
        for feature in pair:
            low, high = float(X[:, feature].min()), float(X[:, feature].max())
            room = margin * (high - low) or 1.0
            extent += [low - room, high + room]
        x = np.linspace(extent[0], extent[1], resolution)
        y = np.linspace(extent[2], extent[3], resolution)
        points = np.tile(np.median(X, axis=0), (resolution * resolution, 1)).astype(X.dtype)
        points[:, pair[0]], points[:, pair[1]] = np.tile(x, resolution), np.repeat(y, resolution)
        return cls((pair[0], pair[1]), (extent[0], extent[1], extent[2], extent[3]), resolution, points)

    def image(self, values: np.ndarray) -> np.ndarray:
        """(n_points, ...) as (resolution, resolution, ...), the first row at the bottom."""
        return values.reshape(self.resolution, self.resolution, *values.shape[1:])


def boundary(
    net: Any, X: Any, y: Any = None, *, features: Sequence[int] = (0, 1), output: int | None = None,
    feature_names: Any = None, labels: Any = None, resolution: int = 200, title: str | None = None, ax: Any = None,
) -> Any:  # fmt: skip
    """What a net says over the plane of two inputs, and the samples on it.

    net : an MLP, or a fitted MLPClassifier or MLPRegressor
    X : (n_samples, n_features)    samples; other inputs than the two in `features` are held at their medians
    y : targets as for fit, or None
    features : numbers of the inputs on the two axes
    output : show this output alone; None is the likeliest class, or for numbers and labels that may occur together the
        first output
    feature_names, labels : names of all inputs and of the classes
    resolution : points along each axis

    Classes have a colour and a marker each; the plane is paler where the net is less sure; lines are where it changes
    its mind. Samples it gets wrong have a black rim. Targets that are numbers are shown as colours instead.

    Raises
    ------
    ValueError
        For samples that do not fit the net, or features that are no two of its inputs.
    ImportError
        If matplotlib is not installed.
    """
    net, y, labels = opened(net, y, labels)
    samples = as_samples(net, X, y)
    plane = Plane.around(samples.X, features, resolution)
    names = feature_labels(net, feature_names)
    are_classes, n_outputs = has_classes(net.network, samples), net.network.n_outputs
    if output is None and n_outputs > 1 and samples.targets is not None and samples.classes is None:
        output = 0
    if output is not None:
        samples = one_output(net.network, samples, output)
    shown = slice(None) if output is None else slice(output, output + 1)
    outputs = net.predict(plane.points)[:, shown]
    ax = axes(ax, 5.4, 4.2)
    if are_classes:
        said = None
        if samples.classes is not None:
            said = probabilities(net.network, net.predict(samples.X)[:, shown]).argmax(axis=1)
        paint_classes(ax, plane, probabilities(net.network, outputs))
        draw_samples(ax, plane, samples, class_labels(net, labels, max(2, outputs.shape[1])), said)
        text = "Decision boundary"
        if said is not None:
            legend(ax, beside=True, title="class" if labels is None and net.preprocessing is None else None)
            text += f": {percent(np.mean(said == samples.classes))} of {counted(len(said), 'sample')} right"
    else:
        paint_numbers(ax, plane, outputs[:, 0], samples)
        text = "Output" if samples.targets is None else "Output, and targets as points"
    if output is not None and n_outputs > 1:
        text += f" (output {output})"
    others = samples.X.shape[1] - 2
    if others:
        text += (
            "\n(the other input at its median)" if others == 1 else f"\n(the other {others} inputs at their medians)"
        )
    return named(ax, text if title is None else plain(title), names[plane.features[0]], names[plane.features[1]])


def paint_classes(ax: Any, plane: Plane, shares: np.ndarray) -> tuple[Any, list[Any]]:
    """The plane in the colours of classes, from (n_points, n_classes); returns the image and the lines on it."""
    image = ax.imshow(
        colours(plane, shares), origin="lower", extent=plane.extent, aspect="auto", interpolation="bilinear", zorder=0
    )
    return image, draw_lines(ax, plane, shares)


def colours(plane: Plane, shares: np.ndarray) -> np.ndarray:
    """(resolution, resolution, 3): the likeliest class's colour, blended with white as the next one comes close."""
    ranked = np.sort(shares, axis=1)
    lead = (ranked[:, -1] - ranked[:, -2])[:, None]
    pure = palette(shares.shape[1])[shares.argmax(axis=1)]
    return plane.image(1.0 - FADE * lead * (1.0 - pure))


def palette(n: int) -> np.ndarray:
    """(n, 3) colours in [0, 1]; beyond the eight of the palette, colours evenly spaced on a map."""
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    if n <= len(PALETTE):
        return np.array([to_rgb(colour) for colour in PALETTE[:n]])
    return colormaps["turbo"](np.linspace(0.05, 0.95, n))[:, :3]


def draw_lines(ax: Any, plane: Plane, shares: np.ndarray) -> list[Any]:
    """The lines along which the likeliest class changes."""
    lines = []
    n_classes = shares.shape[1]
    for k in range(1 if n_classes == 2 else 0, n_classes):
        rest = np.delete(shares, k, axis=1).max(axis=1)
        lead = plane.image(shares[:, k] - rest)
        if lead.min() < 0.0 < lead.max():
            line = ax.contour(lead, levels=[0.0], colors=BLACK, linewidths=1.3, extent=plane.extent, origin="lower")
            lines.append(line)
    return lines


def draw_samples(
    ax: Any, plane: Plane, samples: PlotSamples, labels: list[str], said: np.ndarray | None = None
) -> None:
    """The samples in their classes' colours and markers, with black rims where `said` (n_samples,) is another class."""
    X, (first, second) = samples.X, plane.features
    step = -(-len(X) // MOST_POINTS)
    size = float(np.clip(5000.0 / len(X), 10.0, 70.0))
    if samples.classes is None:
        ax.scatter(X[::step, first], X[::step, second], s=size, c=INK, edgecolors="white", linewidths=0.6, zorder=3)
        return
    wrong = np.zeros(len(X), bool) if said is None else said != samples.classes
    kinds = palette(len(labels))
    for k, label in enumerate(labels):
        of_class = samples.classes == k
        for mask, rim, width, grown in ((of_class & ~wrong, "white", 0.6, 1.0), (of_class & wrong, BLACK, 1.2, 1.3)):
            rows = np.flatnonzero(mask)[::step]
            ax.scatter(
                X[rows, first], X[rows, second], s=size * grown, color=kinds[k], marker=MARKERS[k % len(MARKERS)],
                edgecolors=rim, linewidths=width, zorder=4 if rim == BLACK else 3,
                label=label if rim == "white" else None,
            )  # fmt: skip
    if wrong.any():
        ax.scatter([], [], s=40, facecolors="none", edgecolors=BLACK, linewidths=1.2, label="wrong")


def paint_numbers(ax: Any, plane: Plane, values: np.ndarray, samples: PlotSamples) -> None:
    """The plane and the targets on one scale of colours."""
    from matplotlib.colors import Normalize

    targets = np.empty(0) if samples.targets is None else samples.targets[:, 0]
    low, high = (float(pick(np.concatenate([values, targets]))) for pick in (np.min, np.max))
    scale = Normalize(low, high)
    image = ax.imshow(
        plane.image(values), origin="lower", extent=plane.extent, aspect="auto", cmap="cividis", norm=scale,
        interpolation="bilinear", zorder=0,
    )  # fmt: skip
    if values.min() < values.max():
        ax.contour(
            plane.image(values), 8, colors="white", linewidths=0.6, linestyles="solid", alpha=0.7, extent=plane.extent,
            origin="lower",
        )  # fmt: skip
    X, step = samples.X, -(-len(samples.X) // MOST_POINTS)
    c = targets[::step] if targets.size else INK
    ax.scatter(
        X[::step, plane.features[0]], X[::step, plane.features[1]], c=c, cmap="cividis" if targets.size else None,
        norm=scale if targets.size else None, s=float(np.clip(5000.0 / len(X), 10.0, 70.0)), edgecolors="white",
        linewidths=0.7, zorder=3,
    )  # fmt: skip
    bar = ax.figure.colorbar(image, ax=ax, pad=0.02)
    bar.ax.tick_params(labelsize=SMALL)
    bar.set_label("output", fontsize=LABEL, color=INK)
    bar.outline.set_visible(False)


def boundaries(
    nets: Any, X: Any, y: Any = None, *, titles: Any = None, n_columns: int = 4, ax: Any = None, **options: Any
) -> np.ndarray:
    """Decision boundaries of several nets side by side, with one plane and one key to the classes.

    nets : MLPs, or {title: MLP}
    titles : one for each net; their accuracy on (X, y), or their loss, stands below
    n_columns : the most panels in a row
    options : as for boundary

    Returns
    -------
    (n_nets,) Axes

    Raises
    ------
    ValueError
        As boundary does, and if there are no nets or not as many titles.
    """
    if isinstance(nets, dict):
        titles, nets = list(nets), list(nets.values())
    nets = list(nets)
    opens = [opened(net, y, options.get("labels")) for net in nets]
    titles = [f"net {k}" for k in range(len(nets))] if titles is None else [plain(title) for title in titles]
    if not nets or len(titles) != len(nets):
        raise ValueError(
            f"There must be at least one net and a title for each, but {len(nets)} and {len(titles)} came."
        )
    n_columns = min(checked_count("n_columns", n_columns), len(nets))
    n_rows = -(-len(nets) // n_columns)
    room = axes(ax, 2.7 * n_columns + 0.6, 2.75 * n_rows + 0.35)
    grid = panels(room, n_rows, n_columns, 0.12, 0.42)
    drawn = grid.reshape(-1)[: len(nets)]
    for spare in grid.reshape(-1)[len(nets) :]:
        spare.set_axis_off()
    for k, ((net, targets, labels), title) in enumerate(zip(opens, titles, strict=True)):
        boundary(net, X, targets, title="", ax=drawn[k], **{**options, "labels": labels})
        if y is not None:
            figures = net.evaluate(X, targets)
            last = figures.get("accuracy")
            title += f"\nloss {figures['loss']:.3g}" if last is None else f"\n{percent(last)} right"
        drawn[k].set_title(title, loc="left", fontsize=PANEL_TITLE, color=INK)
        if drawn[k].get_legend() is not None and k != min(n_columns, len(nets)) - 1:
            drawn[k].get_legend().remove()
        if k % n_columns:
            drawn[k].set_ylabel("")
            drawn[k].set_yticklabels([])
        if k + n_columns < len(nets):
            drawn[k].set_xlabel("")
            drawn[k].set_xticklabels([])
    heading(room, ax, f"Decision boundaries of {counted(len(nets), 'net')}")
    return drawn
