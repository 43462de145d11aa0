"""Input embedding of the nets for a table: trained vectors for categories, piecewise linear functions of numbers with
bins, and a periodic embedding of all other features.

What nets embed stands in the encoders of the columns, so that nets which are loaded, or trained further, fit them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from ..errors import counted
from ..network.embeddings import CategoryEmbedding, Entry, PeriodicEmbedding, PiecewiseLinearEmbedding
from .column_notes import listed
from .encoder_choice import CategoryColumn, Column, PeriodicColumn, PiecewiseLinearColumn
from .text_column import TextColumn

# A sigma of 0.1 is too coarse for california, and 1 fits noise of magic (bench/log/README.md#tabular-embeddings).
PERIODIC_EMBEDDING = PeriodicEmbedding(sigma=0.3)


def input_embedding_of(columns: Iterable[Column]) -> list[Entry] | None:
    """Return `input_embedding=` of nets whose inputs are the features of columns; None if they embed none.

    Features without vectors are kept or, if one of the columns is a PeriodicColumn, embedded periodically, with the
    marks of missing cells and the waves of dates: a net that embeds numbers so must embed all of its inputs.

    >>> colour = CategoryColumn("colour", ("blue", "red"), False, True, vector_size=8)
    >>> input_embedding_of([PeriodicColumn("size", (0.0, 1.0), True), colour])[1]
    CategoryEmbedding(n_categories=2, size=8)
    """
    columns = tuple(columns)
    entries: list[Entry] = []
    is_periodic = embeds_periodically(columns)
    for has_vectors, grouped in groupby(columns, lambda column: vector_size(column) > 0):
        run = list(grouped)
        if has_vectors:
            entries += map(_entry, run)
        else:
            n_inputs = sum(len(column.feature_names) for column in run)
            entries.append(replace(PERIODIC_EMBEDDING, n_inputs=n_inputs) if is_periodic else n_inputs)
    return None if all(isinstance(entry, int) for entry in entries) else entries


def embedding_notes(columns: Iterable[Column]) -> tuple[str, ...]:
    """Return sentences on what nets make of the columns that they embed."""
    columns, notes = tuple(columns), []
    sizes = [(column.name, len(column.feature_names), vector_size(column)) for column in columns]
    of_bins = {column.name for column in columns if isinstance(column, PiecewiseLinearColumn)}
    vectors = [f"{name!r} ({n} values as {size} numbers)" for name, n, size in sizes if size and name not in of_bins]
    bins = [f"{name!r} ({counted(n, 'feature')} as {size})" for name, n, size in sizes if size and name in of_bins]
    if embeds_periodically(columns):
        others = [f"{name!r} ({counted(n, 'feature')})" for name, n, size in sizes if not size]
        notes.append(
            f"The nets embed periodically, each feature as {PERIODIC_EMBEDDING.size} numbers by "
            f"{PERIODIC_EMBEDDING.n_frequencies} cosines: {listed(others)}."
        )
    if vectors:
        notes.append(f"The nets embed categories as trained vectors: {listed(vectors)}.")
    if bins:
        notes.append(f"The nets embed columns with bins as trained piecewise linear functions: {listed(bins)}.")
    return tuple(notes)


def _entry(column: Column) -> Entry:
    """Return the embedding of a column with a vector size."""
    kind = PiecewiseLinearEmbedding if isinstance(column, PiecewiseLinearColumn) else CategoryEmbedding
    return kind(len(column.feature_names), vector_size(column))


def embeds_periodically(columns: Iterable[Column]) -> bool:
    """Return whether nets embed the features of columns without vectors periodically."""
    return any(isinstance(column, PeriodicColumn) for column in columns)


def vector_size(column: Column) -> int:
    """Return the numbers that nets make of the features of a column; 0 if it has no embedding of its own."""
    return column.vector_size if isinstance(column, (CategoryColumn, PiecewiseLinearColumn, TextColumn)) else 0
