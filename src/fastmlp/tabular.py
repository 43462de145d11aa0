"""Tables: reading CSV and Parquet files, and the preprocessing that is learned on one table and applied to others.

Needs pandas (the extra `table`), imported only when a table is read or encoded.
"""

from __future__ import annotations

import gzip
import re
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .columns import CategoryColumn, Column, column_from_dict, column_to_dict, fit_column
from .errors import install_command
from .targets import Target

if TYPE_CHECKING:
    import pandas as pd

CSV_ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
PARQUET_ENDINGS = (".parquet", ".pq")
ROWS_TRIED = 200  # of a CSV file, to see which mark its numbers have


def import_pandas() -> Any:
    """pandas, or an ImportError that says how to install it."""
    try:
        import pandas
    except ImportError:
        raise ImportError(f"Tables need pandas, which is not installed: {install_command('table')}.") from None
    return pandas


def check_ending(path: Path) -> str:
    """The name in small letters, of a file that holds a table; a ValueError for another one."""
    name, endings = path.name.lower(), CSV_ENDINGS + PARQUET_ENDINGS
    if not name.endswith(endings):
        raise ValueError(f"A table should be a file ending in {', '.join(endings)}, but it is {str(path)!r}.")
    return name


def read_table(path: str | Path, text_columns: Iterable[str] = ()) -> pd.DataFrame:
    """Read a CSV (comma, semicolon or tab; decimal point or comma; also gzipped) or Parquet file with one header line.

    Empty cells, "NA", "NaN", "null" and "?" are missing. Columns named in `text_columns` stay text even where every
    cell looks like a number.

    Returns
    -------
    pandas.DataFrame
        With at least one row.

    Raises
    ------
    ImportError
        If pandas (or pyarrow, for Parquet) is not installed.
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file cannot be read as a table, or has no rows.
    """
    path = Path(path)
    pandas = import_pandas()
    name = check_ending(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}; check the path.")
    if name.endswith(PARQUET_ENDINGS):
        table = _read_parquet(pandas, path)
    else:
        table = _read_csv(pandas, path, text_columns)
    if len(table) == 0:
        raise ValueError(f"{str(path)!r} has no rows below its header; a table needs at least one.")
    return table.rename(columns=str)


def _read_csv(pandas: Any, path: Path, text_columns: Iterable[str]) -> pd.DataFrame:
    try:
        separator, decimal = _marks(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas.errors.ParserWarning)  # rows longer than the header would be cut
            return pandas.read_csv(
                path,
                sep=separator,
                decimal=decimal,
                index_col=False,
                dtype=dict.fromkeys(text_columns, str),
                na_values=["?"],
                skipinitialspace=True,
                low_memory=False,  # else a column may come out as text in one part of the file and numbers in another
            )
    except pandas.errors.ParserWarning:
        raise ValueError(
            f"The rows of {str(path)!r} have more cells than its header has names; name every column in the header."
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(path)!r} should be a CSV file in UTF-8, but {error}; save it as UTF-8.") from None
    except (ValueError, OSError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{str(path)!r} should be a CSV file, a header line and then rows with as many cells, but could not be "
            f"read as one: {reason}"
        ) from None


def _marks(path: Path) -> tuple[str, str]:
    """(separator, decimal mark): the commonest of comma, semicolon and tab in the header, the comma on a tie; and the
    comma where semicolons separate and the first rows have more numbers with it than with the point.
    """
    opened: Any = gzip.open if path.name.lower().endswith(".gz") else open
    with opened(path, "rt", encoding="utf-8") as lines:
        header, *rows = list(islice(lines, ROWS_TRIED)) or [""]
    separator = max(",;\t", key=header.count)
    cells = [cell.strip(' \r\n"') for row in rows for cell in row.split(separator)]
    commas, points = (sum(re.fullmatch(rf"[-+]?\d+\{mark}\d+", cell) is not None for cell in cells) for mark in ",.")
    return separator, "," if separator == ";" and commas > points else "."


def _read_parquet(pandas: Any, path: Path) -> pd.DataFrame:
    try:
        return pandas.read_parquet(path)
    except ImportError:
        raise ImportError(f"Parquet files need pyarrow, which is absent: {install_command('table')}.") from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{str(path)!r} should be a Parquet file, but could not be read as one: {reason}") from None


def find_target(table: pd.DataFrame, target: str) -> pd.Series:
    """The target column, or a ValueError with the nearest name and the names there are."""
    if target in table.columns:
        return table[target]
    raise no_such_column(table, "target column", target)


def no_such_column(table: pd.DataFrame, kind: str, name: str) -> ValueError:
    """The error for a name that is none of the table's columns, with the nearest one."""
    by_lower = {column.lower(): column for column in table.columns}
    near = get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[near[0]]!r}?" if near else ""
    return ValueError(f"The table has no {kind} {name!r}.{hint} Its columns are: {_listed(table.columns)}.")


def drop_rows_without_target(table: pd.DataFrame, target: str) -> tuple[pd.DataFrame, int]:
    """The rows whose target is known, and how many others there were.

    Raises
    ------
    ValueError
        If there is no such column, or all of its cells are missing.
    """
    known = find_target(table, target).notna()
    if not known.any():
        raise ValueError(f"All cells of the target column {target!r} are missing, so there is nothing to learn from.")
    return table[known], int((~known).sum())


