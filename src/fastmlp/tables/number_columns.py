"""Columns of numbers: a score, bins if they help, and how both are chosen."""

from __future__ import annotations

import heapq
import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
from scipy.special import ndtri

from ..errors import unknown_name
from .base_column import Column, Found, Note
from .cells import ANY, OF_PIECES, Misfits, count_misfits, holds_truths, numbers_in

if TYPE_CHECKING:
    import pandas as pd

    from .training_column import TrainingColumn

NUMERIC_ENCODINGS = ("auto", "quantile")
MANY_DISTINCT = 32  # columns with more distinct numbers have quantiles and bins
# One stored quantile per 30 rows, at least 10 and at most 1000: code of Gorishniy et al. 2021, arXiv:2106.11959.
ROWS_PER_QUANTILE, MIN_QUANTILES, MAX_QUANTILES = 30, 10, 1000
BLOCK = 4096  # rows whose bins are computed at once: their numbers stay in the cache
MOST_BINS = 48  # of a column
LEAST_BIN_ROWS = 16  # of a bin whose edge a tree has chosen
LEAST_GAIN = 1e-9  # as a fraction of the targets' sum of squares: less is rounding
DEGREE = 2  # of the polynomial of the score that stands for what a net learns of a column by itself
MOST_CLASSES = 32  # that a tree tells apart; rarer ones count as one class, so that memory stays bounded


@dataclass(frozen=True)
class NumericEncoding:
    """Encoding of columns of numbers.

    kind : one of NUMERIC_ENCODINGS. "auto" standardises columns of up to 32 distinct numbers. Columns of more have a
        normal score and bins where the targets leap, if a trial finds that these are worth it (bin_trial.py). With
        "quantile", all columns have a normal score and no bins
    targets : (n_rows, n_outputs) numbers or one-hot classes of the training rows; without them there are no bins
    trial_seconds : that the trial may take; with fewer it looks at fewer rows, or is left out
    """

    kind: str = "auto"
    targets: np.ndarray | None = None
    trial_seconds: float = math.inf

    def __post_init__(self) -> None:
        if self.kind not in NUMERIC_ENCODINGS:
            raise unknown_name("numeric_encoding", self.kind, NUMERIC_ENCODINGS)

    @property
    def tries_bins(self) -> bool:
        """Whether a trial decides on the bins of a table."""
        return self.kind == "auto" and self.targets is not None

    def of(self, name: str, values: np.ndarray) -> NumberColumn:
        """Return the encoder of a column of numbers, float64 (n_rows,) with NaN for missing cells."""
        known = ~np.isnan(values)
        present, marks_missing = values[known], not known.all()
        if self.kind == "auto" and len(np.unique(present)) <= MANY_DISTINCT:
            return StandardColumn.of(name, present, marks_missing)
        column = QuantileColumn.of(name, present, marks_missing)
        if self.kind == "quantile" or self.targets is None:
            return column
        edges = leap_edges(column.scores(present), self.targets[known])
        if len(edges) <= 2:  # one bin would be the score again
            return column
        return PiecewiseLinearColumn(name, column.quantiles, marks_missing, tuple(edges.tolist()))


WITHOUT_TARGETS = NumericEncoding()


