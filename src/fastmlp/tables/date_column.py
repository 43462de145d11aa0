"""Columns of dates and times: their cells, and their encoding as the time and its place in day, week and year."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from .base_column import Column, Found, Note
from .cells import HALF, MISSING_TEXTS, Reading, refuse_misfits
from .number_columns import MANY_DISTINCT, NumericEncoding
from .numbers_as_text import ISO_DATE

if TYPE_CHECKING:
    import pandas as pd

    from .training_column import TrainingColumn

MICROSECONDS = 86_400_000_000  # of a day
DATE_CONTENTS = ("datetime64", "datetime", "date")  # pandas' names for cells that are dates


class Cycle(NamedTuple):
    """A period of the calendar.

    days : length; that of the year is the mean over 400 years
    n_waves : number of sine waves: of the period, of its half, of its third. Three tell all days of a week apart
    """

    days: float
    n_waves: int


CYCLES = {"day": Cycle(1.0, 2), "week": Cycle(7.0, 3), "year": Cycle(365.2425, 3)}


@dataclass(frozen=True)
class DateColumn(Column):
    """Encoder of dates and times: the standard score of the time, and sine and cosine of its place in each cycle.

    Times with a time zone count in UTC. A missing cell has zeros, plus an indicator if training had any.
    """

    name: str
    mean: float  # days since 1970-01-01
    std: float
    cycles: tuple[str, ...]  # names of CYCLES
    has_zone: bool
    marks_missing: bool
    kind: ClassVar[str] = "date"
    encoding: ClassVar[str] = "score of the time, sine and cosine of its cycles"
    missing_meaning: ClassVar[str] = "the mean date"
    noun: ClassVar[str] = "dates"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise ValueError(f"column {self.name!r} needs a finite mean and a positive std")
        if not set(self.cycles) <= set(CYCLES):
            raise ValueError(f"column {self.name!r} has cycles other than {', '.join(CYCLES)}")

    @classmethod
    def fit(cls, column: TrainingColumn, encoding: NumericEncoding) -> Found | None:
        if column.kind in DATE_CONTENTS:
            return cls._fit_dates(column)
        may_be_text = column.kind == "category" and (column.against_categories or len(column.distinct) > MANY_DISTINCT)
        if not may_be_text or not column.are_mostly(ISO_DATE):
            return None
        encoder, note = cls._fit_dates(column)
        text = f"holds dates as text, and is used as a column of dates{note and '; it ' + note}"
        return None if encoder is None else (encoder, text)

    @classmethod
    def _fit_dates(cls, column: TrainingColumn) -> Found:
        """Return the encoder of a column with two or more distinct dates, or with missing cells, and a note.

        A cycle is used if training spans it and the dates are at several places of it: from less than one year, nothing
        can be learned about the next one.
        """
        dates, has_zone = read_dates(column.cells)
        days = dates.values[~np.isnan(dates.values)]
        said = dates.as_missing(column.cells, "dates")
        if not len(days) or not dates.is_tolerable:
            return None, f"it {said}"
        span, has_missing = days.max() - days.min(), len(days) < len(column.cells)
        if not span and not has_missing:
            return None, "all of its cells are equal"
        cycles = [key for key, (length, _) in CYCLES.items() if span >= length and np.ptp(np.mod(days, length)) > 1e-9]
        std = float(days.std()) if span else 1.0
        encoder = cls(column.name, float(days.mean()), std, tuple(cycles), has_zone, has_missing)
        return encoder, said if dates.n_bad else ""

    @property
    def waves(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (angular frequencies in radians a day, phases), float64 (n_waves,): a feature is sin(f * days + p)."""
        lengths = [CYCLES[key].days / k for key in self.cycles for k in range(1, CYCLES[key].n_waves + 1)]
        frequencies = 2.0 * np.pi / np.repeat(np.asarray(lengths, np.float64), 2)
        return frequencies, np.tile([0.0, 0.5 * np.pi], len(lengths))

    @property
    def value_names(self) -> list[str]:
        names = [self.name]
        for key in self.cycles:
            for k in range(1, CYCLES[key].n_waves + 1):
                part = key if k == 1 else f"{key} / {k}"
                names += [f"{self.name}: sine of the {part}", f"{self.name}: cosine of the {part}"]
        return names

    def encode(self, series: pd.Series, out: np.ndarray, most_bad: float = HALF) -> list[Note]:
        """Write the features of a column into `out`, and return notes.

        Raises
        ------
        ValueError
            If a fraction most_bad of the cells or more are no dates, or times have a time zone where those of training
            had none, or the reverse.
        """
        dates, has_zone = read_dates(series)
        n, n_bad, missing = len(series), dates.n_bad, np.isnan(dates.values)
        refuse_misfits(series, dates, self.noun, most_bad)
        if has_zone != self.has_zone and not missing.all():
            with_zone, without = ("Training", "this table") if self.has_zone else ("This table", "training")
            raise ValueError(
                f"{with_zone} has times with a time zone in column {self.name!r}, and {without} has times without; "
                "convert one of them."
            )
        frequencies, phases = self.waves
        days = np.where(missing, self.mean, dates.values)
        out[:, 0] = (days - self.mean) / self.std
        waves = np.sin(days[:, None] * frequencies + phases)
        out[:, 1 : 1 + len(phases)] = np.where(missing[:, None], 0.0, waves)
        if self.marks_missing:
            out[:, -1] = missing
        notes = self.misfit_notes(series, dates) if n_bad else []
        return notes + self.missing_notes(int(np.count_nonzero(missing)) - n_bad, n)

    def c_values(self, x: str, file: Any) -> list[str]:
        waves = zip(*(part.tolist() for part in self.waves), strict=True)
        values = [f"((double){x} - {self.mean!r}) / {self.std!r}"]
        return values + [f"sin((double){x} * {frequency!r} + {phase!r})" for frequency, phase in waves]

    def onnx_values(self, graph: Any, x: Any, missing: Any) -> list[Any]:
        values, (frequencies, phases) = [(x - np.float64(self.mean)) / np.float64(self.std)], self.waves
        if len(phases):
            values.append(graph.add("Sin", x * frequencies[None, :] + phases[None, :]))
        zero = np.zeros((), np.float64)
        return [graph.cast(graph.add("Where", missing, zero, value), graph.dtype) for value in values]


