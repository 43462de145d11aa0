"""Conversion of input tables for the tabular estimators: data frames of any library, arrays, lists of mixed cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..errors import install_command
from ..tables.table_files import import_pandas


def as_frame(X: Any) -> Any:
    """Return a table as a pandas DataFrame, or None if X has no named columns, as arrays.

    X : a table of pandas, polars, Arrow or another library that converts to pandas, or a list of dictionaries

    Raises
    ------
    ImportError
        If X is no array of NumPy and pandas is not installed, or pyarrow where the table needs it.
    ValueError
        If the rows are not computed yet, as in polars' LazyFrame.
    """
    if isinstance(X, np.ndarray):
        return None
    pandas = import_pandas()
    if isinstance(X, pandas.DataFrame):
        return X
    if isinstance(X, (list, tuple)):
        return pandas.DataFrame(list(X)) if X and all(isinstance(row, Mapping) for row in X) else None
    if getattr(X, "ndim", 2) == 1:
        return None
    if hasattr(X, "collect") and hasattr(X, "collect_schema"):
        raise ValueError(f"X is a {type(X).__name__}, whose rows are not computed yet: pass X.collect().")
    if hasattr(X, "to_pandas"):
        frame = X.to_pandas()
        return frame if isinstance(frame, pandas.DataFrame) else None
    if hasattr(X, "__arrow_c_stream__") or hasattr(X, "__arrow_c_array__"):
        try:
            import pyarrow
        except ImportError:
            raise ImportError(f"A {type(X).__name__} needs pyarrow: {install_command('table')}.") from None
        return pyarrow.table(X).to_pandas()
    return None


def as_cells(X: Any) -> Any:
    """Return a list of rows as an array whose cells keep their types.

    NumPy alone would convert numbers to text if any other cell is text. X of another type is returned unchanged.
    """
    if not isinstance(X, (list, tuple)):
        return X
    try:
        array = np.asarray(X)
    except ValueError:  # rows of different lengths: scikit-learn raises a clear error later
        return X
    return np.array(X, dtype=object) if array.dtype.kind in "US" else array


def frame_of_array(array: np.ndarray) -> Any:
    """Return an array as a DataFrame whose columns have the types of their cells, and column numbers as text names."""
    frame = import_pandas().DataFrame(array)
    if array.dtype == object:
        frame = frame.infer_objects()
    return frame.rename(columns=str)