class NumberColumn(Column):
    """Encoder of a numeric column: a score, and further features of it if a subclass has them.

    Cells that are no numbers count as missing; those have the score 0.
    """

    noun: ClassVar[str] = "numbers"

    @classmethod
    def fit(cls, column: TrainingColumn, encoding: NumericEncoding) -> Found | None:
        is_text = column.kind == "category" and bool(column.against_categories) and column.has_numbers_only
        if column.kind != "number" and not is_text:
            return None
        values, not_numbers = numbers_in(column.sample, reads_booleans=False).values, column.not_numbers
        if values.min() == values.max():  # NaN is not equal to itself
            return None, "all of its cells are equal"
        note = not_numbers.as_missing("numbers") if not_numbers is not None and not_numbers.n_bad else ""
        return encoding.of(column.name, values), (
            "holds numbers as text, and is used as a column of numbers" if is_text else note
        )

    @abstractmethod
    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return the numbers of a column on the scale of the features, with NaN for missing cells."""

    @property
    def value_names(self) -> list[str]:
        return [self.name]

    def write_features(self, scores: np.ndarray, out: np.ndarray) -> None:
        """Write the features of finite scores, float64 (n_rows,), into the first columns of `out`."""
        out[:, 0] = scores

    def encode(self, series: pd.Series, out: np.ndarray) -> list[Note]:
        """Write the features of a column into `out`, and return notes.

        Raises
        ------
        ValueError
            If half of the cells or more are not numbers and the column is not a piece of one, or a number is infinite
            or far too large.
        """
        # As in training, where the text "true" among numbers is none; a column of truth values may stand for 1 and 0.
        is_piece, notes = OF_PIECES.get() is not None, list[Note]()
        reading = numbers_in(series, ANY if is_piece else 0.5, reads_booleans=holds_truths(series))
        if is_piece or reading.n_bad:
            misfits = Misfits.of(series, reading)
            count_misfits(self.name, self.noun, misfits)
            if reading.n_bad:
                notes.append(Note(f"Column {self.name!r} {misfits.as_missing(self.noun)}.", True))
        values, missing = reading.values, np.isnan(reading.values)
        n_missing = int(np.count_nonzero(missing))
        with np.errstate(over="ignore"):
            scores = self.scores(values)
            self.write_features(np.where(missing, 0.0, scores) if n_missing else scores, out)
        if not np.isfinite(out[:, 0]).all():
            raise ValueError(
                f"Column {self.name!r} holds {values[~np.isfinite(out[:, 0])][0]:g}, which is too far from the numbers "
                "of the training table to be scaled; correct or empty such cells."
            )
        if self.marks_missing:
            out[:, -1] = missing
        return notes + self.missing_notes(n_missing - reading.n_bad, len(series)) if n_missing else notes

    @abstractmethod
    def c_score(self, x: str, file: Any) -> str:
        """Return the C expression of the score of a cell that is not missing."""

    def c_values(self, x: str, file: Any) -> list[str]:
        return [self.c_score(x, file)]

    @abstractmethod
    def onnx_score(self, graph: Any, x: Any, missing: Any) -> Any:
        """Return the scores of cells as a value in float64, whatever it is for missing ones."""

    def onnx_values(self, graph: Any, x: Any, missing: Any) -> list[Any]:
        scores = graph.add("Where", missing, np.zeros((), np.float64), self.onnx_score(graph, x, missing))
        return [graph.cast(value, graph.dtype) for value in (scores, *self.onnx_bins(graph, scores))]

    def onnx_bins(self, graph: Any, scores: Any) -> list[Any]:
        """Return the features of the bins as values in float64; none without bins."""
        return []


@dataclass(frozen=True)
class StandardColumn(NumberColumn):
    """Standardisation: (x - mean) / std of the training data; a missing cell counts as the mean."""

    name: str
    mean: float
    std: float
    marks_missing: bool
    kind: ClassVar[str] = "standard"
    encoding: ClassVar[str] = "standard score"
    missing_meaning: ClassVar[str] = "the mean"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise ValueError(f"column {self.name!r} needs a finite mean and a positive std")

    @classmethod
    def of(cls, name: str, present: np.ndarray, marks_missing: bool) -> StandardColumn:
        constant = present.min() == present.max()
        return cls(name, float(present.mean()), 1.0 if constant else float(present.std()), marks_missing)

    def scores(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.std

    def c_score(self, x: str, file: Any) -> str:
        return f"((double){x} - {self.mean!r}) / {self.std!r}"

    def onnx_score(self, graph: Any, x: Any, missing: Any) -> Any:
        return (x - np.float64(self.mean)) / np.float64(self.std)


@dataclass(frozen=True)
class QuantileColumn(NumberColumn):
    """Quantile transform to a normal distribution: a piecewise linear map of training quantiles to normal quantiles.

    The transform is insensitive to skew and outliers: results lie within ±3.3, and numbers outside the training range
    are clipped to it. Equal numbers get the score of their mean rank. A missing cell counts as the median.
    """

    name: str
    quantiles: tuple[float, ...]  # at evenly spaced probabilities from 0 to 1; ascending, with repetitions
    marks_missing: bool
    kind: ClassVar[str] = "quantile"
    encoding: ClassVar[str] = "normal score"
    missing_meaning: ClassVar[str] = "the median"

    def __post_init__(self) -> None:
        knots = np.asarray(self.quantiles, dtype=np.float64)
        if knots.ndim != 1 or len(knots) < 2 or not np.isfinite(knots).all() or (np.diff(knots) < 0).any():
            raise ValueError(f"column {self.name!r} needs ascending finite quantiles")

    @classmethod
    def of(cls, name: str, present: np.ndarray, marks_missing: bool) -> QuantileColumn:
        n_quantiles = min(max(len(present) // ROWS_PER_QUANTILE, MIN_QUANTILES), MAX_QUANTILES)
        quantiles = np.quantile(present, np.linspace(0.0, 1.0, n_quantiles))
        # np.quantile interpolates, and rounding may break the ascending order by one unit in the last place
        return cls(name, tuple(np.maximum.accumulate(quantiles).tolist()), marks_missing)

    @cached_property
    def knots(self) -> tuple[np.ndarray, np.ndarray]:
        """(numbers, scores), float64 (n_knots,): the points of the piecewise linear map, numbers ascending."""
        knots, first, counts = np.unique(self.quantiles, return_index=True, return_counts=True)
        n = len(self.quantiles)
        probability = (first + 0.5 * (counts - 1)) / (n - 1)
        return knots, ndtri(probability.clip(0.5 / n, 1 - 0.5 / n))  # ndtri(0) is not finite

    def scores(self, values: np.ndarray) -> np.ndarray:
        return np.interp(values, *self.knots)

    def c_score(self, x: str, file: Any) -> str:
        knots, scores = file.array("knots", self.knots[0]), file.array("scores", self.knots[1])
        return f"{file.function('quantile')}((double){x}, {knots}, {scores}, {len(self.knots[0])})"

    def onnx_score(self, graph: Any, x: Any, missing: Any) -> Any:
        return graph.interpolated(graph.add("Where", missing, np.zeros((), np.float64), x), *self.knots)


@dataclass(frozen=True)
class PiecewiseLinearColumn(QuantileColumn):
    """Normal score, as of QuantileColumn, and its place among bins (Gorishniy et al. 2022, arXiv:2203.05556).

    The feature of a bin is 0 for scores below the bin, 1 for scores above it, and rises linearly inside: a layer after
    it computes a piecewise linear function of the score, with a slope of its own for each bin. Numbers outside of the
    training range are clipped to it, and a missing cell counts as the median, as for the score.

    edges : scores at which bins begin and end; ascending, without repetitions
    """

    edges: tuple[float, ...]
    kind: ClassVar[str] = "piecewise_linear"
    encoding: ClassVar[str] = "normal score and bins"

    def __post_init__(self) -> None:
        super().__post_init__()
        edges = np.asarray(self.edges, dtype=np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            raise ValueError(f"column {self.name!r} needs ascending finite edges of bins")

    @property
    def n_bins(self) -> int:
        return len(self.edges) - 1

    @property
    def value_names(self) -> list[str]:
        return [self.name, *(f"{self.name} in bin {k}" for k in range(1, self.n_bins + 1))]

    @cached_property
    def bin_bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """(lower edges, widths) of the bins, float64 (n_bins,)."""
        edges = np.asarray(self.edges, dtype=np.float64)
        return edges[:-1], np.diff(edges)

    def write_features(self, scores: np.ndarray, out: np.ndarray) -> None:
        """Write the features of finite scores: 1 for the bins below a score, and its place within its own bin.

        The other bins of a row need no arithmetic: `bin_features` gives exactly 1 and 0.
        """
        super().write_features(scores, out)
        of_bins, (low, width) = out[:, 1 : 1 + self.n_bins], self.bin_bounds
        numbers = np.arange(self.n_bins, dtype=np.int32)
        for start in range(0, len(scores), BLOCK):
            part, of_part = scores[start : start + BLOCK], of_bins[start : start + BLOCK]
            own = np.searchsorted(low[1:], part, side="right")
            of_part[:] = numbers < own.astype(np.int32)[:, None]
            of_part[np.arange(len(part)), own] = bin_features(part, low[own], width[own])

    def without_bins(self) -> QuantileColumn:
        return QuantileColumn(self.name, self.quantiles, self.marks_missing)

    def c_lines(self, x: str, place: int, file: Any) -> list[str]:
        score, edges = self.c_score(x, file), file.array("edges", np.asarray(self.edges))
        call = f"{file.function('bins')}(isnan({x}) ? 0.0 : {score}, {edges}, {self.n_bins}, f + {place});"
        return [call, self.c_mark(x, place + 1 + self.n_bins)] if self.marks_missing else [call]

    def onnx_bins(self, graph: Any, scores: Any) -> list[Any]:
        low, width = self.bin_bounds
        places = (scores - low[None, :]) / width[None, :]
        return [graph.add("Clip", places, np.zeros((), np.float64), np.ones((), np.float64))]


# ---- edges of bins


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
    begin, end = np.searchsorted(places, [first + LEAST_BIN_ROWS, last - LEAST_BIN_ROWS + 1])
    tried = places[begin:end]
    if not len(tried):
        return []
    left, right, whole = sums[tried] - sums[first], sums[last] - sums[tried], sums[last] - sums[first]
    gains = (left * left).sum(axis=1) / (tried - first) + (right * right).sum(axis=1) / (last - tried)
    best = int(np.argmax(gains))
    gain = float(gains[best] - (whole * whole).sum() / (last - first))
    return [_Split(-gain, int(tried[best]), first, last)] if gain > least_gain else []
