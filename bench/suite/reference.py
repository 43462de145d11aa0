"""Reference: training in float64 NumPy by the obvious program of the tests; every competitor must reach its result.

`case` is the training_case.TrainingCase of the net and its training.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))

import reference_optimizers
from reference_net import ReferenceMLP

NAMES = {"sgd": "SGD", "adam": "Adam", "quickprop": "Quickprop", "rprop": "Rprop"}


def net_of(case, params) -> ReferenceMLP:
    return ReferenceMLP(case.layer_sizes, case.activations, case.loss, params)


def loss(case, params, X, y) -> float:
    """The mean loss. y : (n_samples, n_outputs), one-hot for classes"""
    return float(net_of(case, params).loss_and_gradient(X, y)[0])


def uncorrected_adam(p, g, state, error, lr):
    """Adam as at the end of section 2 of Kingma and Ba 2015: epsilon is added to the uncorrected root."""
    t = state.get("t", 0) + 1
    return reference_optimizers.adam(p, g, state, error, lr, epsilon=1e-8 / np.sqrt(1 - 0.999**t))


def train(case, n_epochs: int, corrects_epsilon: bool = True, start: np.ndarray | None = None) -> np.ndarray:
    """Parameters after n_epochs, in float64.

    corrects_epsilon : Adam as in Kingma and Ba 2015, algorithm 1: epsilon is added to the root of the corrected second
        moment; False: the form at the end of their section 2, which scikit-learn and Keras have
    start : the case's by default
    """
    net = net_of(case, case.start if start is None else start)
    rules = {} if corrects_epsilon else {"Adam": uncorrected_adam}
    rates = {"learning_rate": case.learning_rate}
    X, y = case.X.astype(np.float64), case.y_matrix.astype(np.float64)
    with patch.dict(reference_optimizers.RULES, rules):
        reference_optimizers.train(net, X, y, NAMES[case.optimizer], rates, epochs=n_epochs, batch_size=case.batch_size)
    return net.params


def distance(params, expected, start) -> float:
    """The largest distance of a net from where it should be, relative to the way from its start; one net or many.

    It is larger than float32's precision: where rounding moves a logit across zero a ReLU switches, and Adam gives the
    weights whose gradient depends on that one sample a full step in the other direction (seen: 0.012). Adam without its
    corrections ends more than 0.5 off.
    """
    return float(np.max(np.linalg.norm(params - expected, axis=-1) / np.linalg.norm(expected - start, axis=-1)))
