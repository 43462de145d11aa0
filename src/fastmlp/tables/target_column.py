"""The target column of a table: its lookup by name, and the rows whose target is known."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING

import numpy as np

from ..errors import counted
from .cells import contents, examples, read_numbers
from .column_notes import listed
from .columns_as_numbers import column_kind, text_as_numbers
from .number_formats import conversion_of, thousands_of
from .table_files import with_columns
from .target_encoder import CLASSIFICATION, infer_task

if TYPE_CHECKING:
    import pandas as pd


def find_target(table: pd.DataFrame, target: str) -> pd.Series:
    """Return the target column, or raise a ValueError that lists the columns and suggests the nearest name."""
    if target in table.columns:
        return table[target]
    names = [name.strip() for name in target.split(",")]
    if len(names) > 1 and set(names) <= set(table.columns):
        raise ValueError(
            f"There is one target column, but {target!r} names {len(names)}: train a model for each, or one model for "
            "all with the estimators for tables in Python, whose y may have several columns."
        )
    raise no_such_column(table, "target column", target)


def no_such_column(table: pd.DataFrame, kind: str, name: str) -> ValueError:
    """Return the error for a name that is not a column of the table. It suggests the nearest name.

    kind : what the message calls the column
    """
    by_lower = {column.lower(): column for column in table.columns}
    matches = get_close_matches(name.lower(), by_lower, n=1)
    hint = f" Did you mean {by_lower[matches[0]]!r}?" if matches else ""
    return ValueError(f"The table has no {kind} {name!r}.{hint} Its columns are: {listed(map(repr, table.columns))}.")


def drop_rows_without_target(table: pd.DataFrame, target: str, task: str = "auto") -> tuple[pd.DataFrame, int]:
    """Return (the rows that `rows_with_target` keeps, the number of rows that were dropped).

    Raises
    ------
    ValueError
        If the target column does not exist, or all of its cells are missing.
    """
    rows, _ = rows_with_target(table, target, task)
    return rows, len(table) - len(rows)


def rows_with_target(table: pd.DataFrame, target: str, task: str = "auto") -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Return (the rows with a known target, sentences on the rows that were dropped).

    In a regression target up to 5 % of the cells may not be numbers; rows with such cells are dropped too, and the
    target column of the returned table holds floats.

    Raises
    ------
    ValueError
        If the target column does not exist, all of its cells are missing, or they may have separators of thousands.
    """
    column = find_target(table, target)
    missing = column.isna().to_numpy()
    if missing.all():
        raise ValueError(f"All cells of the target column {target!r} are missing, so there is nothing to learn from.")
    if task != CLASSIFICATION and contents(column) == "string" and (hint := thousands_of(_texts_of(column))):
        raise ValueError(f"The target {target!r} is text: {hint}.")
    notes, reading = [], read_numbers(column, reads_booleans=True)
    bad = ""
    if reading.is_half and reading.n_bad:
        bad = f"{counted(reading.n_bad, 'row')} of {len(table)} ({examples(column, reading.bad)})"
    if infer_task(column, task) == CLASSIFICATION:
        if bad:
            notes.append(f"The target {target!r} is taken for classes, since it holds no numbers in {bad}.")
        elif task == "auto" and (hint := conversion_of(target, _texts_of(column))):
            notes.append(f"The target {target!r} is taken for classes; {hint}.")
    elif reading.is_tolerable:
        missing = np.isnan(reading.values) & ~reading.bad
        table = with_columns(table, {target: reading.values})
        if column_kind(column) == "category" and not reading.n_bad:
            notes.append(f"The target {target!r} holds text that is numbers, and is taken for numbers.")
        if bad:
            notes.append(f"The target {target!r} holds no numbers in {bad}, which {_are(reading.n_bad)} left out.")
    n_missing = int(np.count_nonzero(missing))
    if n_missing:
        notes.append(f"{counted(n_missing, 'row')} whose target {target!r} is missing {_are(n_missing)} left out.")
    return table[table[target].notna()], tuple(notes)


def _texts_of(column: pd.Series) -> list[str]:
    """Return the distinct cells of a column that are text."""
    return [cell for cell in column.dropna().unique() if isinstance(cell, str)]


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def with_numbers(table: pd.DataFrame, target: str | None = None) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Convert columns of numbers that also hold text to floats.

    target : a column to leave unchanged, or None

    Returns (the table, sentences on columns with cells that are not numbers).
    """
    converted = {name: text_as_numbers(table[name]) for name in table.columns if name != target}
    numbers = {name: result[0] for name, result in converted.items() if result is not None}
    notes = tuple(result[1] for result in converted.values() if result is not None and result[1])
    return (with_columns(table, numbers) if numbers else table), notes
