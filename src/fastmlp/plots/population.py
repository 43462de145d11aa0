"""Plots of populations: epochs to convergence, final losses, and examples of nets for each verdict."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import checked_count, counted
from .plane import Plane, paint_classes
from .sample_checks import PlotSamples, probabilities, require_attributes, require_classes
from .style import (
    BLUE,
    FAINT,
    GRID,
    INK,
    MARKERS,
    PALETTE,
    PANEL_TITLE,
    SMALL,
    axes,
    heading,
    label_axes,
    literal_text,
    log_axis,
    number,
    panels,
    percent,
    remove_ticks,
)

LOGARITHMIC_RATIO = 30.0  # the axis of a histogram is logarithmic above this ratio of the largest to the smallest value


def epochs_to_converge(result: Any, *, bins: int = 40, ax: Any = None) -> Any:
    """Plot a histogram of the epochs that nets took to converge; the title says how many did.

    Parameters
    ----------
    result : PopulationResult
        What Population.fit returned.
    bins : int, default 40
        Largest number of bins.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If result is not a PopulationResult.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> pop = fastmlp.Population((2, 2, 1), 100, hidden_activation="tanh", loss="binary_cross_entropy", random_state=0)
    >>> result = pop.fit(X, y, epochs=300, optimizer="rprop", converged="40-20-40")
    >>> epochs_to_converge(result).get_xlabel()
    'epochs to converge'
    """
    require_attributes(result, ("epoch_statistics", "success_interval"), "the result of Population.fit (pop.result)")
    times = result.epoch_statistics.times.astype(np.float64)
    title = f"{result.n_converged:,} of {counted(result.n_nets, 'net')} {result.claim}"
    note = "no rule of convergence"
    if result.success_interval is not None:
        low, high = (f"{100 * rate:.1f}" for rate in result.success_interval)
        title, note = f"{title}: {percent(result.success_rate)}", f"95 % interval {low} to {high} %"
    return label_axes(_histogram(times, bins, note, ax, are_whole=True), title, "epochs to converge", "nets")


def final_losses(result: Any, *, bins: int = 40, ax: Any = None) -> Any:
    """Plot a histogram of the losses of a population's nets at the end of their training.

    Parameters
    ----------
    result : PopulationResult
        What Population.fit returned.
    bins : int, default 40
        Number of bins.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If result is not a PopulationResult, or no net has a finite loss.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> pop = fastmlp.Population((2, 2, 1), 100, loss="binary_cross_entropy", random_state=0)
    >>> final_losses(pop.fit(X, y, epochs=50)).get_xlabel()
    'final loss'
    """
    require_attributes(result, ("loss", "n_nets"), "the result of Population.fit (pop.result)")
    losses = result.loss[np.isfinite(result.loss)].astype(np.float64)
    if not losses.size:
        raise ValueError("There is nothing to plot: no net has a finite loss.")
    n_lost = result.n_nets - len(losses)
    ax = _histogram(losses, bins, f"{n_lost:,} without a finite loss" if n_lost else "", ax)
    best, median = number(float(losses.min())), number(float(np.median(losses)))
    return label_axes(
        ax, f"Final losses of {counted(result.n_nets, 'net')}: best {best}, median {median}", "final loss", "nets"
    )


def _histogram(values: np.ndarray, bins: int, note: str, ax: Any, are_whole: bool = False) -> Any:
    """Draw a histogram of positive numbers, maybe none, with their median, on a logarithmic axis if they differ much.

    note : text in the upper right corner
    are_whole : whether the values are whole numbers, so that edges lie between them, and bars agree with their widths
    """
    checked_count("bins", bins)
    ax = axes(ax, 6.4, 3.6)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    ax.text(1.0, 1.0, note, transform=ax.transAxes, ha="right", va="top", fontsize=SMALL, color=FAINT)
    if not values.size:
        return ax
    low, high, median = float(values.min()), float(values.max()), float(np.median(values))
    logarithmic = low > 0 and high > LOGARITHMIC_RATIO * low
    edges = np.geomspace(low, high, bins + 1) if logarithmic else np.histogram_bin_edges(values, bins)
    if are_whole:
        step = np.ceil((high - low + 1.0) / bins)
        wide = np.unique(np.floor(np.geomspace(low, high + 1.0, bins + 1))) if logarithmic else None
        edges = (np.arange(low, high + step + 1.0, step) if wide is None else wide) - 0.5
    edges[-1] = max(edges[-1], high)
    counts, _, _ = ax.hist(values, edges, color=BLUE, edgecolor="white", linewidth=0.4)
    if logarithmic:
        ax.set_xscale("log")
        log_axis(ax.xaxis)
    ax.axvline(median, color=INK, linewidth=1.0, linestyle="--")
    ax.annotate(
        f"median {number(median)}",
        (median, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(4, -26),
        textcoords="offset points",
        fontsize=SMALL,
        color=INK,
    )
    ax.set_ylim(0, 1.35 * counts.max())
    return ax


def population(
    pop: Any,
    X: Any,
    y: Any,
    *,
    verdicts: Any = None,
    max_nets: int = 8,
    features: Any = (0, 1),
    resolution: int = 60,
    ax: Any = None,
) -> np.ndarray:
    """Plot small decision boundaries of nets of a population, one row per verdict, the most frequent verdict first.

    Parameters
    ----------
    pop : Population
        The nets.
    X : array_like of shape (n_samples, n_features)
        Samples as for fit, common to all nets.
    y : array_like
        Targets as for fit, common to all nets.
    verdicts : array_like of str, shape (n_nets,), optional
        Names of the verdicts. By default fastmlp.diagnose is called.
    max_nets : int, default 8
        Largest number of nets in a row; they are chosen evenly from the lowest to the highest loss.
    features : sequence of two ints, default (0, 1)
        Numbers of the two inputs on the axes; other inputs are at their medians.
    resolution : int, default 60
        Number of grid points along each axis.
    ax : matplotlib.axes.Axes, optional
        Axes to divide into panels; a new figure by default.

    Returns
    -------
    ndarray of Axes, shape (n_verdicts, n_columns)

    Raises
    ------
    ValueError
        If verdicts do not have shape (n_nets,), if the targets are not exclusive classes, or for bad samples.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> pop = fastmlp.Population((2, 2, 1), 4, loss="binary_cross_entropy", init="zeros", random_state=0)
    >>> result = pop.fit(X, y, epochs=100)
    >>> population(pop, X, y, max_nets=2, resolution=10).shape
    (1, 2)
    """
    require_attributes(pop, ("n_nets", "evaluate"), "a Population")
    samples = require_classes(pop, X, y, "plot of a population")
    max_nets = checked_count("max_nets", max_nets)
    if verdicts is None:
        import fastmlp

        verdicts = fastmlp.diagnose(pop, X, y).verdicts
    names = np.asarray(verdicts, dtype=str)
    if names.shape != (pop.n_nets,):
        raise ValueError(
            f"verdicts must name one for each of {counted(pop.n_nets, 'net')}, but it has shape {names.shape}."
        )
    verdict_names, counts = np.unique(names, return_counts=True)
    order = np.argsort(-counts, kind="stable")
    losses = np.nan_to_num(pop.evaluate(X, y)["loss"], nan=np.inf)
    rows = [_select_nets(np.flatnonzero(names == verdict_names[k]), losses, max_nets) for k in order]
    columns = max(map(len, rows))
    canvas = axes(ax, 2.0 + 1.05 * columns, 0.5 + 1.25 * len(rows))
    grid = panels(canvas, len(rows), columns, 0.08, 0.28)
    plane = Plane.around(samples.X, features, resolution)
    for i, members in enumerate(rows):
        outputs = pop.predict(plane.points, nets=members)
        for j, panel in enumerate(grid[i]):
            if j >= len(members):
                panel.set_axis_off()
                continue
            remove_ticks(panel)
            _draw_plane(panel, plane, samples, probabilities(pop.network, outputs[j]))
            panel.set_title(f"{losses[members[j]]:.2g}", fontsize=SMALL - 1, color=FAINT, pad=2)
        count = counts[order[i]]
        grid[i, 0].text(
            -0.12,
            0.5,
            f"{literal_text(verdict_names[order[i]])}\n{count:,} ({percent(count / pop.n_nets)})".replace("_", " "),
            transform=grid[i, 0].transAxes,
            ha="right",
            va="center",
            fontsize=PANEL_TITLE,
            color=INK,
        )
    heading(canvas, ax, f"What became of {counted(pop.n_nets, 'net')}, by verdict; above each net its loss")
    return grid


def _select_nets(members: np.ndarray, losses: np.ndarray, max_nets: int) -> np.ndarray:
    sorted_members = members[np.argsort(losses[members], kind="stable")]
    return sorted_members[
        np.unique(np.linspace(0, len(sorted_members) - 1, min(max_nets, len(sorted_members))).round().astype(int))
    ]


def _draw_plane(ax: Any, plane: Plane, samples: PlotSamples, class_probabilities: np.ndarray) -> None:
    paint_classes(ax, plane, class_probabilities)
    step = -(-len(samples.X) // 60)
    for k in np.unique(samples.classes):
        rows = np.flatnonzero(samples.classes == k)[::step]
        ax.scatter(
            samples.X[rows, plane.features[0]],
            samples.X[rows, plane.features[1]],
            s=14,
            marker=MARKERS[k % len(MARKERS)],
            color=PALETTE[k % len(PALETTE)],
            edgecolors="white",
            linewidths=0.5,
            zorder=3,
        )
