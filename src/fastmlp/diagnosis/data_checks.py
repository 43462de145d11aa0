"""Checks of the data without a net: the scale of the inputs, and how well simple models predict the targets.

Three simple models are cross-validated: linear regression, five nearest neighbours, and linear regression on 200 random
ReLU features. If none of them finds a relation, the labels are probably shuffled.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

MAX_ROWS = 1500  # largest number of samples that are used
MIN_SAMPLES = 40  # smallest number of samples for a meaningful cross-validation
# Smallest effective number of samples (_effective_samples) for which a missing signal is meaningful. In trials with
# 400 samples and positives by a rule, the signal was missed always with one positive, in half of them with two, in 5 %
# with six, and never with eight.
MIN_EFFECTIVE_SAMPLES = 8
FOLDS = 4
NEIGHBOURS = 5
RANDOM_FEATURES = 200
MAX_COLUMNS = 400  # largest number of features of the linear model; more are projected at random
RIDGE = 3.0  # added to the diagonal of the Gram matrix of the standardised features


class InputScale(NamedTuple):
    """Measurements of the scale of the inputs."""

    largest_spread: float  # largest standard deviation of an input
    typical_spread: float  # median standard deviation of the inputs that vary and are no indicators
    largest_offset: float  # largest |mean| / standard deviation of the inputs that vary and are no indicators


class DataChecks(NamedTuple):
    """Measurements of the data. Fractions are of the variance of the targets."""

    n_samples: int
    n_features: int
    scale: InputScale
    n_constant: int  # number of constant inputs
    n_constant_targets: int
    one_hot: bool
    contradicted: float  # fraction that cannot be learned, because equal inputs have different targets
    linear: float  # fraction that the linear model explains out of sample; NaN for too few samples
    neighbours: float  # the same for nearest neighbours
    random_features: float  # the same for the linear model on random features
    signal: float  # largest z-score of the three models under shuffled labels; NaN for too few samples or rare classes
    attainable: float  # fraction that a net can be expected to explain at least


def check_data(X: np.ndarray, Y: np.ndarray) -> DataChecks:
    """Measure the data.

    X : (n_samples, n_features), float64, finite
    Y : (n_samples, n_outputs), float64, finite
    """
    rng = np.random.default_rng(0)
    if len(X) > MAX_ROWS:
        chosen = np.sort(rng.choice(len(X), MAX_ROWS, replace=False))
        X, Y = X[chosen], Y[chosen]
    n = len(X)
    spread, centre, varies = _moments(X)
    total = ((Y - Y.mean(axis=0)) ** 2).sum()
    n_rows, contradicted = _contradicted(X, Y, total)
    linear = neighbours = features = signal = np.nan
    attainable = 0.0 if total <= 0 else 1.0 - contradicted
    if n >= MIN_SAMPLES and total > 0 and varies.any():
        Xs = np.clip((X[:, varies] - centre[varies]) / spread[varies], -6, 6)
        folds = rng.permutation(n) % FOLDS
        hidden = np.maximum(
            Xs @ rng.normal(size=(Xs.shape[1], RANDOM_FEATURES)) / np.sqrt(Xs.shape[1]) * 1.5
            + rng.normal(size=RANDOM_FEATURES),
            0.0,
        )
        linear_features = Xs
        if Xs.shape[1] > MAX_COLUMNS:
            linear_features = Xs @ rng.normal(size=(Xs.shape[1], MAX_COLUMNS)) / np.sqrt(Xs.shape[1])
        one_hot = _is_one_hot(Y)
        columns = max(1, Y.shape[1] - 1) if one_hot else Y.shape[1]
        results = [
            _quality(_cross_validated(linear_features, Y, folds), Y, folds, columns),
            _quality(_nearest_neighbours(Xs, Y), Y, np.zeros(n, np.int64), columns),
            _quality(_cross_validated(np.hstack([linear_features, hidden]), Y, folds), Y, folds, columns),
        ]
        (linear, _, _), (neighbours, correlation, z), (features, _, _) = results
        # Even random labels correlate slightly negatively with predictions for their fold, since what a fold has the
        # rest lacks. Neighbours that differ for a reason, as in parity, correlate far more negatively.
        signal = max(*(z for _, _, z in results), -z - 4.0)
        explained = max(linear, neighbours, features, correlation * correlation if z < -8.0 else 0.0)
        if _effective_samples(Y) < MIN_EFFECTIVE_SAMPLES:
            signal = np.nan
        attainable = 1.0 - contradicted if n_rows <= n / 2 and n_rows <= 64 else max(0.0, explained)
    return DataChecks(
        n_samples=n,
        n_features=X.shape[1],
        scale=input_scale(X),
        n_constant=int((~varies).sum()),
        n_constant_targets=int((np.ptp(Y, axis=0) == 0).sum()),
        one_hot=_is_one_hot(Y),
        contradicted=contradicted,
        linear=linear,
        neighbours=neighbours,
        random_features=features,
        signal=signal,
        attainable=attainable,
    )


def input_scale(X: np.ndarray) -> InputScale:
    """Measure the scale of the inputs X (n_samples, n_features), float64 and finite."""
    spread, centre, varies = _moments(X)
    # Indicators, inputs of 0 and 1, are scaled whatever share of them is 1, which decides on their spread and offset.
    scales = varies & ~np.isin(X, (0.0, 1.0)).all(axis=0)
    offset = np.abs(centre[scales]) / spread[scales]
    judged = spread[scales] if scales.any() else spread[varies]
    return InputScale(
        largest_spread=float(spread.max(initial=0.0)),
        typical_spread=float(np.quantile(judged, 0.5, method="lower")) if varies.any() else 0.0,
        largest_offset=float(offset.max(initial=0.0)),
    )


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (standard deviations, means, which of the inputs vary), (n_features,) each."""
    with np.errstate(over="ignore", invalid="ignore"):
        spread, centre = X.std(axis=0), X.mean(axis=0)
    return spread, centre, spread > 1e-9 * (1.0 + np.abs(centre))


