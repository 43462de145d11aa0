"""Greedy ensemble selection with replacement: which nets to average, by the loss of their mean.

Net after net is picked that, as one more, makes the loss of the mean of the picked nets lowest; a net may be picked
again. Source: Caruana, Niculescu-Mizil, Crew and Ksikes 2004.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np


def greedy_selection(
    outputs: np.ndarray, n_picks: int, losses_with_each: Callable[[np.ndarray, int], np.ndarray | Sequence[float]]
) -> Iterator[tuple[int, float]]:
    """Yield (number of the net that is picked, loss of the mean with it) for each pick.

    outputs : float64 (n_nets, ...), of which the mean predicts
    losses_with_each : function (sum, n) that returns the loss of (sum + outputs of a net) / n for each net, (n_nets,);
        sum has the outputs of the n - 1 nets that are picked; a loss that is not finite counts as infinity

    >>> outputs = np.array([1.0, 2.0, 6.0])
    >>> [net for net, _ in greedy_selection(outputs, 3, lambda total, n: abs((total + outputs) / n - 3.0))]
    [1, 1, 2]
    """
    total = np.zeros(outputs.shape[1:])
    for n in range(1, n_picks + 1):
        losses = np.asarray(losses_with_each(total, n), np.float64)
        losses = np.where(np.isfinite(losses), losses, np.inf)
        best = int(np.argmin(losses))
        yield best, float(losses[best])
        total += outputs[best]
