"""Interpretation of table cells as dates and times."""

from __future__ import annotations

import re
import warnings
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from .cells import MISSING_TEXTS, Reading

if TYPE_CHECKING:
    import pandas as pd

ISO_DATE = re.compile(r"\d{4}-\d\d?-\d\d?([ T]\d\d:\d\d.*)?", re.ASCII)
MICROSECONDS = 86_400_000_000  # of a day


class Dates(Reading):
    """A column read as dates.

    values : float64 (n_rows,)    days since 1970-01-01, of times with a time zone in UTC; NaN where there is no date
    has_zone : whether the times have a time zone
    """

    def __init__(self, values: np.ndarray, bad: np.ndarray, has_zone: bool):
        super().__init__(values, bad)
        self.has_zone = has_zone


def read_dates(series: pd.Series) -> Dates:
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
    return Dates(days, ~known & ~missing, has_zone)


def _date_or_iso(cell: object) -> object:
    """Return a cell that is a date, text with a date in ISO's form with two digits for month and day, or None."""
    if isinstance(cell, (date, np.datetime64)):
        return cell
    if not isinstance(cell, str) or not ISO_DATE.fullmatch(cell.strip()):
        return None
    year, month, rest = cell.strip().split("-", 2)
    return f"{year}-{month:>02}-{rest if rest[1:2].isdigit() else '0' + rest}"
