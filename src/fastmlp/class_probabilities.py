"""Class probabilities, computed from the logits of a net instead of its outputs.

In float32, an output of 1 - 1e-9 is 1. The probability of the other class would be 0 and its logarithm minus infinity,
and samples with different logits would have the same rank.
"""

from __future__ import annotations

from math import log
from typing import Any

import numpy as np

from .mlp import MLP
from .nets.population_prediction import outputs_in_parts
from .network.logits import log_sigmoid, log_softmax, with_logits
from .network.spec import Network
from .tables.target import CLASSIFICATION, Target


def log_probabilities(net: Any, X: Any, is_multilabel: bool = False, temperature: float = 1.0) -> np.ndarray:
    """Return logarithms of class probabilities, float64 (n_samples, n_classes); a net with one output has two classes.

    net : MLP or Population     a net with softmax or sigmoid outputs; of a population, the mean probability of its nets
    X : (n_samples, n_features)     inputs, in host memory
    is_multilabel : bool     whether each output is the probability of a label of its own; if not, the probabilities of
        a sample sum to 1
    temperature : float     divisor of the logits; see table_training/recipe_fit.py
    """
    network = net.network
    if isinstance(net, MLP):
        return _log_probabilities(logits(net, X), network, is_multilabel, temperature)
    total = None
    for z in outputs_in_parts(with_logits(net), X, np.arange(net.n_nets)):
        chunk = np.logaddexp.reduce(_log_probabilities(z, network, is_multilabel, temperature), axis=0)
        total = chunk if total is None else np.logaddexp(total, chunk)
    assert total is not None
    return total - log(net.n_nets)


def log_probabilities_of(
    logits: np.ndarray, network: Network, is_multilabel: bool = False, temperature: float = 1.0
) -> np.ndarray:
    """Return logarithms of the mean probabilities of several nets, (n_samples, n_classes).

    logits : (n_nets, n_samples, n_outputs), as `logits` returns them
    network : Network of the nets
    is_multilabel, temperature : kind of the outputs and divisor of the logits, as for log_probabilities

    >>> net = MLP((1, 1), loss="binary_cross_entropy")
    >>> np.exp(log_probabilities_of(np.zeros((3, 1, 1)), net.network))
    array([[0.5, 0.5]])
    """
    log_p = _log_probabilities(logits, network, is_multilabel, temperature)
    return np.logaddexp.reduce(log_p, axis=0) - log(len(logits))


def probabilities(net: Any, X: Any, is_multilabel: bool = False, temperature: float = 1.0) -> np.ndarray:
    """Return class probabilities, float64 (n_samples, n_classes); arguments as for log_probabilities.

    >>> net = MLP((1, 1), loss="binary_cross_entropy")
    >>> net.params = [1.0, 0.0]
    >>> print(probabilities(net, [[0.0], [100.0]]))
    [[5.00000000e-01 5.00000000e-01]
     [3.72007598e-44 1.00000000e+00]]
    """
    log_p = log_probabilities(net, X, is_multilabel, temperature)
    return np.exp(log_p, out=log_p)


def likeliest(net: Any, X: Any, is_multilabel: bool = False, temperature: float = 1.0) -> np.ndarray:
    """Return the most probable class of each sample; arguments as for log_probabilities.

    Returns
    -------
    array
        Class numbers (n_samples,), the first of equally probable ones; for multi-label nets bool (n_samples, n_labels),
        True where the probability is above one half.
    """
    if not isinstance(net, MLP):
        p = log_probabilities(net, X, is_multilabel, temperature)
        return p > -log(2.0) if is_multilabel else p.argmax(axis=1)
    z = logits(net, X)
    if is_multilabel:
        return z > 0.0
    return z.argmax(axis=1) if z.shape[1] > 1 else (z[:, 0] > 0.0).astype(np.intp)


def outputs_of(net: Any, target: Target, X: np.ndarray) -> np.ndarray:
    """Return the input of target.decode: class probabilities, or the outputs for regression (a population's mean)."""
    if target.task == CLASSIFICATION:
        return probabilities(net, X, temperature=target.temperature)
    return net.predict(X) if isinstance(net, MLP) else net.ensemble_predict(X)


def outputs_of_logits(z: np.ndarray, network: Network, target: Target) -> np.ndarray:
    """Return the input of target.decode, as outputs_of does; z : logits (n_nets, n_samples, n_outputs)"""
    if target.task == CLASSIFICATION:
        return np.exp(log_probabilities_of(z, network, temperature=target.temperature))
    mean: np.ndarray = z.mean(axis=0, dtype=np.float64)
    return mean


def logits(net: Any, X: Any) -> np.ndarray:
    """Return the logits, the inputs of the output activation, in the net's dtype.

    (n_samples, n_outputs) of an MLP, (n_nets, n_samples, n_outputs) of a population
    """
    return with_logits(net).predict(X)


def _log_probabilities(z: np.ndarray, network: Network, is_multilabel: bool, temperature: float) -> np.ndarray:
    z = z.astype(np.float64)
    if temperature != 1.0:
        z /= temperature
    if network.output_row.name == "softmax":
        return log_softmax(z)
    if z.shape[-1] == 1 and not is_multilabel:
        return log_sigmoid(np.concatenate((-z, z), axis=-1))
    log_p = log_sigmoid(z)
    return log_p if is_multilabel else log_softmax(log_p)  # normalised to sum 1
