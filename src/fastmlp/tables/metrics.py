"""Metrics of predictions, in NumPy: the numbers that `fastmlp train` reports."""

from __future__ import annotations

import numpy as np


def classification_metrics(
    codes: np.ndarray, probabilities: np.ndarray, weights: np.ndarray | None = None
) -> dict[str, float]:
    """Return accuracy, mean log loss and, for two classes, the area under the ROC curve.

    codes : (n_samples,)                       class index of each sample
    probabilities : (n_samples, n_classes)     predicted probabilities; rows sum to one
    weights : (n_samples,)                     of the samples in accuracy and log loss, which are NaN if all are 0;
        the area under the ROC curve is that without weights, which weights of classes do not change

    >>> classification_metrics(np.array([0, 1]), np.array([[0.75, 0.25], [0.5, 0.5]]))["accuracy"]
    0.5
    """
    smallest = np.finfo(probabilities.dtype).tiny  # a probability of exactly 0 would make the loss infinite
    class_probabilities = probabilities[np.arange(len(codes)), codes].clip(smallest)
    values = {
        "accuracy": (probabilities.argmax(axis=1) == codes).astype(np.float64),
        "log loss": -np.log(class_probabilities, dtype=np.float64),
    }
    metrics = {name: weighted_mean(values_of_rows, weights) for name, values_of_rows in values.items()}
    if probabilities.shape[1] == 2:
        metrics["ROC AUC"] = roc_auc(codes == 1, probabilities[:, 1])
    return metrics


def weighted_mean(values: np.ndarray, weights: np.ndarray | None) -> float:
    """Return the weighted mean of values (n,); NaN if all weights are 0, the mean if there are none."""
    if weights is not None and not weights.sum() > 0.0:
        return float("nan")
    return float(np.average(values, weights=weights))


def roc_auc(positive: np.ndarray, score: np.ndarray) -> float:
    """Return the area under the ROC curve: the probability that a positive sample scores above a negative one.

    Ties count one half. The result is NaN without positive or without negative samples.

    positive : (n_samples,) bool, whether a sample is positive
    score : (n_samples,) predicted scores

    Source: the Mann-Whitney U statistic; Hanley, McNeil 1982.

    >>> roc_auc(np.array([False, True, True]), np.array([0.1, 0.1, 0.3]))
    0.75
    """
    _, positions, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - 0.5 * (counts - 1))[positions]
    n_positive = int(positive.sum())
    n_negative = len(positive) - n_positive
    if n_positive == 0 or n_negative == 0:
        return float("nan")
    return float((ranks[positive].sum() - 0.5 * n_positive * (n_positive + 1)) / (n_positive * n_negative))


def regression_metrics(y: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Return root mean squared error and mean absolute error in the units of y, and R2 (NaN if y is constant).

    y, prediction : (n_samples,) targets and predictions

    >>> regression_metrics(np.array([1.0, 3.0]), np.array([2.0, 3.0]))["R2"]
    0.5
    """
    error = prediction - y
    squares = float(np.square(error).sum())
    spread = float(np.square(y - y.mean()).sum())
    return {
        "RMSE": float(np.sqrt(squares / len(y))),
        "MAE": float(np.abs(error).mean()),
        "R2": 1.0 - squares / spread if spread > 0 else float("nan"),
    }
