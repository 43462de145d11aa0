"""What the data say without any net: the scale of the inputs, and how well simple models predict the targets.

Three simple models are cross-validated: a linear one, the five nearest neighbours, and a linear one on 200 random ReLU
features. Where none of them finds anything, the labels have probably lost their rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

ROWS = 1500  # samples that are looked at
ENOUGH = 40  # samples from which cross-validation says something
TELLING = 8  # effective number of targets away from the mean from which a missing signal says something: with positives
# by a rule among 400 samples it was missed in every trial for one, in half for two, in 5 % for six, never for eight
FOLDS = 4
NEIGHBOURS = 5
RANDOM_FEATURES = 200
MOST_COLUMNS = 400  # of the linear model; more are projected at random
RIDGE = 3.0  # added to the diagonal of the standardised features' Gram matrix


class DataChecks(NamedTuple):
    """Shares are of the targets' variance; `signal` is in standard deviations of what shuffled labels would give."""

    n_samples: int
    n_features: int
    largest_spread: float  # of the inputs, standard deviations
    typical_spread: float  # the median of those that vary
    largest_offset: float  # |mean| / standard deviation, the largest of those that vary
    n_constant: int  # inputs that never change
    n_constant_targets: int
    one_hot: bool
    n_values: int  # distinct targets of the first column, at most ROWS
    contradicted: float  # share that equal inputs with unlike targets make unlearnable
    linear: float  # share explained out of sample; NaN where there are too few samples
    neighbours: float
    random_features: float
    signal: float  # the largest z of the three; NaN where there are too few samples, or too few of a rare class
    attainable: float  # the share that a net can be expected to explain at least


def check_data(X: np.ndarray, Y: np.ndarray) -> DataChecks:
    """X (n_samples, n_features), Y (n_samples, n_outputs), float64 and finite."""
    rng = np.random.default_rng(0)
    if len(X) > ROWS:
        chosen = np.sort(rng.choice(len(X), ROWS, replace=False))
        X, Y = X[chosen], Y[chosen]
    n = len(X)
    with np.errstate(over="ignore", invalid="ignore"):
        spread, centre = X.std(axis=0), X.mean(axis=0)
    varies = spread > 1e-9 * (1.0 + np.abs(centre))
    offset = np.abs(centre[varies]) / spread[varies]
    total = ((Y - Y.mean(axis=0)) ** 2).sum()
    n_rows, contradicted = _contradicted(X, Y, total)
    linear = neighbours = features = signal = np.nan
    attainable = 0.0 if total <= 0 else 1.0 - contradicted
    if n >= ENOUGH and total > 0 and varies.any():
        Xs = np.clip((X[:, varies] - centre[varies]) / spread[varies], -6, 6)
        folds = rng.permutation(n) % FOLDS
        hidden = np.maximum(
            Xs @ rng.normal(size=(Xs.shape[1], RANDOM_FEATURES)) / np.sqrt(Xs.shape[1]) * 1.5
            + rng.normal(size=RANDOM_FEATURES),
            0.0,
        )
        flat = Xs
        if Xs.shape[1] > MOST_COLUMNS:
            flat = Xs @ rng.normal(size=(Xs.shape[1], MOST_COLUMNS)) / np.sqrt(Xs.shape[1])
        one_hot = _is_one_hot(Y)
        columns = max(1, Y.shape[1] - 1) if one_hot else Y.shape[1]
        found = [
            _quality(_cross_validated(flat, Y, folds), Y, folds, columns),
            _quality(_nearest(Xs, Y), Y, np.zeros(n, np.int64), columns),
            _quality(_cross_validated(np.hstack([flat, hidden]), Y, folds), Y, folds, columns),
        ]
        (linear, _, _), (neighbours, near, z), (features, _, _) = found
        # Left-out folds correlate negatively by chance as such (what they have, the rest lacks); neighbours that differ
        # for a reason, as in parity, do so far more.
        signal = max(*(z for _, _, z in found), -z - 4.0)
        shares = max(linear, neighbours, features, near * near if z < -8.0 else 0.0)
        if _effective_number(Y) < TELLING:
            signal = np.nan
        attainable = 1.0 - contradicted if n_rows <= n / 2 and n_rows <= 64 else max(0.0, shares)
    return DataChecks(
        n_samples=n, n_features=X.shape[1],
        largest_spread=float(spread.max(initial=0.0)),
        typical_spread=float(np.quantile(spread[varies], 0.5, method="lower")) if varies.any() else 0.0,
        largest_offset=float(offset.max(initial=0.0)),
        n_constant=int((~varies).sum()),
        n_constant_targets=int((np.ptp(Y, axis=0) == 0).sum()),
        one_hot=_is_one_hot(Y), n_values=len(np.unique(Y[:, 0])),
        contradicted=contradicted, linear=linear, neighbours=neighbours, random_features=features, signal=signal,
        attainable=attainable,
    )  # fmt: skip


