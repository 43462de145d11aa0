"""Pieces of data that estimators read piece by piece: rows with their targets, and those that stay in memory."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from ..errors import shown
from ..streams.row_loading import check_targets_given
from ..streams.source_kinds import is_source
from ..streams.table_sources import as_table_source
from ..tables.row_sample import joined
from .source_targets import names_target, refuse_missing, target_apart
from .table_input import as_cells, as_frame


def pieces_with_targets(X: Any, y: Any) -> Iterator[tuple[Any, Any]]:
    """Yield (table or array, targets) of a source, or of a data frame with the column y; other data as they are.

    Raises
    ------
    ValueError
        If there are no rows or no targets, or a target is missing.
    """
    if names_target(X, y):
        table, targets = target_apart(X, y)
        refuse_missing(targets, y, "")
        yield table, targets
        return
    if not is_source(X):
        yield X, y
        return
    source = as_table_source(X, y)
    is_empty = True
    for piece, targets in source.pieces():
        check_targets_given(targets, is_first=False)
        if len(piece):
            refuse_missing(targets, y if isinstance(y, str) else "y", "")
            yield as_piece(piece).copy(), copy.copy(targets)  # a source may use its buffers again
            is_empty = False
    if is_empty:
        raise ValueError(f"X must have at least one sample, but {source.kind} has none.")


def checked_held_out(validation_data: Any) -> tuple:
    """Return validation_data as (X, y) or (X, y, sample_weight) after a check of its form."""
    if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
        raise ValueError(
            f"validation_data must be (X, y) or (X, y, sample_weight), but it is {shown(validation_data)}. For a file, "
            "pass its path and the name of the column of targets: ('rows.parquet', 'column')."
        )
    return tuple(validation_data)


class PiecesInMemory:
    """The pieces of a source that can perhaps be read only once, as long as they fit."""

    def __init__(self, n_bytes: int):
        self._n_left, self._pieces = n_bytes, list[tuple[Any, Any]]()

    def add(self, X: Any, y: Any, n_bytes: int | None = None) -> None:
        """Keep a piece.

        X : pandas DataFrame or array
        n_bytes : what it counts as; by default the bytes of X
        """
        if self._n_left < 0:
            return
        if n_bytes is None:
            n_bytes = X.nbytes if isinstance(X, np.ndarray) else int(X.memory_usage(deep=True).sum())
        self._n_left -= n_bytes
        self._pieces.append((X.copy(), copy.copy(y)))  # a source may use its arrays again
        if self._n_left < 0:
            self.clear()

    def clear(self) -> None:
        """Forget the pieces, and keep no others."""
        self._pieces.clear()
        self._n_left = -1

    def joined(self) -> tuple[Any, Any]:
        X, y = zip(*self._pieces, strict=True)
        return joined(list(X)), joined(list(y))


def as_piece(X: Any) -> Any:
    """Return a piece of any kind as a pandas DataFrame, or as an array if its columns have no names."""
    frame = as_frame(X)
    return np.asarray(as_cells(X)) if frame is None else frame
