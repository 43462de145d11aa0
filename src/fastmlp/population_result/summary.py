"""The statistics of a population's result as text."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..console.fit_time import format_time
from ..errors import counted
from .stopped_by import STOPPED_BY

QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


def text_of(result: Any) -> str:
    """Return the text of PopulationResult.summary, for a PopulationResult."""
    lines = [
        f"{counted(result.n_nets, 'net')} in {format_time(result.seconds, result.compile_seconds)}"
        + (f", interrupted; {result.n_finished:,} had come to their end" if result.interrupted else ""),
        _success_line(result),
    ]
    counts = {name: int((result.status == code).sum()) for code, name in STOPPED_BY.items()}
    lines.append("stopped by        " + ", ".join(f"{name} {count:,}" for name, count in counts.items() if count))
    if result.judged_by == "rule" and result.n_converged:  # without a rule there are no epochs to convergence
        lines += _epoch_lines(result) + _histogram_lines(result)
    finite = result.loss[np.isfinite(result.loss)]
    if finite.size:
        q = ", ".join(f"{value:.3g}" for value in np.quantile(finite, QUANTILES))
        lines.append(f"final loss        quantiles 5, 25, 50, 75, 95 %: {q}")
        worst = next(net for net in result.order()[::-1] if np.isfinite(result.loss[net]))
        lines.append(f"best net          {result.best} with {result.loss[result.best]:.4g}; worst {worst}")
    if result.restarts.any():
        lines.append(
            f"restarts          {int(result.restarts.sum()):,}, in {counted(int((result.restarts > 0).sum()), 'net')}"
        )
    return "\n".join(lines)


def _success_line(result: Any) -> str:
    counts = f"{result.n_converged:,} of {result.n_finished:,}"
    if result.success_rate is None or result.success_interval is None:
        return (
            f"no convergence rule was given: {counts} {result.claim}; pass converged=... to fit to define when a net "
            "has converged"
        )
    low, high = result.success_interval
    return (
        f"{'converged':18}{counts}, {100 * result.success_rate:.2f} % "
        f"(95 % interval {100 * low:.2f} to {100 * high:.2f} %)"
    )


def _epoch_lines(result: Any) -> list[str]:
    times = result.epoch_statistics
    q = ", ".join(f"{value:g}" for value in times.quantiles(QUANTILES))
    limit, expected = times.best_restart
    return [
        f"epochs            mean {times.mean:.4g}, SD {times.sd:.4g}, median {times.median:g}, "
        f"{times.times.min():g} to {times.times.max():g}",
        f"                  quantiles 5, 25, 50, 75, 95 %: {q}",
        f"best restart      after {counted(limit, 'epoch')}: {expected:.4g} epochs expected",
    ]


def _histogram_lines(result: Any, n_bins: int = 10, width: int = 40) -> list[str]:
    times = result.epoch_statistics.times
    # Bins of whole epochs up to the 99 % quantile; the line "later" counts the nets beyond the bins.
    first, last = int(times.min()), int(np.quantile(times, 0.99))
    step = max(1, -(-(last - first + 1) // n_bins))
    edges = np.arange(first, last + step + 1, step)
    counts, _ = np.histogram(times, bins=edges - 0.5)
    longest = max(counts.max(), 1)
    lines = ["histogram         epochs"]
    for low, count in zip(edges[:-1], counts, strict=True):
        epochs = f"{low:,}" if step == 1 else f"{low:,} to {low + step - 1:,}"
        lines.append(f"{epochs:>24}  {count:>9,} {'#' * round(width * count / longest)}")
    lines.append(f"{'later':>24}  {len(times) - counts.sum():>9,}")
    lines.append(f"{'not converged':>24}  {result.n_finished - len(times):>9,}")
    return lines