def _is_one_hot(Y: np.ndarray) -> bool:
    low, high = Y.min(), Y.max()
    return Y.shape[1] > 1 and bool(((high == Y).sum(axis=1) == 1).all() and ((low == Y) | (high == Y)).all())


def _effective_number(Y: np.ndarray) -> float:
    """How many samples share the targets' variance: all where classes are of one size, else about the rare ones."""
    squares = ((Y - Y.mean(axis=0)) ** 2).sum(axis=1)
    return float(squares.sum() ** 2 / (squares**2).sum())


def _contradicted(X: np.ndarray, Y: np.ndarray, total: float) -> tuple[int, float]:
    """(number of different inputs, the share of the targets' variance within equal ones)"""
    mixed = X @ np.random.default_rng(6).normal(size=X.shape[1])  # equal rows have equal sums; unlike ones hardly ever
    _, group, counts = np.unique(mixed, return_inverse=True, return_counts=True)
    if total <= 0 or len(counts) == len(X):
        return len(counts), 0.0
    means = np.stack([np.bincount(group, weights=y) / counts for y in Y.T], axis=1)
    return len(counts), float(((Y - means[group]) ** 2).sum() / total)


def _cross_validated(F: np.ndarray, Y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Predictions (n_samples, n_outputs) of ridge regressions that have not seen the sample."""
    from scipy.linalg import solve  # takes longer to import than the rest

    out = np.empty_like(Y)
    for fold in range(FOLDS):
        test = folds == fold
        A, B = F[~test], Y[~test]
        mean, centre = B.mean(axis=0), A.mean(axis=0)
        A = A - centre
        gram = A.T @ A
        gram[np.diag_indices_from(gram)] += RIDGE * max(1.0, A.shape[1] / 50)
        out[test] = mean + (F[test] - centre) @ solve(gram, A.T @ (B - mean), assume_a="pos", check_finite=False)
    return out


def _nearest(F: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """The mean target (n_samples, n_outputs) of each sample's nearest other ones."""
    squares = (F * F).sum(axis=1)
    distance = squares[:, None] + squares[None, :] - 2.0 * F @ F.T
    np.fill_diagonal(distance, np.inf)
    k = min(NEIGHBOURS, len(F) - 1)
    near = np.argpartition(distance, k - 1, axis=1)[:, :k]
    return Y[near].mean(axis=1)


def _quality(prediction: np.ndarray, Y: np.ndarray, folds: np.ndarray, columns: int) -> tuple[float, float, float]:
    """(share of variance explained, correlation, its z under shuffled labels); correlations are within the folds, whose
    own means would otherwise correlate against those of the rest.
    """
    r2 = 1.0 - ((prediction - Y) ** 2).sum() / ((Y - Y.mean(axis=0)) ** 2).sum()
    p, y = prediction.copy(), Y.copy()
    for fold in np.unique(folds):
        inside = folds == fold
        p[inside] -= p[inside].mean(axis=0)
        y[inside] -= y[inside].mean(axis=0)
    norm = np.sqrt((p * p).sum() * (y * y).sum())
    correlation = float((p * y).sum() / norm) if norm > 0 else 0.0
    return float(r2), correlation, correlation * np.sqrt(len(Y) * columns)
