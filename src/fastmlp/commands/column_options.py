"""Columns that the options `--drop` and `--id` name: the inputs that `fastmlp train` learns from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..tables.target import no_such_column

if TYPE_CHECKING:
    import pandas as pd


def check_columns(table: pd.DataFrame, names: Sequence[str], option: str) -> None:
    """Check that all names given to an option are columns of the table.

    option : name of the command-line option, for the error message

    Raises
    ------
    ValueError
        If a name is not a column. The message suggests the nearest name, or how to name several columns.
    """
    columns = list(map(str, table.columns))
    for name in names:
        if name in columns:
            continue
        names_in_name = [column.strip() for column in name.split(",")]
        if len(names_in_name) > 1 and set(names_in_name) <= set(columns):
            example = " ".join(f"{option} {column!r}" for column in names_in_name)
            raise ValueError(f"{option} takes one column at a time, but it is {name!r}: give {example}.")
        raise no_such_column(table, f"{option} column", name)


def select_columns(table: pd.DataFrame, target: str, drop: Sequence[str] = (), ids: Sequence[str] = ()) -> pd.DataFrame:
    """Return the table with its target and the input columns only.

    target : name of the target column
    drop : columns to leave out
    ids : columns that identify rows, never used as inputs

    Raises
    ------
    ValueError
        If a name is not in the table, if the target is also given to another option, or if no input is left.
    """
    for option, names in (("--drop", drop), ("--id", ids)):
        check_columns(table, names, option)
        if target in names:
            raise ValueError(f"{target!r} is the target column, which cannot be an input: leave it out of {option}.")
    selected = table[[name for name in table.columns if name not in {*drop, *ids}]]
    if selected.shape[1] < 2:
        raise ValueError(f"No column is left to predict {target!r} from: drop fewer.")
    return selected
