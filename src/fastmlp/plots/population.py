"""Plots of populations: epochs to convergence, final losses, and examples of nets for each verdict."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import checked_count, counted
from .plane import Plane, colours, draw_lines
from .sample_checks import as_samples, probabilities, require_attributes
from .style import (
    BLUE,
    FAINT,
    GRID,
    INK,
    MARKERS,
    PALETTE,
    PANEL_TITLE,
    SMALL,
    VERMILLION,
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

LOGARITHMIC_RATIO = 30.0  # the axis of epochs is logarithmic above this ratio of the slowest to the fastest net


def epochs_to_converge(result: Any, *, bins: int = 40, ax: Any = None) -> Any:
    """Plot a histogram of the epochs that nets took to converge, with a separate bar for nets that did not converge.

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
    checked_count("bins", bins)
    require_attributes(result, ("epoch_statistics", "success_interval"), "the result of Population.fit (pop.result)")
    times = result.epoch_statistics.times
    n_failed = result.n_nets - len(times)
    ax = axes(ax, 6.4, 3.6)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    low, high = (float(times.min()), float(times.max())) if times.size else (1.0, float(result.epochs.max()))
    logarithmic = high > LOGARITHMIC_RATIO * max(low, 1.0)
    edges = _whole_edges(low, high, bins, logarithmic)
    counts, _ = np.histogram(times, edges)
    ax.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE, edgecolor="white", linewidth=0.4)
    if logarithmic:
        ax.set_xscale("log")
    bar_position, width = _failure_bar(edges[0], edges[-1], logarithmic)
    tallest = max(int(counts.max(initial=0)), 1)
    shown = min(n_failed, 1.15 * tallest) if times.size else n_failed  # a taller bar is cut and labelled as cut
    ax.bar([bar_position], [shown], [width], color=VERMILLION, hatch="///", edgecolor="white", linewidth=0.4)
    ax.annotate(
        f"{n_failed:,}" + ("\n(cut)" if shown < n_failed else ""),
        (bar_position, shown),
        xytext=(0, 2),
        textcoords="offset points",
        ha="center",
        fontsize=SMALL,
        color=VERMILLION,
        linespacing=0.9,
    )
    left, right = edges[0], edges[-1]
    ticks = [tick for tick in _ticks(left, right, logarithmic) if left <= tick <= right and tick == round(tick)]
    ax.set_xticks([*ticks, bar_position], [*map(number, ticks), "not\nconverged"])
    ax.minorticks_off()
    ax.get_xticklabels()[-1].set_color(VERMILLION)
    if times.size:
        median = float(np.median(times))
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
    interval_note, title = (
        "no rule of convergence",
        f"{result.n_converged:,} of {counted(result.n_nets, 'net')} {result.claim}",
    )
    if result.success_interval is not None:
        low_rate, high_rate = (f"{100 * rate:.1f}" for rate in result.success_interval)
        interval_note, title = f"95 % interval {low_rate} to {high_rate} %", f"{title}: {percent(result.success_rate)}"
    ax.text(1.0, 1.0, interval_note, transform=ax.transAxes, ha="right", va="top", fontsize=SMALL, color=FAINT)
    ax.set_ylim(0, 1.35 * max(tallest, shown))
    return label_axes(ax, title, "epochs to converge", "nets")


