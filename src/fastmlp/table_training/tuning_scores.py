"""Scores of the configurations that `tune` compares: how well nets predict held-out rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..callbacks import METRIC_SIGNS
from ..class_probabilities import logits
from ..data.population_data import validated_population_samples
from ..mlp import MLP
from ..training.epoch_metrics import METRICS, check_metrics, metric_samples
from .recipe import TEMPERATURE, Recipe
from .rows import Rows
from .temperature import fit_temperature, held_out_loss


def scores_of(nets: Any, held_out: Rows, recipe: Recipe, metric: Any = None) -> np.ndarray:
    """Return the score of each net on held-out rows, (n_nets,); larger is better, and minus infinity is no score.

    It is minus the log loss of classes, of calibrated probabilities if the recipe calibrates; of numbers minus the mean
    squared error, of y scaled to a standard deviation of 1. A metric with a name takes the place of these.

    nets : MLP or Population
    metric : of the estimator, a name, a function or None
    """
    with np.errstate(all="ignore"):  # a net whose outputs are not finite has no score
        if isinstance(metric, str):
            values = _values_of(metric, nets, held_out)
        elif nets.network.output_row.name == "identity":
            values = _values_of("squared_error", nets, held_out)
        else:
            z = logits(nets, held_out.X)
            z = z if z.ndim == 3 else z[None]
            values = [-_log_loss(of_net[None], nets.network, held_out, recipe) for of_net in z]
    scores = np.array(values, np.float64)
    return np.where(np.isfinite(scores), scores, -np.inf)


def _values_of(metric: str, nets: Any, held_out: Rows) -> list[float]:
    outputs = nets.predict(held_out.X)
    outputs = outputs[None] if isinstance(nets, MLP) else outputs
    data, _ = validated_population_samples(held_out.X, held_out.y, nets.network, nets.dtype, 1, held_out.weights)
    check_metrics({metric: METRICS[metric]}, nets.network, data)
    samples = metric_samples(data, nets.network)
    return [-METRIC_SIGNS[metric] * METRICS[metric](samples, of_net) for of_net in outputs]


def _log_loss(z: np.ndarray, network: Any, held_out: Rows, recipe: Recipe) -> float:
    """Return the log loss of one net by its logits, (1, n_rows, n_outputs)."""
    is_multilabel = network.output_row.name == "sigmoid"
    temperature = 1.0
    if recipe.calibration == TEMPERATURE:
        temperature = fit_temperature(z, held_out.y, held_out.weights, network, is_multilabel)
    return held_out_loss(z, held_out.y, held_out.weights, network, temperature, is_multilabel)