def _is_one_hot(Y: np.ndarray) -> bool:
    low, high = Y.min(), Y.max()
    return Y.shape[1] > 1 and bool(((high == Y).sum(axis=1) == 1).all() and ((low == Y) | (high == Y)).all())


def _effective_samples(Y: np.ndarray) -> float:
    """Return the effective number of samples that make up the variance of the targets.

    For classes of equal size it is the number of all samples, otherwise about that of the rare classes.
    """
    squares = ((Y - Y.mean(axis=0)) ** 2).sum(axis=1)
    return float(squares.sum() ** 2 / (squares**2).sum())


def _contradicted(X: np.ndarray, Y: np.ndarray, total: float) -> tuple[int, float]:
    """Return (number of distinct inputs, fraction of the targets' variance among equal inputs)."""
    mixed = X @ np.random.default_rng(6).normal(size=X.shape[1])  # a hash: different rows hardly ever have equal sums
    _, group, counts = np.unique(mixed, return_inverse=True, return_counts=True)
    if total <= 0 or len(counts) == len(X):
        return len(counts), 0.0
    means = np.stack([np.bincount(group, weights=y) / counts for y in Y.T], axis=1)
    return len(counts), float(((Y - means[group]) ** 2).sum() / total)


def _cross_validated(F: np.ndarray, Y: np.ndarray, folds: np.ndarray) -> np.ndarray:
    """Return out-of-fold predictions (n_samples, n_outputs) of ridge regression."""
    from scipy.linalg import solve  # slow to import, so only here

    predictions = np.empty_like(Y)
    for fold in range(FOLDS):
        test = folds == fold
        A, B = F[~test], Y[~test]
        mean, centre = B.mean(axis=0), A.mean(axis=0)
        A = A - centre
        gram = A.T @ A
        gram[np.diag_indices_from(gram)] += RIDGE * max(1.0, A.shape[1] / 50)
        predictions[test] = mean + (F[test] - centre) @ solve(
            gram, A.T @ (B - mean), assume_a="pos", check_finite=False
        )
    return predictions


def _nearest_neighbours(F: np.ndarray, Y: np.ndarray) -> np.ndarray:
    """Return the mean target (n_samples, n_outputs) of the nearest neighbours of each sample."""
    squares = (F * F).sum(axis=1)
    distance = squares[:, None] + squares[None, :] - 2.0 * F @ F.T
    np.fill_diagonal(distance, np.inf)
    k = min(NEIGHBOURS, len(F) - 1)
    nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
    return Y[nearest].mean(axis=1)


def _quality(prediction: np.ndarray, Y: np.ndarray, folds: np.ndarray, columns: int) -> tuple[float, float, float]:
    """Return (fraction of variance explained, correlation, z-score of the correlation under shuffled labels).

    Correlations are taken within folds, because the mean of a fold correlates negatively with the mean of the rest.
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
