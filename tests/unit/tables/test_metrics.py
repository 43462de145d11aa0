"""Metrics of tables, compared with values worked by hand and with the definition over all pairs."""

from __future__ import annotations

import math

import numpy as np
import pytest

from fastmlp.tables.metrics import classification_metrics, roc_auc


def test_classification_metrics_by_hand():
    p = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.7, 0.3]], np.float32)
    metrics = classification_metrics(np.array([0, 0, 1, 1]), p)
    assert metrics["accuracy"] == 0.5
    assert metrics["log loss"] == pytest.approx(-np.log([0.9, 0.4, 0.8, 0.3]).mean(), rel=1e-6)
    assert metrics["ROC AUC"] == 0.75  # of the four pairs, only (0.6, 0.3) is in the wrong order
    certain = classification_metrics(np.array([0]), np.array([[0.0, 1.0]], np.float32))
    assert np.isfinite(certain["log loss"])
    assert "ROC AUC" not in classification_metrics(np.array([2]), np.eye(3, dtype=np.float32)[[2]])


def test_roc_auc_equals_the_share_of_ordered_pairs(rng):
    positive, score = rng.integers(0, 2, 60).astype(bool), rng.integers(0, 8, 60)
    difference = score[positive][:, None] - score[~positive]
    assert roc_auc(positive, score) == pytest.approx(((difference > 0) + 0.5 * (difference == 0)).mean(), rel=1e-12)
    assert math.isnan(roc_auc(np.ones(3, bool), np.arange(3)))
