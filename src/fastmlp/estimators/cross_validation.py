"""Cross-validation of an estimator, with the nets of all folds trained together as one population."""

from __future__ import annotations

import copy
import time
from typing import Any

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.metrics import check_scoring
from sklearn.model_selection import check_cv
from sklearn.utils import _safe_indexing, check_random_state

from ..callbacks import EarlyStopping, as_callbacks
from ..population import Population
from ..population_result import PopulationResult
from .array_input import checked_sample_weights, dense
from .base import BaseMLP
from .parameters import check_settings, checked_hidden_sizes, is_iterative, scale_of
from .single_net import SplitSamples, Training, check_finite, warn_of_epochs


def cross_val_population(
    estimator: BaseMLP,
    X: Any,
    y: Any,
    *,
    cv: Any = None,
    groups: Any = None,
    scoring: Any = None,
    sample_weight: Any = None,
) -> dict[str, Any]:
    """Cross-validate an estimator like sklearn.model_selection.cross_validate, training all folds in one call.

    The net of each fold is trained on the samples of that fold only, stops by its own loss, and keeps its best
    parameters. If folds differ in size, smaller ones are padded with samples of weight 0.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
        An estimator of fastmlp with early_stopping=False; it need not be fitted, and is not changed. With
        verbose=True, a progress bar in a terminal or a notebook shows how far the nets of the folds are.
    X : array_like, sparse matrix or data frame of shape (n_samples, n_features)
        Inputs, already scaled, because a pipeline is refused.
    y : array_like of shape (n_samples,) or (n_samples, n_outputs)
        Labels or numbers.
    cv : int, splitter or iterable, optional
        Number of folds, a splitter, or (train, test) row indices, as in scikit-learn. By default 5 folds, stratified
        for a classifier.
    groups : array_like of shape (n_samples,), optional
        Group labels for splitters that need them.
    scoring : str or scorer, optional
        A scorer of scikit-learn. By default the score method of the estimator.
    sample_weight : array_like of shape (n_samples,), optional
        Weights of the samples in training.

    Returns
    -------
    dict
        "test_score" (n_folds,), "estimator" (list of fitted estimators), "indices" (row indices "train" and "test" of
        each fold), and "fit_time" and "score_time" (seconds, for all folds together).

    Raises
    ------
    KeyboardInterrupt
        On Ctrl-C, as in scikit-learn.
    TypeError
        For any other estimator, such as a pipeline.
    ValueError
        For settings that a population does not support.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastmlp import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((8,), learning_rate_init=0.02, max_iter=1000, tol=1e-3, random_state=0)
    >>> bool(cross_val_population(model, X, y, cv=5)["test_score"].mean() > 0.9)
    True
    """
    began = time.perf_counter()
    whole = _checked(estimator)
    rows_of, table, labels = _safe_indexing, X, y
    X, y = whole._validated(X, y, reset=True)
    whole._set_targets(y, None)
    folds = list(check_cv(cv, y, classifier=is_classifier(whole)).split(X, y, groups))
    weights = checked_sample_weights(sample_weight, X)
    samples = SplitSamples(dense(X), y, whole._encode(y), weights)
    nets, result = _train(whole, samples, [train for train, _ in folds])
    if result.interrupted:  # scores of partly trained nets would be meaningless
        raise KeyboardInterrupt
    fitted = [_fitted(whole, nets, result, k, len(train)) for k, (train, _) in enumerate(folds)]
    trained = time.perf_counter()
    scorer = check_scoring(whole, scoring=scoring)
    scores = [
        scorer(model, rows_of(table, test), rows_of(labels, test))
        for model, (_, test) in zip(fitted, folds, strict=True)
    ]
    return {
        "test_score": np.array(scores),
        "estimator": fitted,
        "indices": {"train": [train for train, _ in folds], "test": [test for _, test in folds]},
        "fit_time": trained - began,
        "score_time": time.perf_counter() - trained,
    }


def _checked(estimator: Any) -> Any:
    """Return a clone of the estimator; raise an error if a population cannot train it."""
    if not isinstance(estimator, BaseMLP):
        raise TypeError(
            f"cross_val_population takes an MLPClassifier or MLPRegressor of fastmlp, but got "
            f"{type(estimator).__name__}. Use sklearn.model_selection.cross_validate for it."
        )
    whole: Any = clone(estimator)
    check_settings(whole)
    if whole.early_stopping or not is_iterative(whole) or whole.learning_rate == "adaptive":
        raise ValueError(
            "cross_val_population needs early_stopping=False, a solver other than 'lbfgs', and a rate that "
            "is not adaptive. Use sklearn.model_selection.cross_validate for other settings."
        )
    whole.t_ = 0
    return whole


def _train(whole: Any, samples: SplitSamples, folds: list[np.ndarray]) -> tuple[Population, PopulationResult]:
    n = max(map(len, folds))
    rows = np.stack([np.concatenate([train, np.full(n - len(train), train[0])]) for train in folds])
    fold_weights = np.zeros((len(folds), n))  # 0 for the samples that pad a fold to n
    for weights, train in zip(fold_weights, folds, strict=True):
        of_fold = whole._training_weights(samples.take(train))
        weights[: len(train)] = 1.0 if of_fold is None else of_fold
    k = whole.n_outputs_
    targets = samples.targets if k == 1 or samples.targets.ndim == 2 else np.eye(k)[samples.targets]
    sizes = (samples.X.shape[1], *checked_hidden_sizes(whole.hidden_layer_sizes), k)
    training = Training(whole, sizes, n, samples.weights)
    rngs = [check_random_state(whole.random_state) for _ in folds]
    nets = Population(training.sizes, len(folds), **training.settings)
    nets.params = np.stack([training.initial_params(rng) for rng in rngs])  # those that scikit-learn would draw
    nets.seeds = np.array([int(rng.randint(2**31 - 1)) for rng in rngs], np.int64)
    all_weights = None if (fold_weights == 1.0).all() else fold_weights
    of_folds = SplitSamples(samples.X[rows], samples.y, targets.reshape(len(targets), k)[rows], all_weights)
    patience = int(min(whole.n_iter_no_change, whole.max_iter)) + 1
    further: dict[str, Any] = {
        "early_stopping": EarlyStopping(patience, "loss", whole.tol / training.scale.reported),
        "callbacks": as_callbacks(whole.callbacks or ()),
        "verbose": min(2, int(whole.verbose)),
    }
    result: PopulationResult = training.fit(nets, of_folds, None, **further)
    check_finite(nets.params, "divergence" not in result.stopped_by)
    if "epochs" in result.stopped_by:
        warn_of_epochs(whole)
    return nets, result


def _fitted(whole: Any, nets: Population, result: PopulationResult, k: int, n_samples: int) -> Any:
    """Return the fitted estimator of fold k, with the attributes that a separate fit of the fold would set."""
    model = copy.copy(whole)
    model._forget()
    model.net_ = nets.net(k)
    model.n_iter_ = int(result.epochs[k])
    model.t_ = model.n_iter_ * n_samples
    model.loss_ = scale_of(whole._loss_name(), whole.n_outputs_).reported * float(result.loss[k])
    model._finish(model.net_.network.layer_sizes)
    return model
