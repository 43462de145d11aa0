"""Scores of the configurations that `tune` compares: how well nets predict held-out rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..class_probabilities import logits
from ..mlp import MLP
from ..network.spec import Network
from .recipes import TEMPERATURE, Recipe
from .rows import Rows
from .temperature import fit_temperature, row_losses


class Scores(NamedTuple):
    """Scores of nets on held-out rows.

    values : (n_nets,); larger is better, and minus infinity is that of a net whose outputs are not finite
    losses : (n_nets, n_rows), whose means are the values times -1
    """

    values: np.ndarray
    losses: np.ndarray


def scores_of(nets: Any, held_out: Rows, recipe: Recipe) -> Scores:
    """Return the scores of nets on held-out rows; nets : MLP or Population

    For classes, a score is minus the log loss, of calibrated probabilities if the recipe calibrates. For numbers, it is
    minus the mean squared error of y scaled to a standard deviation of 1.
    """
    with np.errstate(all="ignore"):  # of nets whose outputs are not finite
        losses = _losses_of(nets, held_out, recipe)
        values = -np.average(losses, axis=1, weights=held_out.weights)
    return Scores(np.where(np.isfinite(values), values, -np.inf), losses)


def standard_errors_apart(first: np.ndarray, second: np.ndarray, weights: np.ndarray | None) -> float:
    """Return by how many standard errors the mean of the first losses is above that of the second, paired by rows.

    >>> round(standard_errors_apart(np.array([3.0, 2.0, 4.0, 3.0]), np.ones(4), None), 3)
    5.657
    """
    gains = first - second
    weights = np.ones(len(gains)) if weights is None else weights
    mean = np.average(gains, weights=weights)
    error = np.sqrt(np.square(weights * (gains - mean)).sum()) / weights.sum()
    return float(mean / max(error, np.finfo(float).tiny))


def _losses_of(nets: Any, held_out: Rows, recipe: Recipe) -> np.ndarray:
    z = logits(nets, held_out.X)
    z = z[None] if isinstance(nets, MLP) else z
    if nets.network.output_row.name == "identity":
        y = held_out.y.reshape(held_out.n_rows, -1)
        return np.array([np.square(of_net.astype(np.float64) - y).mean(axis=1) for of_net in z])
    return np.array([_log_losses(of_net[None], nets.network, held_out, recipe) for of_net in z])


def _log_losses(z: np.ndarray, network: Network, held_out: Rows, recipe: Recipe) -> np.ndarray:
    """Return the log losses of rows by the mean probabilities of nets.

    z : (n_nets, n_rows, n_outputs), logits
    """
    is_multilabel = network.output_row.name == "sigmoid"
    y, temperature = held_out.y.astype(np.float64 if is_multilabel else np.intp), 1.0
    if recipe.calibration == TEMPERATURE:
        temperature = fit_temperature(z, held_out.y, held_out.weights, network, is_multilabel)
    return row_losses(z, y, network, temperature, is_multilabel)
