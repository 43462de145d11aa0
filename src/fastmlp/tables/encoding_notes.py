"""Notes on how the columns of a training table are encoded, for all columns and not only for those with problems."""

from __future__ import annotations

from collections.abc import Iterable

from .column_notes import listed
from .encoder_choice import Column
from .text_column import TextColumn


def encoding_notes(columns: Iterable[Column]) -> tuple[str, ...]:
    """Return sentences on the features of columns, and on those of text.

    >>> from fastmlp.tables.category_column import CategoryColumn
    >>> from fastmlp.tables.numeric_columns import StandardColumn
    >>> columns = StandardColumn("size", 1.0, 2.0, True), CategoryColumn("town", ("Bonn", "Ulm"), False, True)
    >>> print(*encoding_notes(columns))
    Features of the columns: standard score ('size'), one-hot categories ('town'), indicator of missing cells ('size').
    """
    columns = tuple(columns)
    return (*_feature_notes(columns), *_text_notes(columns))


def _feature_notes(columns: Iterable[Column]) -> tuple[str, ...]:
    names: dict[str, list[str]] = {}
    marked = []
    for column in columns:
        names.setdefault(column.encoding, []).append(repr(column.name))
        if column.marks_missing:
            marked.append(repr(column.name))
    if marked:
        names["indicator of missing cells"] = marked
    if not names:
        return ()
    return (f"Features of the columns: {', '.join(f'{what} ({listed(of)})' for what, of in names.items())}.",)


def _text_notes(columns: Iterable[Column]) -> tuple[str, ...]:
    texts = [f"{column.name!r} ({len(column.ngrams)})" for column in columns if isinstance(column, TextColumn)]
    if not texts:
        return ()
    what = "words, pairs of words and parts of words that many rows have"
    return (f"Columns of text have a feature for each of the {what}: {listed(texts)}.",)
