"""Columns of numbers: a score, bins if they help, and how both are chosen."""

from __future__ import annotations

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from scipy.special import ndtri

from ..errors import unknown_name
from .base_column import Column, Found, Note
from .bins import bin_features, leap_edges
from .cells import HALF, holds_truths, numbers_in

if TYPE_CHECKING:
    import pandas as pd

    from .training_column import TrainingColumn

NUMERIC_ENCODINGS = ("auto", "quantile")
MANY_DISTINCT = 32  # columns with more distinct numbers have quantiles and bins
# One stored quantile per 30 rows, at least 10 and at most 1000: code of Gorishniy et al. 2021, arXiv:2106.11959.
ROWS_PER_QUANTILE, MIN_QUANTILES, MAX_QUANTILES = 30, 10, 1000
BLOCK = 4096  # rows whose bins are computed at once: their numbers stay in the cache


@dataclass(frozen=True)
class NumericEncoding:
    """Encoding of columns of numbers.

    kind : one of NUMERIC_ENCODINGS. "auto" standardises columns of up to 32 distinct numbers. Columns of more have a
        normal score and bins where the targets leap, if a trial finds that these are worth it (bins.py). With
        "quantile", all columns have a normal score and no bins
    targets : (n_rows, n_outputs) numbers or one-hot classes of the training rows; without them there are no bins
    has_time : whether there is time for the trial; without it there are no bins
    """

    kind: str = "auto"
    targets: np.ndarray | None = None
    has_time: bool = True

    def __post_init__(self) -> None:
        if self.kind not in NUMERIC_ENCODINGS:
            raise unknown_name("numeric_encoding", self.kind, NUMERIC_ENCODINGS)

    @property
    def tries_bins(self) -> bool:
        """Whether a trial decides on the bins of a table."""
        return self.kind == "auto" and self.targets is not None

    def of(self, name: str, values: np.ndarray) -> NumberColumn:
        """Return the encoder of a column of numbers; values : float64 (n_rows,), with NaN for missing cells"""
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
        reading = column.texts_as_numbers
        are_numbers = reading.n_present > 0 and not reading.n_bad
        is_text = column.kind == "category" and are_numbers and bool(column.against_categories and not column.thousands)
        if column.kind != "number" and not is_text:
            return None
        values = numbers_in(column.cells, reads_booleans=False).values
        if values.min() == values.max():  # NaN is not equal to itself
            return None, "all of its cells are equal"
        note = "holds numbers as text, and is used as a column of numbers" if is_text else ""
        if reading.n_bad:
            note = reading.as_missing(column.cells, "numbers")
        return encoding.of(column.name, values), note

    @abstractmethod
    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return the numbers of a column on the scale of the features, with NaN for missing cells."""

    @property
    def value_names(self) -> list[str]:
        return [self.name]

    def write_features(self, scores: np.ndarray, out: np.ndarray) -> None:
        """Write the features of finite scores, float64 (n_rows,), into the first columns of `out`."""
        out[:, 0] = scores

    def encode(self, series: pd.Series, out: np.ndarray, most_bad: float = HALF) -> list[Note]:
        """Write the features of a column into `out`, and return notes.

        Raises
        ------
        ValueError
            If a fraction most_bad of the cells or more are not numbers, or a number is infinite or far too large.
        """
        # As in training, where the text "true" among numbers is none; a column of truth values may stand for 1 and 0.
        reading = numbers_in(series, most_bad, reads_booleans=holds_truths(series))
        notes = self.misfit_notes(series, reading) if reading.n_bad else []
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
