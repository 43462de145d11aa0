"""Size of a column's embedding."""

from __future__ import annotations

from typing import Any


def check_embedding_size(column: str, size: Any, noun: str) -> None:
    """Check the size of a column's embedding: 0 if they take its features as they are.

    column : name of the column
    noun : what has the size, for the message, such as "vectors"

    Raises
    ------
    ValueError
        If it is not an int of at least 0, as in a damaged file.
    """
    if type(size) is not int or size < 0:
        raise ValueError(f"column {column!r} needs a number of 0 or more as the size of its {noun}")
