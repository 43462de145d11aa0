"""Learning curves: plots of the loss, the accuracy or a metric over the epochs of a fit."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..callbacks import SIGNS
from ..errors import unknown_name
from .style import BLUE, FAINT, GRID, INK, VERMILLION, axes, epoch_axis, label_axes, legend


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
    if not hasattr(history, "records"):
        raise ValueError(
            "This plot needs the History that fit returned, such as net.history, but it was given "
            f"{type(history).__name__}."
        )
    if not history.epochs:
        raise ValueError("There is nothing to plot: the history has no finished epoch.")
    quantities = {"loss", "accuracy", *history.metrics}
    if quantity not in quantities:
        raise unknown_name("quantity", quantity, sorted(quantities))
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
