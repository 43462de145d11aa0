"""Plots of records: loss, accuracy or a metric over the epochs of a fit, and histograms of a population."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..callbacks import SIGNS
from ..errors import checked_count, counted, unknown_name
from .style import BLUE, FAINT, GRID, INK, SMALL, VERMILLION, axes, epoch_axis, label_axes, legend, number, percent

LOGARITHMIC_RATIO = 30.0  # the axis of a histogram is logarithmic above this ratio of the largest to the smallest value


def history(history: Any, quantity: str = "loss", *, log: bool | None = None, ax: Any = None) -> Any:
    """Plot training and validation curves, with the best epoch marked.

    The best epoch is that of early stopping, if the fit had one. Otherwise it is the epoch with the best value of the
    quantity, in validation if recorded.

    Parameters
    ----------
    history : History
        What fit returned.
    quantity : str, default "loss"
        "loss", "accuracy" or the name of a metric.
    log : bool, optional
        Whether the axis of the quantity is logarithmic. By default it is if the quantity is a positive loss.
    ax : matplotlib.axes.Axes, optional
        Axes to draw in; a new figure by default.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If the history is empty or has no such record.
    ImportError
        If matplotlib is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> records = fastmlp.MLP((2, 4, 1), random_state=0).fit(X, y, epochs=50)
    >>> history(records).get_title(loc="left")
    'Loss over 50 epochs'
    """
    _check(history, ("record", "epochs"), "the History that fit returned, such as net.history")
    if not history.epochs:
        raise ValueError("There is nothing to plot: the history has no finished epoch.")
    known = {"loss", "accuracy", *history.metrics}
    if quantity not in known:
        raise unknown_name("quantity", quantity, sorted(known))
    history.record(quantity)  # raises the error that tells why there is no such record
    ax = axes(ax)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    records, drawn = history.records(), []
    marker = {"marker": "o", "markersize": 4} if history.epochs == 1 else {}
    for name, record, colour in (("training", quantity, BLUE), ("validation", f"validation_{quantity}", VERMILLION)):
        if len(values := records.get(record, ())):
            drawn.append(values)
            ax.plot(np.arange(len(values)) + 1, values, color=colour, linewidth=1.6, label=name, **marker)
    if log is None:
        finite = np.concatenate([values[np.isfinite(values)] for values in drawn])
        log = quantity == "loss" and finite.size > 0 and 0 < finite.min() < finite.max()
    ax.set_xlim(1, max(history.epochs, 2))
    epoch_axis(ax)
    if log:
        ax.set_yscale("log")
    if quantity in SIGNS:
        _mark_best(ax, *best_point(history, quantity))
    legend(ax)
    name = quantity.replace("_", " ")
    over = f"over {history.epochs:,} epochs" if history.epochs > 1 else "after one epoch"
    return label_axes(ax, f"{name[0].upper()}{name[1:]} {over}", "epoch", name)


def best_point(history: Any, quantity: str) -> tuple[int, float]:
    """Return (epoch counted from 0, value) of the best epoch, whose parameters the net has after early stopping."""
    records = history.records()
    values = records.get(f"validation_{quantity}", records.get(quantity, np.full(1, np.nan)))
    if history.best_epoch is not None and history.best_epoch < len(values):
        return history.best_epoch, float(values[history.best_epoch])
    best = int(np.where(np.isfinite(values), SIGNS[quantity] * values, np.inf).argmin())
    return best, float(values[best])


def _mark_best(ax: Any, epoch: int, value: float) -> None:
    ax.axvline(epoch + 1, color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
    look = {"markersize": 6, "markerfacecolor": "white", "markeredgecolor": INK, "linestyle": "none"}
    label = f"best: {value:.4g}, epoch {epoch + 1:,}"
    ax.plot([epoch + 1], [value], "o", zorder=5, clip_on=False, label=label, **look)


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
    _check(result, ("epoch_statistics", "success_interval"), "the result of Population.fit (pop.result)")
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
    _check(result, ("loss", "n_nets"), "the result of Population.fit (pop.result)")
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


def _check(value: Any, names: tuple[str, ...], expected: str) -> None:
    """Raise ValueError, which describes the expected object, if a value lacks one of the attributes `names`."""
    if not all(hasattr(value, name) for name in names):
        raise ValueError(f"This plot needs {expected}, but it was given {type(value).__name__}.")
