"""Training of many nets at once for an estimator: an ensemble, or the folds of a cross-validation."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..callbacks import EarlyStopping, as_callbacks
from ..population import Population
from ..population_result import PopulationResult
from .interruption import trained_nets
from .single_net import SplitSamples, Training, check_finite, split, warn_of_epochs, warn_of_time_limit


def make_nets(training: Training, rngs: list[np.random.RandomState], params: np.ndarray | None = None) -> Population:
    """Return a population with one net per random generator.

    rngs : one generator per net; it draws the same initial parameters that scikit-learn would draw, and a seed
    params : (n_nets, n_params) initial parameters to use instead, or None
    """
    nets = Population(training.sizes, len(rngs), **training.settings)
    nets.params = np.stack([training.initial_params(rng) for rng in rngs]) if params is None else params
    nets.seeds = np.array([int(rng.randint(2**31 - 1)) for rng in rngs], np.int64)
    return nets


def fit_nets(
    training: Training,
    nets: Population,
    samples: SplitSamples,
    held_out: SplitSamples | None = None,
    executor: Any = None,
) -> PopulationResult:
    """Train a population with the settings of an estimator. Each net stops by its own record and keeps its best params.

    samples : training samples, shared by all nets or with a leading axis of nets
    held_out : held-out samples, or None; with early_stopping the record to monitor is measured on them
    executor : where to train, as for Population.fit
    """
    estimator = training.estimator
    monitor, tol = "loss", estimator.tol / training.scale.reported
    if held_out is not None and estimator.early_stopping:
        monitor, tol = estimator._population_monitor(held_out, estimator.tol)
    patience = int(min(estimator.n_iter_no_change, estimator.max_iter)) + 1
    further: dict[str, Any] = {
        "early_stopping": EarlyStopping(patience, monitor, tol),
        "callbacks": as_callbacks(estimator.callbacks or ()),
        "verbose": min(2, int(estimator.verbose)),
    }
    result: PopulationResult = training.fit(nets, samples, held_out, executor=executor, **further)
    check_finite(nets.params, "divergence" not in result.stopped_by)
    if "time_limit" in result.stopped_by:
        warn_of_time_limit(estimator, result.compile_seconds)
    elif "epochs" in result.stopped_by:
        warn_of_epochs(estimator)
    return result


def train_nets(
    estimator: Any,
    samples: SplitSamples,
    held_out: SplitSamples | None,
    sizes: tuple[int, ...],
    params: np.ndarray | None,
    rng: np.random.RandomState,
    executor: Any = None,
) -> None:
    """Train n_nets nets from different initial parameters, and set the fitted attributes of the estimator.

    Predictions are the mean of their outputs. Of an interrupted fit, the nets that had begun are kept.

    sizes, params, rng : as for train_net, with params (n_nets, n_params)
    executor : where to train, as for Population.fit
    """
    samples, held_out = split(estimator, samples, held_out, rng)
    training = Training(estimator, sizes, len(samples.X), samples.weights)
    estimator.net_ = nets = make_nets(training, [rng] * estimator.n_nets, params)
    samples = samples._replace(weights=estimator._training_weights(samples))
    result = fit_nets(training, nets, samples, held_out, executor)
    if result.interrupted or not result.epochs.all():
        estimator.net_ = trained_nets(nets, params is not None)
        result = estimator.net_.result
    trained, scale = result.epochs > 0, training.scale
    estimator.n_iter_ = int(result.epochs.max())
    estimator.t_ += len(samples.X) * estimator.n_iter_
    estimator.loss_ = scale.reported * float(result.loss[trained].mean()) if trained.any() else float("nan")
    estimator.best_loss_ = None
    if not estimator.early_stopping and result.monitor == "loss" and result.best_value is not None and trained.any():
        estimator.best_loss_ = scale.reported * float(result.best_value[trained].mean())
    estimator.best_validation_score_ = None
    if result.monitor == "validation_accuracy" and result.best_value is not None:
        estimator.best_validation_score_ = float(result.best_value.mean())
