"""Plots of loss, accuracy and metrics over the epochs of one or several fits."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from ..callbacks import SIGNS
from ..errors import unknown_name
from .style import (
    BLUE,
    FAINT,
    GREEN,
    GRID,
    INK,
    LABEL,
    PURPLE,
    SMALL,
    VERMILLION,
    axes,
    epoch_axis,
    label_axes,
    legend,
    log_axis,
    make_room,
)

QUANTITIES = ("loss", "accuracy")
MAX_POINTS = 2000  # longer curves are drawn as the minimum and maximum of groups of epochs
SECOND_COLOURS = (GREEN, PURPLE)  # colours of the second quantity, for training and validation


def history(history: Any, quantity: str | Sequence[str] = "loss", *, log: bool | None = None, ax: Any = None) -> Any:
    """Plot training and validation curves, with the best epoch marked.

    The best epoch is that of early stopping, if the fit had one. Otherwise it is the epoch with the best value of the
    first quantity, in validation if recorded.

    Parameters
    ----------
    history : History or sequence of History
        What fit returned; or histories of consecutive fits, which are drawn end to end with a line at the start of each
        fit.
    quantity : str or sequence of str, default "loss"
        "loss", "accuracy" or the name of a metric; or a list of two of them, of which the second has its own axis on
        the right.
    log : bool, optional
        Whether the axis of the (first) quantity is logarithmic. By default it is if the quantity is a positive loss.
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
    fits = Fits(history)
    first, *other_quantities = [quantity] if isinstance(quantity, str) else list(quantity)
    if len(other_quantities) > 1:
        raise ValueError(
            f"A plot shows at most two quantities, but {1 + len(other_quantities)} were given: draw several plots."
        )
    for name in (first, *other_quantities):
        fits.check(name)
    ax = axes(ax)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    prefix = f"{first}, " if other_quantities else ""
    finite_values = _draw(ax, fits.curves(first), (BLUE, VERMILLION), "-", prefix)
    if log is None:
        log = first == "loss" and finite_values.size > 0 and 0 < finite_values.min() < finite_values.max()
    if log:
        ax.set_yscale("log")
    ax.set_xlim(1, max(fits.epochs, 2))
    epoch_axis(ax)
    for start in fits.starts[1:]:
        ax.axvline(start + 0.5, color=FAINT, linewidth=0.8, zorder=1)
    right_axes = [ax.twinx() for _ in other_quantities]
    for name, right_axis in zip(other_quantities, right_axes, strict=True):
        ax.set_zorder(right_axis.get_zorder() + 1)  # so that the legend lies above both curves
        ax.patch.set_visible(False)
        _draw(right_axis, fits.curves(name), SECOND_COLOURS, "--", f"{name}, ")
        _style_right_axis(right_axis, name)
        for line in right_axis.get_lines():
            ax.plot([], [], line.get_linestyle(), color=line.get_color(), linewidth=1.6, label=line.get_label())
    if first in SIGNS:
        _mark_best(ax, *fits.best_point(first))
    # The frame hides the dotted line of the best epoch.
    shown = legend(ax, loc="upper right", frameon=True, framealpha=0.85, edgecolor="none")
    n_entries = len(shown.get_texts())
    for other in (ax, *right_axes):
        make_room(other, n_entries)
    if log:
        log_axis(ax.yaxis)  # ticks for the new limits
    names = " and ".join((first, *other_quantities)).replace("_", " ")
    names = f"{names[0].upper()}{names[1:]}"
    several = f", {len(fits.starts)} fits" if len(fits.starts) > 1 else ""
    title = f"{names} over {fits.epochs:,} epochs{several}" if fits.epochs > 1 else f"{names} after one epoch"
    return label_axes(ax, title, "epoch", first.replace("_", " "))


def _draw(ax: Any, curves: list[tuple[str, np.ndarray]], colours: Sequence[str], line: str, prefix: str) -> np.ndarray:
    """Draw the curves of one quantity, and return all of their finite values."""
    for (name, values), colour in zip(curves, colours, strict=False):
        x, drawn = thinned(values)
        marker = {"marker": "o", "markersize": 4} if len(values) == 1 else {}
        ax.plot(x, drawn, line, color=colour, linewidth=1.6, label=f"{prefix}{name}", **marker)
    return np.concatenate([values[np.isfinite(values)] for _, values in curves])


