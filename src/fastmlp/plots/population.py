"""Histograms of a population: epochs to convergence, and final losses."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import checked_count, counted
from .sample_checks import require_attributes
from .style import BLUE, FAINT, GRID, INK, SMALL, axes, label_axes, number, percent

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
    ax.axvline(median, color=INK, linewidth=1.0, linestyle="--")
    place = ax.get_xaxis_transform()  # x in units of the data, y in those of the axes
    ax.text(median, 0.9, f" median {number(median)}", transform=place, fontsize=SMALL, color=INK)
    ax.set_ylim(0, 1.35 * counts.max())
    return ax
