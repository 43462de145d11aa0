"""Loss and accuracy over the epochs of a fit."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import unknown_name
from .style import BLUE, FAINT, GRID, INK, VERMILLION, axes, epoch_axis, legend, log_axis, named

QUANTITIES = ("loss", "accuracy")
POINTS = 2000  # a curve of more epochs is drawn as the range of each group of them


def history(history: Any, quantity: str = "loss", *, log: bool | None = None, ax: Any = None) -> Any:
    """Training and validation curves, with the best epoch marked.

    history : what fit returned
    quantity : "loss" or "accuracy"
    log : whether its axis is logarithmic; None is yes for a loss above zero
    ax : Axes to draw in

    The best epoch is the one whose parameters early stopping kept, else the one with the lowest validation loss, else
    with the lowest loss; for accuracy the highest.

    Raises
    ------
    ValueError
        If the history is empty or has no such record.
    ImportError
        If matplotlib is not installed.
    """
    if quantity not in QUANTITIES:
        raise unknown_name("quantity", quantity, QUANTITIES)
    if not hasattr(history, "record"):
        raise ValueError(
            f"This picture needs the History that fit returned, but it was given {type(history).__name__}; "
            "a net's last one is net.history."
        )
    if not history.epochs:
        raise ValueError("There is nothing to plot: the history has no finished epoch.")
    training = history.record(quantity)
    validation = getattr(history, f"validation_{quantity}")
    records = [("training", training, BLUE, "-"), ("validation", validation, VERMILLION, "-")]
    records = [row for row in records if row[1] is not None]
    ax = axes(ax)
    ax.grid(axis="y", color=GRID, linewidth=0.8)
    for name, values, colour, line in records:
        x, drawn = thinned(values)
        one = {"marker": "o", "markersize": 4} if len(values) == 1 else {}
        ax.plot(x, drawn, line, color=colour, linewidth=1.6, label=name, **one)
    finite = np.concatenate([values[np.isfinite(values)] for _, values, _, _ in records])
    if log is None:
        log = quantity == "loss" and finite.size > 0 and 0 < finite.min() < finite.max()
    if log:
        ax.set_yscale("log")
        log_axis(ax.yaxis)
    ax.set_xlim(1, max(history.epochs, 2))
    epoch_axis(ax)
    _mark_best(ax, *best_point(history, quantity))
    legend(ax)
    title = f"{quantity.capitalize()} over {history.epochs:,} epochs"
    return named(ax, title if history.epochs > 1 else f"{quantity.capitalize()} after one epoch", "epoch", quantity)


def best_point(history: Any, quantity: str) -> tuple[int, float]:
    """(epoch from 0, value there) of what the curve marks."""
    validation = getattr(history, f"validation_{quantity}")
    values = history.record(quantity) if validation is None else validation
    if history.best_epoch is not None and history.best_epoch < len(values):
        return history.best_epoch, float(values[history.best_epoch])
    filled = np.where(np.isfinite(values), values, np.inf if quantity == "loss" else -np.inf)
    best = int(filled.argmin() if quantity == "loss" else filled.argmax())
    return best, float(values[best])


def _mark_best(ax: Any, epoch: int, value: float) -> None:
    ax.axvline(epoch + 1, color=FAINT, linewidth=0.8, linestyle=":", zorder=1)
    ax.plot(
        [epoch + 1], [value], "o", markersize=6, markerfacecolor="white", markeredgecolor=INK, zorder=5, clip_on=False,
        linestyle="none", label=f"best: {value:.4g}, epoch {epoch + 1:,}",
    )  # fmt: skip


def thinned(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(epochs from 1, values), of long records only the lowest and the highest value of each group of epochs.

    >>> epochs, values = thinned(np.arange(100_000.0))
    >>> len(epochs), int(epochs[0]), int(epochs[-1])
    (2000, 1, 100000)
    """
    n = len(values)
    if n <= POINTS:
        return np.arange(1, n + 1), values
    edges = np.linspace(0, n, POINTS // 2 + 1).astype(int)
    chosen = []
    for start, end in pairwise(edges):
        part = values[start:end]
        low, high = (int(np.where(np.isfinite(part), sign * part, np.inf).argmin()) for sign in (1.0, -1.0))
        chosen += sorted((start + low, start + high))
    rows = np.array(chosen)
    return rows + 1, values[rows]
