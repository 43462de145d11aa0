"""Encoding of columns of dates and times: the time itself, and its place in the day, the week and the year."""

from __future__ import annotations

import math
import re
import warnings
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np

from .bad_cells import BadCells
from .cells import MISSING_TEXTS, examples
from .cells_of_pieces import count_cells, is_in_pieces, no_such_cells
from .column_notes import Note, missing_note

if TYPE_CHECKING:
    import pandas as pd

DATE_CONTENTS = ("datetime64", "datetime", "date")  # pandas' names for cells that are dates
ISO_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T]\d\d:\d\d.*)?", re.ASCII)
MICROSECONDS = 86_400_000_000  # of a day


class Cycle(NamedTuple):
    """A period of the calendar.

    days : length; that of the year is the mean over 400 years
    n_waves : number of sine waves: of the period, of its half, of its third. Three tell all days of a week apart
    """

    days: float
    n_waves: int


CYCLES = {"day": Cycle(1.0, 2), "week": Cycle(7.0, 3), "year": Cycle(365.2425, 3)}


class _Dates(NamedTuple):
    """A column read as dates.

    days : float64 (n_rows,)    days since 1970-01-01, in UTC if the column has a time zone; NaN where there is no date
    bad : bool (n_rows,)        whether a cell is present, but no date
    has_zone : whether the times have a time zone
    """

    days: np.ndarray
    bad: np.ndarray
    has_zone: bool

    def bad_cells(self, series: pd.Series) -> BadCells:
        return BadCells.of(series, self.bad, int(np.count_nonzero(~np.isnan(self.days) | self.bad)))


def read_dates(series: pd.Series) -> _Dates:
    """Read the cells of a column as dates: pandas' and Python's types, and text such as 2020-12-31 or 2020-12-31 23:59.

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
    return _Dates(days, ~known & ~missing, has_zone)


def _date_or_iso(cell: object) -> object:
    """Return a cell that is a date, text with a date in ISO's form with two digits for month and day, or None."""
    if isinstance(cell, (date, np.datetime64)):
        return cell
    if not isinstance(cell, str) or not ISO_DATE.fullmatch(cell.strip()):
        return None
    year, month, rest = cell.strip().split("-", 2)
    return f"{year}-{month:>02}-{rest if rest[1:2].isdigit() else '0' + rest}"


@dataclass(frozen=True)
class DateColumn:
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
    encoding: ClassVar[str] = "score of the time, sine and cosine of its cycles"  # for notes
    missing_meaning: ClassVar[str] = "the mean date"

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise ValueError(f"column {self.name!r} needs a finite mean and a positive std")
        if not set(self.cycles) <= set(CYCLES):
            raise ValueError(f"column {self.name!r} has cycles other than {', '.join(CYCLES)}")

    @classmethod
    def fit(cls, name: str, dates: _Dates) -> DateColumn:
        """Return the encoder of a column with two or more distinct dates, or with missing cells.

        A cycle is used if training spans it and the dates are at several places of it: from less than one year, nothing
        can be learned about the next one.
        """
        days = dates.days[~np.isnan(dates.days)]
        span = days.max() - days.min()
        cycles = [key for key, (length, _) in CYCLES.items() if span >= length and np.ptp(np.mod(days, length)) > 1e-9]
        std = float(days.std()) if span else 1.0
        return cls(name, float(days.mean()), std, tuple(cycles), dates.has_zone, len(days) < len(dates.days))

    @property
    def waves(self) -> tuple[np.ndarray, np.ndarray]:
        """Return (angular frequencies in radians a day, phases), float64 (n_waves,): a feature is sin(f * days + p)."""
        lengths = [CYCLES[key].days / k for key in self.cycles for k in range(1, CYCLES[key].n_waves + 1)]
        frequencies = 2.0 * np.pi / np.repeat(np.asarray(lengths, np.float64), 2)
        return frequencies, np.tile([0.0, 0.5 * np.pi], len(lengths))

    @property
    def feature_names(self) -> list[str]:
        names = [self.name]
        for key in self.cycles:
            for k in range(1, CYCLES[key].n_waves + 1):
                part = key if k == 1 else f"{key} / {k}"
                names += [f"{self.name}: sine of the {part}", f"{self.name}: cosine of the {part}"]
        return [*names, f"{self.name} is missing"] if self.marks_missing else names

    def encode(self, series: pd.Series, out: np.ndarray) -> list[Note]:
        """Write the features of a column into `out`.

        series : the column
        out : (n_rows, n features of this column), written

        Returns
        -------
        list of Note
            Differences from the training table.

        Raises
        ------
        ValueError
            If half of the cells or more are no dates, or times have a time zone where those of training had none, or
            the reverse.
        """
        days, bad, has_zone = read_dates(series)
        n, n_bad, missing = len(series), int(np.count_nonzero(bad)), np.isnan(days)
        n_present = n_bad + int(np.count_nonzero(~missing))
        count_cells(self.name, "dates", series, bad, n_present)
        if n_bad and 2 * n_bad >= n_present and not is_in_pieces():
            raise no_such_cells(self.name, "dates", examples(series, bad), n_bad, n)
        if has_zone != self.has_zone and not missing.all():
            with_zone, without = ("Training", "this table") if self.has_zone else ("This table", "training")
            raise ValueError(
                f"{with_zone} has times with a time zone in column {self.name!r}, and {without} has times without; "
                "convert one of them."
            )
        frequencies, phases = self.waves
        days = np.where(missing, self.mean, days)
        out[:, 0] = (days - self.mean) / self.std
        waves = np.sin(days[:, None] * frequencies + phases)
        out[:, 1 : 1 + len(phases)] = np.where(missing[:, None], 0.0, waves)
        if self.marks_missing:
            out[:, -1] = missing
        notes = []
        if n_bad:
            notes.append(Note(f"Column {self.name!r} {BadCells.of(series, bad, n).as_missing('dates')}.", True))
        if (n_missing := int(np.count_nonzero(missing)) - n_bad) > 0:
            notes += missing_note(self.name, n_missing, n, self.marks_missing, self.missing_meaning)
        return notes


def fit_dates(series: pd.Series, cells: BadCells | None = None) -> tuple[DateColumn | None, str]:
    """Return (encoder, note) for a column of dates: encoder None, and the reason as the note, if it cannot be used.

    cells : BadCells of all rows, of which the column is a part; None if it has all
    """
    dates = read_dates(series)
    n_known = int(np.count_nonzero(~np.isnan(dates.days)))
    cells = dates.bad_cells(series) if cells is None else cells
    if not n_known or not cells.is_tolerable:
        return None, f"it {cells.as_missing('dates')}"
    if n_known == len(series) and np.nanmin(dates.days) == np.nanmax(dates.days):
        return None, "all of its cells are equal"
    return DateColumn.fit(str(series.name), dates), cells.as_missing("dates") if cells.n_bad else ""
