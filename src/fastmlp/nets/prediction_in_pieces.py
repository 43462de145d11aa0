"""Implementation of predict and evaluate of MLP and Population for data that are read piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.arrays import as_numbers, on_host
from ..kernels.structs import METRIC_NONE, METRIC_THRESHOLD
from ..streams.sources import Source, as_source, with_weights
from .net_base import NetBase


def predict_in_pieces(predict: Callable[[Any], Any], X: Any, axis: int = 0) -> np.ndarray:
    """Return what `predict` returns for all rows of a source; it is called with each piece.

    axis : axis of the rows in the result
    """
    source = as_source(X)
    outputs = [on_host(predict(features)) for features, _ in source.pieces() if len(features)]
    if not outputs:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
    return np.concatenate(outputs, axis)


def evaluate_in_pieces(net: NetBase, X: Any, y: Any, sample_weight: Any) -> dict[str, Any]:
    """Return MLP.evaluate's or Population.evaluate's result for a source."""
    metrics, kept, weights_of = set[int](), list[np.ndarray](), None
    if isinstance(sample_weight, str):
        source, weights_of = with_weights(X, y, sample_weight, kept), lambda first, last: kept[-1]
    else:
        source = as_source(X, y)
    if weights_of is None and sample_weight is not None:
        weights = as_numbers(sample_weight, "sample_weight").astype(np.float64)
        weights_of = lambda first, last: weights[..., first:last]
    *scores, n_samples = _scores(net, source, None, metrics, weights_of)
    if sample_weight is not None and not kept and weights.shape[-1] != n_samples:
        raise ValueError(f"sample_weight must have shape ({n_samples},), but it has shape {weights.shape}.")
    if len(metrics) > 1 and METRIC_NONE not in metrics:  # pieces of labels that look like classes: once more, as labels
        *scores, _ = _scores(net, source, METRIC_THRESHOLD, metrics, weights_of)
    metric = metrics.pop() if len(metrics) == 1 else METRIC_NONE if METRIC_NONE in metrics else METRIC_THRESHOLD
    return net._scores(metric, *scores)


def _scores(
    net: NetBase,
    source: Source,
    metric: int | None,
    metrics: set[int],
    weights_of: Callable[[int, int], np.ndarray] | None,
) -> Any:
    """Return (mean loss, accuracy, number of rows) of a source, and add the metrics of its pieces to `metrics`.

    Of a population, the first two are (n_nets,).

    metric : what counts as correct; by default as each piece's targets say
    weights_of : weights_of(first, last) returns the weights of the rows of the present piece, or None
    """
    sums, n_samples, total = np.zeros(()), 0, np.zeros(())
    for features, targets in source.pieces():
        if not len(features):
            continue
        share, weight, end = np.array(len(features)), None, n_samples + len(features)
        if weights_of is not None:
            weight = weights_of(n_samples, end)
            share = weight.sum(axis=-1)
            weight = np.where((weight == 0.0).all(axis=-1, keepdims=True), 1.0, weight)  # and no share
        piece_metric, scores = net._scores_of_piece(features, targets, metric, weight)
        metrics.add(piece_metric)
        sums, total, n_samples = sums + share * np.array(scores), total + share, end
    if n_samples == 0:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none, or can be read only once.")
    if not (total > 0).all():
        raise ValueError("sample_weight must be at least 0, and above 0 for some sample.")
    loss, accuracy = sums / total
    return *((float(loss), float(accuracy)) if sums.ndim == 1 else (loss, accuracy)), n_samples