def final_losses(result: Any, *, bins: int = 40, ax: Any = None) -> Any:
    """Plot a histogram of the losses of a population's nets at the end of their training.

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
    bins = checked_count("bins", bins)
    require_attributes(result, ("loss", "n_nets"), "the result of Population.fit (pop.result)")
    losses = result.loss[np.isfinite(result.loss)].astype(np.float64)
    if not losses.size:
        raise ValueError("There is nothing to plot: no net has a finite loss.")
    ax = axes(ax, 6.4, 3.6)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    low, high, median = float(losses.min()), float(losses.max()), float(np.median(losses))
    logarithmic = low > 0 and high > LOGARITHMIC_RATIO * low
    edges = np.geomspace(low, high, bins + 1) if logarithmic else np.histogram_bin_edges(losses, bins)
    counts, _ = np.histogram(losses, np.append(edges[:-1], max(edges[-1], high)))
    ax.bar(edges[:-1], counts, np.diff(edges), align="edge", color=BLUE, edgecolor="white", linewidth=0.4)
    if logarithmic:
        ax.set_xscale("log")
        log_axis(ax.xaxis)
    ax.axvline(median, color=INK, linewidth=1.0, linestyle="--")
    ax.set_ylim(0, 1.2 * counts.max())
    n_lost = result.n_nets - len(losses)
    title = f"Final losses of {counted(result.n_nets, 'net')}: best {number(low)}, median {number(median)}"
    note = f"{n_lost:,} without a finite loss" if n_lost else ""
    ax.text(1.0, 1.0, note, transform=ax.transAxes, ha="right", va="top", fontsize=SMALL, color=VERMILLION)
    return label_axes(ax, title, "final loss", "nets")


def _failure_bar(left: float, right: float, logarithmic: bool) -> tuple[float, float]:
    """Return (position, width) of the bar of nets that did not converge, beside the bins from left to right."""
    if logarithmic:
        position = right * (right / left) ** 0.09
        return position, position - position / (right / left) ** 0.05
    position = right + 0.09 * (right - left)
    return position, position - (position - 0.05 * (right - left))


def _whole_edges(low: float, high: float, bins: int, logarithmic: bool) -> np.ndarray:
    """Return bin edges between whole epochs, so that the number of epochs in a bin agrees with its width."""
    if logarithmic:
        inner = np.geomspace(max(low, 1.0), high + 1.0, bins + 1)
        return np.unique(np.floor(inner)) - 0.5
    step = max(1.0, np.ceil((high - low + 1.0) / bins))
    return np.arange(low - 0.5, high + step, step)


def _ticks(left: float, right: float, logarithmic: bool) -> Any:
    from matplotlib.ticker import LogLocator, MaxNLocator

    if logarithmic:
        subs = (1.0, 2.0, 5.0) if right / left < 300 else (1.0,)
        return LogLocator(subs=subs).tick_values(max(left, 1.0), right)
    return MaxNLocator(6, steps=[1, 2, 5, 10], integer=True).tick_values(left, right)


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

    For nets with one input and for regression, panels show predictions over targets instead.

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
        If verdicts do not have shape (n_nets,), or for bad samples.
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
    samples = as_samples(pop, X, y)
    max_nets = checked_count("max_nets", max_nets)
    names = _verdicts(pop, X, y) if verdicts is None else np.asarray(verdicts, dtype=str)
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
    in_plane = samples.classes is not None and pop.network.n_features > 1
    plane = Plane.around(samples.X, features, resolution) if in_plane else None
    for i, members in enumerate(rows):
        outputs = pop.predict(samples.X if plane is None else plane.points, nets=members)
        for j, panel in enumerate(grid[i]):
            if j >= len(members):
                panel.set_axis_off()
                continue
            remove_ticks(panel)
            if plane is None:
                _draw_fit(panel, samples, outputs[j])
            else:
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


def _verdicts(pop: Any, X: Any, y: Any) -> np.ndarray:
    import fastmlp

    return np.asarray(fastmlp.diagnose(pop, X, y).verdicts, dtype=str)


def _select_nets(members: np.ndarray, losses: np.ndarray, max_nets: int) -> np.ndarray:
    sorted_members = members[np.argsort(losses[members], kind="stable")]
    return sorted_members[
        np.unique(np.linspace(0, len(sorted_members) - 1, min(max_nets, len(sorted_members))).round().astype(int))
    ]


def _draw_plane(ax: Any, plane: Plane, samples: Any, class_probabilities: np.ndarray) -> None:
    ax.imshow(
        colours(plane, class_probabilities),
        origin="lower",
        extent=plane.extent,
        aspect="auto",
        interpolation="bilinear",
    )
    draw_lines(ax, plane, class_probabilities)
    if samples.classes is None:
        return
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


def _draw_fit(ax: Any, samples: Any, outputs: np.ndarray) -> None:
    """Draw predictions over targets with equal scales, and the line on which they are equal."""
    step = -(-len(samples.X) // 200)
    targets, predicted = samples.targets[::step, 0], outputs[::step, 0]
    low, high = float(samples.targets.min()), float(samples.targets.max())
    margin = 0.15 * (high - low) or 1.0
    ax.plot([low, high], [low, high], color=FAINT, linewidth=0.7)
    ax.scatter(targets, np.clip(predicted, low - margin, high + margin), s=5, color=BLUE, linewidths=0)
    ax.set_xlim(low - margin, high + margin)
    ax.set_ylim(low - 1.2 * margin, high + 1.2 * margin)