def _style_right_axis(ax: Any, name: str) -> None:
    ax.set_ylabel(name.replace("_", " "), fontsize=LABEL, color=INK)
    ax.tick_params(labelsize=SMALL, color=FAINT, labelcolor=INK)
    for side in ("top", "bottom", "left"):
        ax.spines[side].set_visible(False)
    ax.spines["right"].set_color(FAINT)


class Fits:
    """Records of one fit, or of several consecutive fits."""

    def __init__(self, histories: Any):
        fits = list(histories) if isinstance(histories, Sequence) else [histories]
        for fit in fits:
            if not hasattr(fit, "record"):
                raise ValueError(
                    f"This plot needs the History that fit returned, but it was given {type(fit).__name__}; "
                    "a net's last one is net.history."
                )
        self._fits = [fit for fit in fits if fit.epochs]
        if not self._fits:
            raise ValueError("There is nothing to plot: the history has no finished epoch.")
        ends = np.cumsum([fit.epochs for fit in self._fits]).tolist()
        self.epochs, self.starts = ends[-1], [0, *ends[:-1]]

    def check(self, quantity: str) -> None:
        """Raise a ValueError that lists the known quantities if no fit has recorded this one."""
        known = {name for fit in self._fits for name in (*QUANTITIES, *fit.metrics)}
        if quantity not in known:
            raise unknown_name("quantity", quantity, sorted(known))
        if not any(quantity in fit.records() for fit in self._fits):
            self._fits[-1].record(quantity)  # raises the error that tells why there is no such record

    def curves(self, quantity: str) -> list[tuple[str, np.ndarray]]:
        """Return [("training", values), ("validation", values)], without an entry that no fit has recorded.

        Values are (epochs,), and NaN for fits without the record.
        """
        curves = []
        for name, record in (("training", quantity), ("validation", f"validation_{quantity}")):
            records = [fit.records().get(record, np.empty(0)) for fit in self._fits]
            if any(map(len, records)):
                last = len(records) - 1  # the last fit's record may end early; those of earlier fits are padded
                padded = [
                    values
                    if k == last and len(values)
                    else np.append(values, np.full(fit.epochs - len(values), np.nan))
                    for k, (fit, values) in enumerate(zip(self._fits, records, strict=True))
                ]
                curves.append((name, np.concatenate(padded)))
        return curves

    def best_point(self, quantity: str) -> tuple[int, float]:
        """Return (epoch counted from 0, value) of the best epoch of the last fit, whose parameters the net has."""
        epoch, value = best_point(self._fits[-1], quantity)
        return self.starts[-1] + epoch, value


def best_point(history: Any, quantity: str) -> tuple[int, float]:
    """Return (epoch counted from 0, value) of the best epoch of one fit."""
    records = history.records()
    values = records.get(f"validation_{quantity}", records.get(quantity, np.full(1, np.nan)))
    if history.best_epoch is not None and history.best_epoch < len(values):
        return history.best_epoch, float(values[history.best_epoch])
    sign = SIGNS[quantity]
    filled = np.where(np.isfinite(values), sign * values, np.inf)
    best = int(filled.argmin())
    return best, float(values[best])


def _mark_best(ax: Any, epoch: int, value: float) -> None:
    ax.axvline(epoch + 1, color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
    ax.plot(
        [epoch + 1],
        [value],
        "o",
        markersize=6,
        markerfacecolor="white",
        markeredgecolor=INK,
        zorder=5,
        clip_on=False,
        linestyle="none",
        label=f"best: {value:.4g}, epoch {epoch + 1:,}",
    )


def thinned(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (epochs counted from 1, values), thinned if there are more than POINTS values.

    Of each group of epochs only the lowest and the highest value are kept.

    >>> epochs, values = thinned(np.arange(100_000.0))
    >>> len(epochs), int(epochs[0]), int(epochs[-1])
    (2000, 1, 100000)
    """
    n = len(values)
    if n <= MAX_POINTS:
        return np.arange(1, n + 1), values
    edges = np.linspace(0, n, MAX_POINTS // 2 + 1).astype(int)
    rows_ = []
    for start, end in pairwise(edges):
        group = values[start:end]
        low, high = (int(np.where(np.isfinite(group), sign * group, np.inf).argmin()) for sign in (1.0, -1.0))
        rows_ += sorted((start + low, start + high))
    rows = np.array(rows_)
    return rows + 1, values[rows]
