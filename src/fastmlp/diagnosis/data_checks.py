"""Checks of the data: the scale of the inputs, how well simple models predict the targets, and the range of outputs.

Three simple models are cross-validated: linear regression, five nearest neighbours, and linear regression on 200 random
ReLU features. If none of them finds a relation, the labels are probably shuffled. The range of a net's outputs is read
from the output activation, or guessed from the outputs of a forward function.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .model_under_test import ModelUnderTest, as_outputs, sample_rows

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
# (low, high, formula): output ranges of wrong formulas, for forward functions, of which only the outputs are known.
SIGMOID_OF_1 = 1.0 / (1.0 + np.exp(-1.0))
NARROW_RANGES = (
    (0.5, SIGMOID_OF_1, "two sigmoids in a row, 1 / (1 + exp(-expit(x)))"),
    (0.5, 1.0, "1 / (1 + expit(-x)), or a sigmoid of a ReLU"),
    (1.0 - SIGMOID_OF_1, SIGMOID_OF_1, "a softmax of sigmoids, or a sigmoid of a tanh"),
)


class InputScale(NamedTuple):
    """Measurements of the scale of the inputs."""

    largest_input_spread: float  # largest standard deviation of an input
    typical_input_spread: float  # median standard deviation of the inputs that vary and are no indicators
    largest_input_offset: float  # largest |mean| / standard deviation of the inputs that vary and are no indicators


def check_data(X: np.ndarray, Y: np.ndarray) -> dict[str, Any]:
    """Return measurements of the data by name, besides those of InputScale. Fractions are of the targets' variance.

    target_spread, target_mean : largest standard deviation, and absolute mean, of a column of Y
    n_checked, n_features : number of samples that the others are from, and of inputs
    constant_inputs, n_constant_targets : how many inputs and targets are the same for all samples
    contradicted : fraction that cannot be learned, because equal inputs have different targets
    linear : fraction that the linear model explains out of sample; NaN for too few samples
    nearest_neighbours, random_features : the same for nearest neighbours, and for the linear model on random features
    signal : largest z-score of the three models under shuffled labels; NaN for too few samples or rare classes
    attainable : fraction that a net can be expected to explain at least

    X : (n_samples, n_features), float64, finite
    Y : (n_samples, n_outputs), float64, finite
    """
    targets = {
        "lowest_target": float(Y.min()),
        "highest_target": float(Y.max()),
        "target_spread": float(Y.std(axis=0).max()),
        "target_mean": float(np.abs(Y.mean(axis=0)).max()),
    }
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
        columns = max(1, Y.shape[1] - 1) if is_one_hot(Y) else Y.shape[1]
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
    return targets | {
        "n_checked": n,
        "n_features": X.shape[1],
        "constant_inputs": int((~varies).sum()),
        "n_constant_targets": int((np.ptp(Y, axis=0) == 0).sum()),
        "one_hot": is_one_hot(Y),
        "contradicted": contradicted,
        "linear": linear,
        "nearest_neighbours": neighbours,
        "random_features": features,
        "signal": signal,
        "attainable": attainable,
        **input_scale(X)._asdict(),
    }


def input_scale(X: np.ndarray) -> InputScale:
    """Measure the scale of the inputs X (n_samples, n_features), float64 and finite."""
    spread, centre, varies = _moments(X)
    # Indicators, inputs of 0 and 1, are scaled whatever share of them is 1, which decides on their spread and offset.
    scales = varies & ~np.isin(X, (0.0, 1.0)).all(axis=0)
    offset = np.abs(centre[scales]) / spread[scales]
    judged = spread[scales] if scales.any() else spread[varies]
    return InputScale(
        largest_input_spread=float(spread.max(initial=0.0)),
        typical_input_spread=float(np.quantile(judged, 0.5, method="lower")) if varies.any() else 0.0,
        largest_input_offset=float(offset.max(initial=0.0)),
    )


def _moments(X: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (standard deviations, means, which of the inputs vary), (n_features,) each."""
    with np.errstate(over="ignore", invalid="ignore"):
        spread, centre = X.std(axis=0), X.mean(axis=0)
    return spread, centre, spread > 1e-9 * (1.0 + np.abs(centre))


def is_one_hot(Y: np.ndarray) -> bool:
    """Return whether each row of several columns has the higher of two values once."""
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


# ---- the range of the outputs


class Bounds(NamedTuple):
    """Range of the outputs."""

    low: float
    high: float
    source: str  # activation or formula that has this range
    certainty: float  # 1 if read from the output activation, less if guessed from outputs


def output_bounds(model: ModelUnderTest, X: np.ndarray, Y: np.ndarray) -> Bounds:
    """Return the range of the outputs: that of the output activation, or for a function the range it seems to have."""
    if model.has_weights:
        row = model.activations[-1]
        return Bounds(row.low, row.high, f"the output activation {row.name}", 1.0)
    rng = np.random.default_rng(5)
    rows = X[sample_rows(len(X), 200)]
    spread = np.maximum(X.std(axis=0), 1e-3)
    far_inputs = [rows * 10.0, rows * 1000.0, rows * -1000.0, rng.normal(size=rows.shape) * spread * 100.0]
    assert model.function is not None
    outputs = as_outputs(model.function(X), len(X))
    try:
        outputs_seen = np.concatenate([outputs, *(as_outputs(model.function(x), len(x)) for x in far_inputs)])
    except (ValueError, FloatingPointError, OverflowError):  # the function does not accept such inputs
        outputs_seen = outputs
    outputs_seen = outputs_seen[np.isfinite(outputs_seen).all(axis=1)]
    if not len(outputs_seen):
        return Bounds(-np.inf, np.inf, "", 0.0)
    for low, high, formula in NARROW_RANGES:
        inside = outputs_seen.min() >= low - 1e-6 and outputs_seen.max() <= high + 1e-6
        if inside and (Y.min() < low - 0.02 or Y.max() > high + 0.02):
            certainty = _narrow_range_confidence(outputs, Y, low, high)
            if certainty > 0:
                return Bounds(low, high, formula, certainty)
    return Bounds(-np.inf, np.inf, "", 0.0)


def _narrow_range_confidence(outputs: np.ndarray, Y: np.ndarray, low: float, high: float) -> float:
    """Return the confidence that these bounds keep the outputs from their targets.

    An ordinary net at least reaches the mean target. Outputs that are really bounded lie on one side of the mean, or
    accumulate at both bounds.
    """
    below, above = Y.min() < low - 0.02, Y.max() > high + 0.02
    margin = 0.1 * (high - low)
    pressed_low = below and (outputs[low > Y] < low + margin).mean() > 0.6
    pressed_high = above and (outputs[high < Y] > high - margin).mean() > 0.6
    if low < 0.5:  # a range around 0.5, which also contains the outputs of any new net
        return 0.9 if pressed_low and pressed_high else 0.0
    gap, spread = outputs.mean() - Y.mean(), outputs.std()
    one_sided = gap > max(0.5 * spread, 1e-4) and below
    return 0.95 if pressed_low and (pressed_high or one_sided) else 0.8 if one_sided else 0.5 * pressed_low