def fit_columns(table: pd.DataFrame, scaling: str = "auto") -> tuple[tuple[Column, ...], tuple[str, ...]]:
    """(encoders, notes): one for each column that can be used, and a sentence for each that cannot."""
    columns, notes = [], []
    for name in table.columns:
        column = fit_column(table[name], scaling)
        if isinstance(column, str):
            notes.append(f"Column {name!r} is left out: {column}.")
        else:
            columns.append(column)
    return tuple(columns), tuple(notes)


def feature_names(columns: Iterable[Column]) -> list[str]:
    return [name for column in columns for name in column.feature_names]


def encode_columns(columns: Iterable[Column], table: pd.DataFrame, dtype: str = "float32") -> np.ndarray:
    """The features (n_rows, n_features) of a table.

    Raises
    ------
    ValueError
        If a column is absent, or one of numbers holds text, infinity or a number far too large.
    """
    columns = tuple(columns)
    absent = [column.name for column in columns if column.name not in table.columns]
    if absent:
        raise ValueError(
            f"The table lacks columns that the model was trained on: {_listed(absent)}. "
            f"It has: {_listed(table.columns)}."
        )
    X = np.empty((len(table), len(feature_names(columns))), dtype=dtype)
    start = 0
    for column in columns:
        end = start + len(column.feature_names)
        column.encode(table[column.name], X[:, start:end])
        start = end
    return X


@dataclass(frozen=True)
class Preprocessing:
    """What was learned of a training table: how each column becomes features, and what the target means.

    Numbers: columns with more than 32 distinct values are mapped to normal scores through at most 1000 stored
    quantiles, others are standardised; a missing cell becomes 0, with an indicator feature if training had missing
    cells. Text, true/false and categories: one feature per category; missing is a category of its own, and a category
    unknown to training is all zeros. Columns that cannot help (constant, empty, text that is different in every row or
    has more than 255 values, dates) are left out, each with a sentence in `notes`.

    >>> import pandas as pd
    >>> size, colour = [1.0, 2.0, None, 3.0], ["red", "blue", "red", None]
    >>> table = pd.DataFrame({"size": size, "colour": colour, "price": [1.5, 2.0, 3.0, 4.0]})
    >>> preprocessing = Preprocessing.fit(table, "price")
    >>> preprocessing.feature_names
    ['size', 'size is missing', 'colour = blue', 'colour = red', 'colour is missing']
    >>> preprocessing.transform(table)[2].tolist()
    [0.0, 1.0, 0.0, 1.0, 0.0]
    """

    columns: tuple[Column, ...]
    target: Target
    notes: tuple[str, ...] = ()
    ids: tuple[str, ...] = ()  # columns that say which row is which: no features, and passed through to predictions

    @classmethod
    def fit(cls, table: pd.DataFrame, target: str, task: str = "auto", scaling: str = "auto") -> Preprocessing:
        """Learn from a training table. Rows whose target is missing are left out.

        Parameters
        ----------
        table : pandas.DataFrame
            With text as column names.
        target : str
            The column to predict.
        task : "auto", "classification" or "regression"
            "auto" takes text, true/false and at most 20 different whole numbers for classes.
        scaling : "auto", "standard" or "quantile"
            For columns of numbers.

        Raises
        ------
        ValueError
            If the target is absent or unusable, a number is infinite, a name is unknown, or no column can be used.
        """
        table, _ = drop_rows_without_target(table, target)
        learned_target = Target.fit(table[target], task)
        columns, notes = fit_columns(table.drop(columns=target), scaling)
        if not columns:
            reasons = " ".join(notes) or "it has no other column."
            raise ValueError(f"No column can be used to predict {target!r}: {reasons}")
        return cls(columns, learned_target, notes)

    @property
    def feature_names(self) -> list[str]:
        return feature_names(self.columns)

    @property
    def text_columns(self) -> list[str]:
        """Columns to be read as text, for `read_table`."""
        names = [column.name for column in self.columns if isinstance(column, CategoryColumn) and column.is_text]
        return [*names, self.target.name] if self.target.is_text else names

    def transform(self, table: pd.DataFrame, dtype: str = "float32") -> np.ndarray:
        """encode_columns of the columns that training has used."""
        return encode_columns(self.columns, table, dtype)

    def to_dict(self) -> dict[str, Any]:
        """Text and numbers only, for JSON."""
        columns = [column_to_dict(column) for column in self.columns]
        return {
            "columns": columns, "target": self.target.to_dict(), "notes": list(self.notes), "ids": list(self.ids),
        }  # fmt: skip

    @classmethod
    def from_dict(cls, description: dict[str, Any]) -> Preprocessing:
        """The inverse of `to_dict`; ValueError if the description is damaged."""
        try:
            columns = tuple(column_from_dict(column) for column in description["columns"])
            target, notes = Target.from_dict(description["target"]), tuple(map(str, description["notes"]))
            return cls(columns, target, notes, tuple(map(str, description.get("ids", ()))))  # older files have no ids
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"The description of a table's preprocessing is damaged ({error})") from None


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    shown = ", ".join(repr(name) for name in names[:20])
    return f"{shown} and {len(names) - 20} more" if len(names) > 20 else shown
