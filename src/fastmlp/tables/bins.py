"""Bins of columns of numbers: their edges, and a trial whether they help.

Bins help where targets leap, but a net learns smooth targets without them, and has the more noise to learn the more
features there are. So a trial looks whether they lower the held-out error of a cheap model, before nets are trained.
The cheap model stands for a net: a ridge regression on random hidden units (Rahimi and Recht 2008) and the scores of
the columns. Accuracies with and without are in bench/log/tables.md#tabular-bins and #tabular-bin-trial.
"""

from __future__ import annotations

import heapq
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from ..runtime.thread_count import n_threads_available

MOST_BINS = 48  # of a column
LEAST_BIN_ROWS = 16  # of a bin whose edge a tree has chosen
LEAST_GAIN = 1e-9  # as a fraction of the targets' sum of squares: less is rounding
DEGREE = 2  # of the polynomial of the score that stands for what a net learns of a column by itself
MOST_CLASSES = 32  # that a tree tells apart; rarer ones count as one class, so that memory stays bounded
SEED = 0  # a table has the same trial in every fit
MOST_TRIAL_ROWS = 6000  # at random, so that a trial takes a second: bench/log/tables.md#tabular-trial-cost
MOST_FEATURES = 768  # bins beyond, of columns in random order, are left out of the trial
UNITS_PER_FEATURE, MOST_UNITS = 32, 256  # random ReLU units; with more, those of one column are as good as bins
N_FOLDS = 5
MOST_AT_ONCE = 2  # folds that threads try at the same time: each takes up to 100 MB
RIDGES = (1.0, 10.0, 100.0, 1000.0)  # penalties; each model has the one with the lowest held-out error
LEAST_SHARE = 0.025  # of the error that bins must take away to be worth their features; a net gains less than the trial
LEAST_STANDARD_ERRORS = 2.0  # by which the gain must be above chance


def class_indicators(codes: np.ndarray, n_classes: int) -> np.ndarray:
    """Return class indices (n_rows,) as targets of `tree_edges`, float64 (n_rows, n_outputs): one-hot classes."""
    if n_classes > MOST_CLASSES:
        by_count = np.argsort(-np.bincount(codes, minlength=n_classes), kind="stable")
        place = np.empty(n_classes, np.int64)
        place[by_count] = np.minimum(np.arange(n_classes), MOST_CLASSES - 1)
        codes, n_classes = place[codes], MOST_CLASSES
    return np.equal.outer(codes, np.arange(n_classes)).astype(np.float64)


