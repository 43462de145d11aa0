"""Sample weights that train each net of a population on its own subset of the data.

pop.fit(X, y, sample_weight=fastmlp.folds(len(X), 5))          net k is trained without fold k
pop.fit(X, y, sample_weight=fastmlp.bootstrap(len(X), 100))    each net has its own bootstrap sample
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .errors import checked_count, shown
from .runtime.memory_limits import check_array


def _generator(random_state: Any) -> np.random.Generator:
    if random_state is not None and not isinstance(random_state, (np.random.Generator, np.random.RandomState)):
        random_state = checked_count("random_state", random_state, 0, at_most=None)
    return np.random.default_rng(random_state)


def folds(n_samples: int, k: int, *, stratify: Any = None, random_state: Any = 0) -> np.ndarray:
    """Return sample weights for cross-validation: net i has weight 0 on the samples of fold i, 1 on the others.

    Parameters
    ----------
    n_samples : int
        Number of samples.
    k : int
        Number of folds, and of nets; k = n_samples is leave-one-out.
    stratify : array_like of shape (n_samples,), optional
        Class of each sample; each fold gets about the same fraction of every class.
    random_state : int, numpy.random.Generator, RandomState or None, default 0
        Seed of the shuffling; None does not shuffle.

    Returns
    -------
    ndarray of float64, shape (k, n_samples)

    Raises
    ------
    ValueError
        If k is below 2 or above n_samples, or stratify has another length.

    See Also
    --------
    bootstrap : Weights for bagging.

    Examples
    --------
    >>> folds(4, 2, random_state=None)
    array([[0., 1., 0., 1.],
           [1., 0., 1., 0.]])
    """
    n = checked_count("n_samples", n_samples, 2)
    k = checked_count("k", k, 2)
    if k > n:
        raise ValueError(f"There can be at most as many folds as samples, {n}, but k is {shown(k)}.")
    check_array((k, n), 8, "Weights", "Take fewer folds.")
    order = np.arange(n) if random_state is None else _generator(random_state).permutation(n)
    if stratify is not None:
        classes = np.asarray(stratify)
        if classes.shape != (n,):
            raise ValueError(f"stratify must have shape ({n},), but it has shape {classes.shape}.")
        order = order[np.argsort(classes[order], kind="stable")]
    fold = np.empty(n, np.int64)
    fold[order] = np.arange(n) % k
    return (fold[None, :] != np.arange(k)[:, None]).astype(np.float64)


def bootstrap(n_samples: int, n_nets: int, *, random_state: Any = 0) -> np.ndarray:
    """Return sample weights for bagging: how often each sample is in the bootstrap sample of each net.

    Parameters
    ----------
    n_samples : int
        Number of samples, and of draws with replacement per net.
    n_nets : int
        Number of nets.
    random_state : int, numpy.random.Generator, RandomState or None, default 0
        Seed of the draws; None takes a random seed.

    Returns
    -------
    ndarray of float64, shape (n_nets, n_samples)

    Raises
    ------
    ValueError
        If a number is below 1.

    See Also
    --------
    folds : Weights for cross-validation.

    Examples
    --------
    >>> bootstrap(5, 3).sum(axis=1)
    array([5., 5., 5.])
    """
    n, m = checked_count("n_samples", n_samples), checked_count("n_nets", n_nets)
    check_array((m, n), 8, "Weights", "Take fewer nets.")
    rng = _generator(random_state)
    weights = np.zeros((m, n))
    for weights_of_net in weights:
        weights_of_net += np.bincount(rng.integers(n, size=n), minlength=n)
    return weights