# ---- cells


def read_dates(series: pd.Series) -> tuple[Reading, bool]:
    """Read the cells of a column as dates: pandas' and Python's types, and text such as 2020-12-31 or 2020-12-31 23:59.

    Returns (days since 1970-01-01, of times with a time zone in UTC; whether the times have a time zone).

    Raises
    ------
    ValueError
        If some cells have a time zone and others none.
    """
    import pandas as pd

    missing = np.array(series.isna())
    if not pd.api.types.is_datetime64_any_dtype(series):
        codes, distinct = pd.factorize(series.astype(object))
        is_marker = [isinstance(cell, str) and cell.strip().lower() in MISSING_TEXTS for cell in distinct]
        missing = np.array([*is_marker, True])[codes]  # code -1, a missing cell, selects the last one
        cells = pd.Series([_date_or_iso(cell) for cell in distinct] + [None], dtype=object)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of pandas 2, which returns objects for several zones
                parsed = pd.to_datetime(cells, errors="coerce", format="ISO8601")
            if not pd.api.types.is_datetime64_any_dtype(parsed):
                raise ValueError
        except (TypeError, ValueError):
            raise ValueError(
                f"Column {series.name!r} holds times with a time zone and without, or of several; convert all to one."
            ) from None
        series = parsed.iloc[codes]
    has_zone = getattr(series.dt, "tz", None) is not None
    if has_zone:
        series = series.dt.tz_convert("UTC").dt.tz_localize(None)
    known = series.notna().to_numpy()
    days = np.full(len(series), np.nan)
    days[known] = series[known].to_numpy("datetime64[us]").astype(np.int64) / MICROSECONDS
    return Reading(days, ~known & ~missing), has_zone


def _date_or_iso(cell: object) -> object:
    """Return a cell that is a date, text with a date in ISO's form with two digits for month and day, or None."""
    if isinstance(cell, (date, np.datetime64)):
        return cell
    if not isinstance(cell, str) or not ISO_DATE.fullmatch(cell.strip()):
        return None
    year, month, rest = cell.strip().split("-", 2)
    return f"{year}-{month:>02}-{rest if rest[1:2].isdigit() else '0' + rest}"
