"""Greedy weights of the nets whose mean predicts, by their predictions of held-out or out-of-fold rows.

Greedy ensemble selection (population_training/greedy_selection.py) picks as many nets as there are, some of them
several times, and the ensemble is that of the picked ones. So weights need no place in files and exports: a net of
weight 2 is there twice.
"""

from __future__ import annotations

import numpy as np

from ..class_probabilities import logits
from ..network.logits import log_sigmoid, log_softmax
from ..network.spec import Network
from ..population import Population, subset_of
from ..population_training.greedy_selection import greedy_selection
from .rows_in_memory import MOST_ROWS, Rows


def with_greedy_weights(nets: Population, held_out: Rows) -> tuple[Population, np.ndarray]:
    """Return (nets that are picked by held-out rows, as a population of as many, their numbers)."""
    rows = held_out.at_most(MOST_ROWS)
    picks = greedy_picks(logits(nets, rows.X), rows.y, rows.weights, nets.network)
    return subset_of(nets, picks), picks


def with_greedy_weights_in_folds(
    nets: Population, z: np.ndarray, rows: Rows, folds: np.ndarray
) -> tuple[Population, np.ndarray, np.ndarray]:
    """Return (nets that are picked in each fold by the rows of the fold, their logits of all rows, their numbers).

    nets, z : as fit_folds and fit_shared_folds return them, of all folds
    folds : (n_rows,) fold of each row
    """
    n_each, picked, outputs = len(z), [], np.empty_like(z)
    for fold in range(nets.n_nets // n_each):
        places = np.flatnonzero(folds == fold)
        of_fold = rows.take(places)
        picks = greedy_picks(z[:, places], of_fold.y, of_fold.weights, nets.network)
        outputs[:, places] = z[picks[:, None], places]
        picked.append(fold * n_each + picks)
    numbers = np.concatenate(picked)
    return subset_of(nets, numbers), outputs, numbers


def greedy_picks(z: np.ndarray, y: np.ndarray, weights: np.ndarray | None, network: Network) -> np.ndarray:
    """Return the numbers of the nets that are picked, ascending, as many as there are nets.

    z : (n_nets, n_rows, n_outputs), logits
    y : targets of the rows, as the nets take them
    weights : (n_rows,) or None

    All nets, if none has finite outputs, or no row has a weight.

    >>> from fastmlp import MLP
    >>> z = np.array([[[1.0], [0.0]], [[0.0], [-1.0]], [[9.0], [9.0]]])
    >>> greedy_picks(z, np.array([1.0, -0.4]), None, MLP((1, 1)).network).tolist()
    [0, 0, 1]
    """
    if z.shape[1] > MOST_ROWS:
        rows = np.linspace(0, z.shape[1] - 1, MOST_ROWS).astype(np.intp)
        z, y, weights = z[:, rows], y[rows], None if weights is None else weights[rows]
    if weights is not None and not weights.sum() > 0.0:
        return np.arange(len(z))
    y = y.reshape(len(y), -1).astype(np.float64) if network.output_row.name != "softmax" else y.astype(np.intp)
    outputs, n_nets = np.stack([_outputs(of_net, y, network) for of_net in z]), len(z)
    losses_with_each = lambda total, n: [_loss((total + of_net) / n, y, weights, network) for of_net in outputs]
    picks = []
    for best, loss in greedy_selection(outputs, n_nets, losses_with_each):
        if not np.isfinite(loss):
            return np.arange(n_nets)
        picks.append(best)
    return np.sort(picks)


def _outputs(z: np.ndarray, y: np.ndarray, network: Network) -> np.ndarray:
    """Return the outputs of a net that its loss needs, of which the mean predicts.

    These are numbers or probabilities of labels, (n_rows, n_outputs), or probabilities of the true classes, (n_rows,).

    z : (n_rows, n_outputs), logits
    y : as of _loss
    """
    name, z = network.output_row.name, z.astype(np.float64)
    if name == "identity":
        return z
    with np.errstate(all="ignore"):  # of nets whose outputs are not finite
        return np.exp(log_softmax(z)[np.arange(len(y)), y] if name == "softmax" else log_sigmoid(z))


def _loss(outputs: np.ndarray, y: np.ndarray, weights: np.ndarray | None, network: Network) -> float:
    """Return the mean loss of rows; infinity if outputs are not finite.

    outputs : as _outputs returns them, or their mean over nets
    y : (n_rows,) class numbers, or (n_rows, n_outputs)
    """
    if not np.isfinite(outputs).all():
        return np.inf
    name, tiny = network.output_row.name, np.finfo(np.float64).tiny
    if name == "identity":
        losses = np.square(outputs - y).mean(axis=1)
    elif name == "softmax":
        losses = -np.log(np.maximum(outputs, tiny))
    else:
        p, q = np.maximum(outputs, tiny), np.maximum(1.0 - outputs, tiny)
        losses = -(y * np.log(p) + (1.0 - y) * np.log(q)).mean(axis=1)
    return float(np.average(losses, weights=weights))
