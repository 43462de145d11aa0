"""Implementation of predict and evaluate of MLP and Population for data that are read piece by piece."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.checked_samples import on_host
from ..kernels.structs import METRIC_NONE, METRIC_THRESHOLD
from ..streams.sources import Source, as_source
from .net_base import NetBase


def predict_in_pieces(predict: Callable[[Any], Any], X: Any, axis: int = 0) -> np.ndarray:
    """Return what `predict` returns for all rows of a source; it is called with each piece.

    axis : that of the rows in the result
    """
    source = as_source(X)
    found = [on_host(predict(features)) for features, _ in source.pieces() if len(features)]
    if not found:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")
    return np.concatenate(found, axis)


def evaluate_in_pieces(net: NetBase, X: Any, y: Any) -> dict[str, Any]:
    """Return MLP.evaluate's or Population.evaluate's result for a source."""
    source = as_source(X, y)
    metrics = set[int]()
    found = _scores(net, source, None, metrics)
    if len(metrics) > 1 and METRIC_NONE not in metrics:  # pieces of labels that look like classes: once more, as labels
        found = _scores(net, source, METRIC_THRESHOLD, metrics)
    metric = metrics.pop() if len(metrics) == 1 else METRIC_NONE if METRIC_NONE in metrics else METRIC_THRESHOLD
    return net._scores(metric, *found)


def _scores(net: NetBase, source: Source, metric: int | None, metrics: set[int]) -> Any:
    """Return (mean loss, accuracy) over a source, of a population (n_nets,) each, and add the metrics of its pieces to
    `metrics`.

    metric : what counts as correct; by default as each piece's targets say
    """
    sums, n_samples = np.zeros(()), 0
    for features, targets in source.pieces():
        if not len(features):
            continue
        of_piece, scores = net._scores_of_piece(features, targets, metric)
        metrics.add(of_piece)
        sums = sums + len(features) * np.array(scores)
        n_samples += len(features)
    if n_samples == 0:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none, or can be read only once.")
    loss, accuracy = sums / n_samples
    return (float(loss), float(accuracy)) if sums.ndim == 1 else (loss, accuracy)