def bin_features(scores: np.ndarray, low: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return the features of bins: 0 for scores below a bin, 1 above it, and linear inside.

    scores, low, width : finite scores, lower edges of bins and their widths, in shapes that broadcast
    """
    return np.minimum(np.maximum((scores - low) / width, 0.0), 1.0)


def leap_edges(scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the edges of bins where the targets leap or turn: those of a tree on what a parabola leaves of them.

    A column whose targets are a smooth function of the score has one bin. A split counts if it gains more than the
    logarithm of the number of rows times the variance of the rest, the price of a parameter in Schwarz's criterion.

    scores : (n_rows,), normal scores of a column
    targets : (n_rows, n_outputs), numbers or one-hot classes
    """
    powers = np.polynomial.legendre.legvander(scores / max(1.0, float(np.abs(scores).max())), DEGREE)
    rest = targets - powers @ np.linalg.lstsq(powers, targets)[0]
    return tree_edges(scores, rest, MOST_BINS, np.log(len(scores)) * float((rest * rest).sum()) / len(scores))


def tree_edges(x: np.ndarray, targets: np.ndarray, n_bins: int, least_gain: float = 0.0) -> np.ndarray:
    """Return the edges of bins whose targets differ: the splits of a decision tree on this column alone, ascending.

    The tree grows best split first. A split's gain is by how much it lowers the sum of squared distances of the targets
    from their means, which for one-hot targets is Gini's impurity. Edges lie between two neighbours of training; the
    first and the last edge are the smallest and the largest number.

    x : (n_rows,), without missing cells; at least two distinct numbers
    targets : (n_rows, n_outputs), numbers or one-hot classes
    n_bins : largest number of bins; there are fewer if no further split has a gain, or rows enough on both sides
    least_gain : a split with a smaller gain is not made
    """
    order = np.argsort(x, kind="stable")
    x, targets = x[order], targets[order] - targets.mean(axis=0)
    sums = np.concatenate([np.zeros((1, targets.shape[1])), np.cumsum(targets, axis=0)])
    places = np.flatnonzero(x[1:] > x[:-1]) + 1
    least_gain = max(least_gain, LEAST_GAIN * float((targets * targets).sum()))
    heap: list[tuple[float, int, int, int]] = []  # (minus the gain, first row of the right part, first, last row)
    chosen: list[int] = []
    for part in _best_split(sums, places, 0, len(x), least_gain):
        heapq.heappush(heap, part)
    while heap and len(chosen) < n_bins - 1:
        _, place, begin, end = heapq.heappop(heap)  # the split with the largest gain
        chosen.append(place)
        for first, last in ((begin, place), (place, end)):
            for part in _best_split(sums, places, first, last, least_gain):
                heapq.heappush(heap, part)
    right = np.sort(np.array(chosen, np.int64))
    inner = 0.5 * (x[right - 1] + x[right])
    return np.unique(np.concatenate([x[:1], inner, x[-1:]]))


def _best_split(sums: np.ndarray, places: np.ndarray, first: int, last: int, least_gain: float) -> list[tuple]:
    """Return the best split of rows first to last in a list, which is empty if there is none.

    sums : (n_rows + 1, n_outputs) sums of the targets before each row
    places : rows that may begin a right part, ascending
    """
    begin, end = np.searchsorted(places, [first + LEAST_BIN_ROWS, last - LEAST_BIN_ROWS + 1])
    tried = places[begin:end]
    if not len(tried):
        return []
    left, right, whole = sums[tried] - sums[first], sums[last] - sums[tried], sums[last] - sums[first]
    gains = (left * left).sum(axis=1) / (tried - first) + (right * right).sum(axis=1) / (last - tried)
    best = int(np.argmax(gains))
    gain = float(gains[best] - (whole * whole).sum() / (last - first))
    return [(-gain, int(tried[best]), first, last)] if gain > least_gain else []


# ---- trial


class Gain(NamedTuple):
    """By how much bins lower the squared error of the held-out rows of a table.

    share : fraction of the error without bins; negative where they raise it
    standard_errors : the mean gain of a row, divided by its standard error
    """

    share: float
    standard_errors: float

    @property
    def is_worth_it(self) -> bool:
        return self.share >= LEAST_SHARE and self.standard_errors > LEAST_STANDARD_ERRORS

    def sentence(self) -> str:
        """Return what was chosen and why, for the notes of a model."""
        percentage = f"{100 * abs(self.share):.1f} %"
        is_unchanged = percentage == "0.0 %"
        change = f"{'lowered' if self.share >= 0 else 'raised'} the squared error of held-out rows by {percentage}"
        if is_unchanged:
            change = "did not change the squared error of held-out rows"
        if self.is_worth_it:
            return f"Columns of numbers are cut into bins where the targets leap: in a quick test that {change}."
        chance = ""
        if self.share >= 0.0 and not is_unchanged:
            chance = ", which may be chance" if self.share >= LEAST_SHARE else ", which is too little"
        return f"Columns of numbers are not cut into bins: in a quick test that {change}{chance}."


NO_TIME = "Columns of numbers are not cut into bins: the time limit is too short for a test whether they help."


def gain_of_bins(X: np.ndarray, scores: np.ndarray, targets: np.ndarray) -> Gain:
    """Return what bins gain on rows that were held out in turn; the edges of bins come from the other rows, too.

    X : (n_rows, n_features), features of rows in random order, without bins
    scores : (n_rows, n_columns), normal scores of the columns that may have bins; NaN for missing cells
    targets : (n_rows, n_outputs), numbers or one-hot classes
    """
    errors = _errors_without_and_with_bins(X, scores, targets)
    before, after = (model[np.argmin(model.mean(axis=1))] for model in errors)
    gains = before - after
    if not gains.any():  # no fold has a bin
        return Gain(0.0, 0.0)
    mean, tiny = float(gains.mean()), float(np.finfo(float).tiny)
    return Gain(mean / max(float(before.mean()), tiny), mean * len(gains) ** 0.5 / max(float(gains.std()), tiny))


def _errors_without_and_with_bins(X: np.ndarray, scores: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the squared errors of each row by models without and with bins, (2, n penalties, n_rows)."""
    rng = np.random.default_rng(SEED)
    scores = scores[:, rng.permutation(scores.shape[1])]
    without = np.hstack([_random_units(X, rng), np.nan_to_num(scores)])
    folds = np.arange(len(X)) % N_FOLDS
    errors = np.empty((2, len(RIDGES), len(X)))

    def try_fold(fold: int) -> None:
        held = folds == fold
        features = np.hstack([without, _bins(scores, targets, ~held)])
        errors[:, :, held] = _held_out_errors(features, without.shape[1], targets, held)

    with ThreadPoolExecutor(min(MOST_AT_ONCE, n_threads_available())) as pool:
        list(pool.map(try_fold, range(N_FOLDS)))
    return errors


def _random_units(X: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the outputs (n_rows, n_units) of a hidden layer of random weights and biases."""
    n_units = min(MOST_UNITS, UNITS_PER_FEATURE * X.shape[1])
    weights = rng.normal(size=(X.shape[1], n_units)) / np.sqrt(X.shape[1])
    return np.maximum(X @ weights + rng.normal(size=n_units), 0.0)


def _bins(scores: np.ndarray, targets: np.ndarray, training: np.ndarray) -> np.ndarray:
    """Return the features of bins whose edges come from the training rows, (n_rows, n_features)."""
    features, n_features = [scores[:, :0]], 0
    for column in scores.T:
        known = training & ~np.isnan(column)
        if known.any() and n_features < MOST_FEATURES:
            edges = leap_edges(column[known], targets[known])
            if len(edges) > 2:
                features.append(bin_features(np.nan_to_num(column)[:, None], edges[:-1], np.diff(edges)))
                n_features += len(edges) - 1
    return np.hstack(features)


def _held_out_errors(features: np.ndarray, n_without: int, targets: np.ndarray, held: np.ndarray) -> np.ndarray:
    """Return the squared errors of held-out rows by ridge regressions on the others, (2, n penalties, n_held).

    One model has the first n_without features, and one has all. Of the factor of Cholesky that solves the second one,
    the leading block is the factor of the first.
    """
    from scipy.linalg import cho_solve, cholesky  # here: predictions need neither, and importing them takes 0.1 s

    means, centre = features[~held].mean(axis=0), targets[~held].mean(axis=0)
    training, tested = features[~held], features[held] - means
    training -= means
    products, right = training.T @ training, training.T @ (targets[~held] - centre)
    diagonal, variances = np.diag_indices_from(products), products.diagonal().copy()
    errors = np.empty((2, len(RIDGES), len(tested)))
    for k, ridge in enumerate(RIDGES):
        products[diagonal] = variances + ridge
        factor = cholesky(products, lower=True, check_finite=False)
        for model, n in enumerate((n_without, len(right))):
            weights = cho_solve((factor[:n, :n], True), right[:n], check_finite=False)
            errors[model, k] = ((targets[held] - centre - tested[:, :n] @ weights) ** 2).sum(axis=1)
    return errors
