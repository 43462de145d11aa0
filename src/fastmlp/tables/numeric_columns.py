"""Encoders of columns of numbers: immutable, and fitted to the numbers of training."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.special import ndtri

from .bad_cells import BadCells
from .bin_edges import bin_features
from .cells_of_pieces import count_cells, is_in_pieces
from .column_notes import Note, missing_note
from .columns_as_numbers import ANY, holds_truths, tolerated_numbers

if TYPE_CHECKING:
    import pandas as pd

# One stored quantile per 30 rows, at least 10 and at most 1000: code of Gorishniy et al. 2021, arXiv:2106.11959.
ROWS_PER_QUANTILE, MIN_QUANTILES, MAX_QUANTILES = 30, 10, 1000
BLOCK = 4096  # rows whose bins are computed at once: their numbers stay in the cache


class NumericColumn(ABC):
    """Encoder of a numeric column: a score, further features of it if a subclass has them, and an indicator of missing
    cells if training had any.
    """

    name: str
    marks_missing: bool

    missing_meaning: ClassVar[str]  # value that a missing cell is encoded as, for messages

    @abstractmethod
    def scores(self, values: np.ndarray) -> np.ndarray:
        """Return the numbers of a column on the scale of the features, with NaN for missing cells."""

    @property
    def feature_names(self) -> list[str]:
        return [self.name, f"{self.name} is missing"] if self.marks_missing else [self.name]

    def write_features(self, scores: np.ndarray, out: np.ndarray) -> None:
        """Write the features of finite scores, float64 (n_rows,), into the first columns of `out`."""
        out[:, 0] = scores

    def encode(self, series: pd.Series, out: np.ndarray) -> list[Note]:
        """Write the features of a column into `out`; a missing cell has the score 0.

        Cells that are not numbers count as missing if they are fewer than half, or if the column is a piece of one.

        series : the column
        out : (n_rows, n features of this column), written

        Returns
        -------
        list of Note
            Differences from the training table.

        Raises
        ------
        ValueError
            If half of the cells or more are not numbers, or a number is infinite or far too large.
        """
        # As in training, where the text "true" among numbers is none; a column of truth values may stand for 1 and 0.
        most_bad = ANY if is_in_pieces() else 0.5
        values, bad = tolerated_numbers(series, most_bad, reads_booleans=holds_truths(series))
        count_cells(self.name, "numbers", series, bad, int(np.count_nonzero(bad | ~np.isnan(values))))
        n_missing = self.encode_numbers(values, out)
        return self._notes(series, bad, n_missing)

    def encode_numbers(self, values: np.ndarray, out: np.ndarray) -> int:
        """Write the features of numbers, float64 (n_rows,), into `out`, and return how many are missing, NaN.

        Raises
        ------
        ValueError
            If a number is infinite or far too large.
        """
        missing = np.isnan(values)
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
        return n_missing

    def _notes(self, series: pd.Series, bad: np.ndarray, n_missing: int) -> list[Note]:
        n, n_bad = len(series), int(np.count_nonzero(bad))
        notes = []
        if n_bad:
            notes.append(Note(f"Column {self.name!r} {BadCells.of(series, bad, n).as_missing('numbers')}.", True))
        if n_missing > n_bad:
            notes += missing_note(self.name, n_missing - n_bad, n, self.marks_missing, self.missing_meaning)
        return notes


@dataclass(frozen=True)
class StandardColumn(NumericColumn):
    """Standardisation: (x - mean) / std of the training data; a missing cell counts as the mean."""

    name: str
    mean: float
    std: float
    marks_missing: bool
    kind: ClassVar[str] = "standard"
    encoding: ClassVar[str] = "standard score"  # for notes
    missing_meaning: ClassVar[str] = "the mean"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise ValueError(f"column {self.name!r} needs a finite mean and a positive std")

    @classmethod
    def fit(cls, name: str, present: np.ndarray, marks_missing: bool) -> StandardColumn:
        constant = present.min() == present.max()
        return cls(name, float(present.mean()), 1.0 if constant else float(present.std()), marks_missing)

    def scores(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.std


@dataclass(frozen=True)
class QuantileColumn(NumericColumn):
    """Quantile transform to a normal distribution: a piecewise linear map of training quantiles to normal quantiles.

    The transform is insensitive to skew and outliers: results lie within ±3.3, and numbers outside the training range
    are clipped to it. Equal numbers get the score of their mean rank. A missing cell counts as the median.
    """

    name: str
    quantiles: tuple[float, ...]  # at evenly spaced probabilities from 0 to 1; ascending, with repetitions
    marks_missing: bool
    kind: ClassVar[str] = "quantile"
    encoding: ClassVar[str] = "normal score"  # for notes
    missing_meaning: ClassVar[str] = "the median"

    def __post_init__(self) -> None:
        knots = np.asarray(self.quantiles, dtype=np.float64)
        if knots.ndim != 1 or len(knots) < 2 or not np.isfinite(knots).all() or (np.diff(knots) < 0).any():
            raise ValueError(f"column {self.name!r} needs ascending finite quantiles")

    @classmethod
    def fit(cls, name: str, present: np.ndarray, marks_missing: bool) -> QuantileColumn:
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
    encoding: ClassVar[str] = "normal score and bins"  # for notes

    def __post_init__(self) -> None:
        super().__post_init__()
        edges = np.asarray(self.edges, dtype=np.float64)
        if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
            raise ValueError(f"column {self.name!r} needs ascending finite edges of bins")

    @property
    def n_bins(self) -> int:
        return len(self.edges) - 1

    @property
    def feature_names(self) -> list[str]:
        first, *further = super().feature_names
        return [first, *(f"{self.name} in bin {k}" for k in range(1, self.n_bins + 1)), *further]

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
