"""Bins of a column of numbers: features, and edges from a small decision tree on the targets or from quantiles.

bench/log/tables.md#tabular-bins has the accuracy with each.
"""

from __future__ import annotations

import heapq
from typing import NamedTuple

import numpy as np

LEAST_ROWS = 16  # of a bin whose edge a tree has chosen
LEAST_GAIN = 1e-9  # as a fraction of the targets' sum of squares: less is rounding
DEGREE = 2  # of the polynomial of the score that stands for what a net learns of a column by itself
MOST_CLASSES = 32  # that a tree tells apart; rarer ones count as one class, so that memory stays bounded


class _Split(NamedTuple):
    """A place to split rows first to last, in order of x; splits with the largest gain come first in a heap.

    rank : the gain times -1
    place : row that begins the right part
    """

    rank: float
    place: int
    first: int
    last: int


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


def quantile_edges(x: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the edges of bins that hold about the same number of rows: distinct quantiles of x, ascending.

    x : (n_rows,), without missing cells; at least two distinct numbers
    n_bins : largest number of bins; there are fewer if numbers repeat
    """
    return np.unique(np.quantile(x, np.linspace(0.0, 1.0, n_bins + 1)))


def leap_edges(scores: np.ndarray, targets: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the edges of bins where the targets leap or turn: those of a tree on what a parabola leaves of them.

    A column whose targets are a smooth function of the score has one bin. A split counts if it gains more than the
    logarithm of the number of rows times the variance of the rest, the price of a parameter in Schwarz's criterion.

    scores : (n_rows,), normal scores of a column
    targets : (n_rows, n_outputs), numbers or one-hot classes
    n_bins : largest number of bins
    """
    powers = np.polynomial.legendre.legvander(scores / max(1.0, float(np.abs(scores).max())), DEGREE)
    rest = targets - powers @ np.linalg.lstsq(powers, targets)[0]
    return tree_edges(scores, rest, n_bins, np.log(len(scores)) * float((rest * rest).sum()) / len(scores))


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
    heap: list[_Split] = []
    chosen: list[int] = []
    for part in _best_split(sums, places, 0, len(x), least_gain):
        heapq.heappush(heap, part)
    while heap and len(chosen) < n_bins - 1:
        split = heapq.heappop(heap)
        chosen.append(split.place)
        for first, last in ((split.first, split.place), (split.place, split.last)):
            for part in _best_split(sums, places, first, last, least_gain):
                heapq.heappush(heap, part)
    right = np.sort(np.array(chosen, np.int64))
    inner = 0.5 * (x[right - 1] + x[right])
    return np.unique(np.concatenate([x[:1], inner, x[-1:]]))


def _best_split(sums: np.ndarray, places: np.ndarray, first: int, last: int, least_gain: float) -> list[_Split]:
    """Return the best split of rows first to last in a list, which is empty if there is none.

    sums : (n_rows + 1, n_outputs) sums of the targets before each row
    places : rows that may begin a right part, ascending
    """
    begin, end = np.searchsorted(places, [first + LEAST_ROWS, last - LEAST_ROWS + 1])
    tried = places[begin:end]
    if not len(tried):
        return []
    left, right, whole = sums[tried] - sums[first], sums[last] - sums[tried], sums[last] - sums[first]
    gains = (left * left).sum(axis=1) / (tried - first) + (right * right).sum(axis=1) / (last - tried)
    best = int(np.argmax(gains))
    gain = float(gains[best] - (whole * whole).sum() / (last - first))
    return [_Split(-gain, int(tried[best]), first, last)] if gain > least_gain else []
