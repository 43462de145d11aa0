"""Temperature scaling: one number by which logits are divided, so that class probabilities fit held-out samples.

Guo, Pleiss, Sun and Weinberger 2017, "On calibration of modern neural networks". Of several nets, the logits of each
are divided, and the temperature is that of the mean probability. Answers of one net do not change, since the order of
its logits does not.
"""

from __future__ import annotations

from math import exp, log, sqrt

import numpy as np
from scipy.special import log_expit, log_softmax

from ..network.spec import Network
from .rows import MOST_ROWS

LARGEST = 20.0  # bounds of the temperature: from 1 / LARGEST to LARGEST
TOLERANCE = 1e-4  # of the logarithm of the temperature
LEAST_GAIN = 1.92  # nats over all samples: the likelihood-ratio test of one parameter at 5 %
ANY_GAIN = 1e-3  # nats, beyond what rounding can make
GOLDEN = (sqrt(5.0) - 1.0) / 2.0


def row_losses(
    logits: np.ndarray, y: np.ndarray, temperature: float = 1.0, is_multilabel: bool = False, doubt: float = 0.0
) -> np.ndarray:
    """Return the log loss of each sample by the mean probabilities of nets, float64 (n_samples,).

    It is that of class_probabilities.log_probabilities_of; of labels, the mean over them.

    logits : (n_nets, n_samples, n_outputs)
    y : (n_samples,) class numbers, or (n_samples, n_labels) of 0 and 1
    doubt : probability with which a class or label is taken for another one
    """
    z = logits.astype(np.float64) / temperature
    if is_multilabel:
        log_p, log_q = (np.logaddexp.reduce(log_expit(of)) - log(len(z)) for of in (z, -z))
        y = y + doubt * (1.0 - 2.0 * y)
        losses: np.ndarray = -(y * log_p + (1.0 - y) * log_q).mean(axis=1)
        return losses
    log_p = np.logaddexp.reduce(log_softmax(z, axis=-1)) - log(len(z))
    own = log_p[np.arange(len(y)), y]
    return -own - doubt * ((log_p.sum(axis=1) - own) / (log_p.shape[1] - 1) - own)


def fit_temperature(
    logits: np.ndarray, y: np.ndarray, weights: np.ndarray | None, network: Network, is_multilabel: bool = False
) -> float:
    """Return the temperature with the lowest loss of held-out samples, by golden-section search; arguments as above.

    1.0 if no temperature lowers the loss by more than chance would, or the logits are not finite. Of nets that learned
    smoothed targets, whose probabilities are too small on purpose, any gain counts. The loss is that of targets that
    are smoothed as by Platt 1999, with the probability 1 / (n_samples + 2) of another class, so that samples that are
    all predicted correctly do not make a net infinitely sure.

    >>> from fastmlp import MLP
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
