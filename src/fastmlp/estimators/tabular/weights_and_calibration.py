"""Weights of the nets of a tabular estimator in their mean, and its calibration, by rows that they have not seen."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...class_probabilities import logits
from ...population import Population
from ...table_training.folds import TrainedNets, predicted_rows
from ...table_training.net_weights import with_greedy_weights, with_greedy_weights_in_folds
from ...table_training.recipes import GREEDY, Recipe
from ...table_training.rows_in_memory import MOST_ROWS, Rows


def weigh_and_calibrate_folds(
    estimator: Any, n_nets: int, found: TrainedNets, z: np.ndarray, rows: Rows, folds: np.ndarray, recipe: Recipe
) -> None:
    """Give the nets of folds their weights, calibrate their predictions, and keep the out-of-fold predictions.

    n_nets : number of nets that there were to train
    found, z : the trained nets and their logits, as fit_folds returns them
    rows, folds : rows, and (n_rows,) fold of each
    """
    if recipe.net_weights == GREEDY and found.n_begun == n_nets and not found.interrupted:
        weighed, z, picks = with_greedy_weights_in_folds(found.nets, z, rows, folds)
        keep_picked(estimator, weighed, picks)
    predicted = predicted_rows(z)
    estimator._calibrate(z[:, predicted], rows.take(predicted), recipe.calibration)
    with np.errstate(invalid="ignore"):  # of rows without a prediction, after Ctrl-C
        estimator.oof_prediction_ = estimator._predictions_of(z)


def weigh_nets(estimator: Any, held_out: Rows | None, recipe: Recipe) -> None:
    """Give the nets of an estimator greedy weights by held-out rows, if there are any and the recipe says so."""
    if recipe.net_weights == GREEDY and held_out is not None and isinstance(estimator.net_, Population):
        keep_picked(estimator, *with_greedy_weights(estimator.net_, held_out))


def keep_picked(estimator: Any, nets: Population, picks: np.ndarray) -> None:
    """Store nets that greedy weights have picked of those of an estimator, and their records; picks : their numbers"""
    estimator.keep_net(nets, nets.result)
    if estimator.eval_metric is not None:
        estimator.validation_scores_ = [estimator.validation_scores_[k] for k in picks]


def calibrate(estimator: Any, held_out: Rows | None, recipe: Recipe) -> None:
    """Calibrate the predictions of an estimator on held-out rows, if there are any."""
    held_out = None if held_out is None else held_out.at_most(MOST_ROWS)
    z = None if held_out is None else logits(estimator.net_, held_out.X)
    estimator._calibrate(z if z is None or z.ndim == 3 else z[None], held_out, recipe.calibration)
