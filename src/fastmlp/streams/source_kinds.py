"""Recognition of sources, the data that are read piece by piece.

A module of its own, since every fit and prediction asks, and few need the rest.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np

ARROW = ("__arrow_c_stream__", "__arrow_c_array__")
DATASET = ("to_batches", "get_fragments")  # methods of pyarrow's datasets, which have neither
CHUNKED = ("shape", "dtype", "chunks", "__getitem__")


def is_name(y: Any) -> bool:
    """Return whether y is the name of a column, or the names of several."""
    return isinstance(y, str) or (isinstance(y, (list, tuple)) and len(y) > 0 and all(isinstance(x, str) for x in y))


def names_in(y: Any) -> tuple[str, ...]:
    """Return the names of columns that y is; none for anything else."""
    return () if not is_name(y) else (y,) if isinstance(y, str) else tuple(y)


def names_columns(X: Any, y: Any) -> bool:
    """Return whether y names columns of X: one name, or several where the columns of X have names.

    >>> names_columns(np.zeros((2, 2)), ["cat", "dog"]), names_columns(np.zeros((2, 2)), "animal")
    (False, True)
    """
    return is_name(y) and (isinstance(y, str) or is_source(X) or is_arrow(X))


def is_source(X: Any) -> bool:
    """Return whether X is read piece by piece, rather than an array in memory.

    >>> is_source("rows.parquet"), is_source([[1.0, 2.0]]), is_source(np.zeros((3, 2)))
    (True, False, False)
    """
    if isinstance(X, (str, os.PathLike, np.memmap)):
        return True
    if isinstance(X, (list, tuple)):
        return is_pairs(X)
    # of pandas' types, those of data in memory have __array__, and readers of pieces do not
    is_pandas = type(X).__module__.partition(".")[0] == "pandas" and hasattr(X, "__array__")
    if isinstance(X, (np.ndarray, set, frozenset, dict)) or is_pandas:
        return False  # a data frame is slow to say that it lacks an attribute: it might be the name of a column
    if is_chunked_array(X):
        return True
    if hasattr(X, "__array__") or hasattr(X, "__dlpack__"):
        return False
    return is_arrow(X) or (hasattr(X, "__iter__") and not hasattr(X, "nnz"))  # not sparse matrices


def is_arrow(X: Any) -> bool:
    """Return whether X gives record batches of Arrow."""
    return any(hasattr(X, name) for name in ARROW) or is_dataset(X)


def is_dataset(X: Any) -> bool:
    return all(hasattr(X, name) for name in DATASET)


def is_array_file(X: Any) -> bool:
    """Return whether X is the path of a .npy file."""
    return isinstance(X, (str, os.PathLike)) and os.fspath(X).lower().endswith(".npy")


def is_chunked_array(X: Any) -> bool:
    """Return whether X is an array that is read by slices, such as a dataset of h5py or an array of zarr or Dask.

    Arrays of other libraries that are in memory, or on a GPU, are none.
    """
    if isinstance(X, np.ndarray) or hasattr(X, "__dlpack__") or is_arrow(X):
        return False  # before the shape is asked for, which a relation of DuckDB would run its query for
    if not all(hasattr(X, name) for name in CHUNKED) or not X.shape:
        return False
    # Contiguous datasets of h5py have no chunks, and neither have xarray's arrays in memory.
    return isinstance(X.chunks, tuple) or (X.chunks is None and not hasattr(X, "__array_ufunc__"))


def is_pairs(X: Any) -> bool:
    """Return whether a list holds batches (X, y) or X, tables of rows, rather than rows.

    >>> is_pairs([(np.zeros((3, 2)), np.zeros(3))]), is_pairs([(1.0, 2.0), (3.0, 4.0)]), is_pairs([])
    (True, False, False)
    """
    return len(X) > 0 and all(isinstance(batch, tuple) and len(batch) == 2 and _is_table(batch[0]) for batch in X)


def _is_table(X: Any) -> bool:
    is_list = isinstance(X, (list, tuple)) and len(X) > 0 and isinstance(X[0], (list, tuple))
    return is_list or len(getattr(X, "shape", ())) == 2


def reads_rows(X: Any, y: Any) -> bool:
    """Return whether X is a source of rows that all nets share; an array on disk may also hold samples of each net."""
    if type(X) is np.ndarray:
        return False
    if isinstance(X, np.memmap) or is_chunked_array(X):
        return len(X.shape) == 2 and (isinstance(y, str) or not hasattr(y, "__len__") or len(y) == X.shape[0])
    return is_source(X) or names_columns(X, y)
