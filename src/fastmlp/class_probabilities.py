"""Class probabilities, computed from the logits of a net instead of its outputs.

In float32, an output of 1 - 1e-9 is 1. The probability of the other class would be 0 and its logarithm minus infinity,
and samples with different logits would have the same rank.
"""

from __future__ import annotations

from math import exp, log, sqrt
from typing import Any

import numpy as np
from scipy import special

from .mlp import MLP
from .nets.population_base import outputs_in_parts
from .network.logits import log_sigmoid, log_softmax, with_logits
from .network.spec import Network
from .tables.target import CLASSIFICATION, Target

LARGEST = 20.0  # bounds of the temperature: from 1 / LARGEST to LARGEST
TOLERANCE = 1e-4  # of the logarithm of the temperature
LEAST_GAIN = 1.92  # nats over all samples: the likelihood-ratio test of one parameter at 5 %
ANY_GAIN = 1e-3  # nats, beyond what rounding can make
GOLDEN = (sqrt(5.0) - 1.0) / 2.0
MOST_ROWS = 50_000  # evenly spaced rows of more held-out ones decide on the temperature


def log_probabilities(net: Any, X: Any, is_multilabel: bool = False, temperature: float = 1.0) -> np.ndarray:
    """Return logarithms of class probabilities, float64 (n_samples, n_classes); a net with one output has two classes.

    net : MLP or Population     a net with softmax or sigmoid outputs; of a population, the mean probability of its nets
    X : (n_samples, n_features)     inputs, in host memory
    is_multilabel : bool     whether each output is the probability of a label of its own; if not, the probabilities of
        a sample sum to 1
    temperature : float     divisor of the logits; see fit_temperature
    """
    network = net.network
    if isinstance(net, MLP):
        return _log_probabilities(logits(net, X), network, is_multilabel, temperature)
    total: Any = -np.inf
    for z in outputs_in_parts(with_logits(net), X, np.arange(net.n_nets)):
        log_p = _log_probabilities(z, network, is_multilabel, temperature)
        total = np.logaddexp(total, np.logaddexp.reduce(log_p, axis=0))
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


# ---- calibration


def row_losses(
    logits: np.ndarray, y: np.ndarray, temperature: float = 1.0, is_multilabel: bool = False, doubt: float = 0.0
) -> np.ndarray:
    """Return the log loss of each sample by the mean probabilities of nets, float64 (n_samples,).

    It is that of log_probabilities_of; of labels, the mean over them.

    logits : (n_nets, n_samples, n_outputs)
    y : (n_samples,) class numbers, or (n_samples, n_labels) of 0 and 1
    doubt : probability with which a class or label is taken for another one
    """
    z = logits.astype(np.float64) / temperature
    if is_multilabel:
        log_p, log_q = (np.logaddexp.reduce(special.log_expit(of)) - log(len(z)) for of in (z, -z))
        y = y + doubt * (1.0 - 2.0 * y)
        losses: np.ndarray = -(y * log_p + (1.0 - y) * log_q).mean(axis=1)
        return losses
    log_p = np.logaddexp.reduce(special.log_softmax(z, axis=-1)) - log(len(z))
    own = log_p[np.arange(len(y)), y]
    return -own - doubt * ((log_p.sum(axis=1) - own) / (log_p.shape[1] - 1) - own)


def fit_temperature(
    logits: np.ndarray, y: np.ndarray, weights: np.ndarray | None, network: Network, is_multilabel: bool = False
) -> float:
    """Return the temperature with the lowest loss of held-out samples, by golden-section search; arguments as above.

    Logits are divided by it, of each of several nets, whose mean probabilities then fit. Answers of one net do not
    change, since the order of its logits does not. Source: Guo, Pleiss, Sun and Weinberger 2017.

    1.0 if no temperature lowers the loss by more than chance would, or the logits are not finite. Of nets that learned
    smoothed targets, whose probabilities are too small on purpose, any gain counts. The loss is that of targets that
    are smoothed as by Platt 1999, with the probability 1 / (n_samples + 2) of another class, so that samples that are
    all predicted correctly do not make a net infinitely sure.

    >>> network = MLP((1, 2), loss="softmax_cross_entropy").network
    >>> logits = np.tile([4.0, 0.0], (1, 100, 1))  # sure of class 0, which 3 of 4 samples have
    >>> temperature = fit_temperature(logits, np.arange(100) % 4 == 3, None, network)
    >>> round(float(np.exp(4 / temperature)), 1)  # odds
    2.9
    """
    y = np.asarray(y)
    if len(y) > MOST_ROWS:
        rows = np.linspace(0, len(y) - 1, MOST_ROWS).astype(np.intp)
        logits, y, weights = logits[:, rows], y[rows], None if weights is None else weights[rows]
    if not len(y) or not np.isfinite(logits).all() or (weights is not None and not weights.sum() > 0.0):
        return 1.0
    y = y.astype(np.float64 if is_multilabel else np.intp)
    n = len(y) if weights is None else float(weights.sum() ** 2 / np.square(weights).sum())  # Kish's effective size
    loss = lambda log_t: np.average(row_losses(logits, y, exp(log_t), is_multilabel, 1.0 / (n + 2.0)), weights=weights)
    best = golden_section(loss, -log(LARGEST), log(LARGEST), TOLERANCE)
    gain = n * (y.shape[1] if is_multilabel else 1) * (loss(0.0) - loss(best))
    return exp(best) if gain > (ANY_GAIN if network.label_smoothing else LEAST_GAIN) else 1.0


def golden_section(function, low: float, high: float, tolerance: float) -> float:
    """Return the minimum of a function with one minimum between low and high (Kiefer 1953).

    >>> round(golden_section(lambda x: (x - 1.0) ** 2, -3.0, 4.0, 1e-6), 5)
    1.0
    """
    a, b = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_a, at_b = function(a), function(b)
    while high - low > tolerance:
        if at_a < at_b:
            high, b, at_b = b, a, at_a
            a = high - GOLDEN * (high - low)
            at_a = function(a)
        else:
            low, a, at_a = a, b, at_b
            b = low + GOLDEN * (high - low)
            at_b = function(b)
    return (low + high) / 2.0
