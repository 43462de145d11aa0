"""Columns of a table as nodes of an ONNX graph: the preprocessing of a table, from its cells to features.

Scaling is in float64, as everywhere in fastmlp.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..tables.column_notes import listed
from ..tables.encoder_choice import CategoryColumn, Column, DateColumn, PiecewiseLinearColumn, QuantileColumn
from ..tables.text_column import TextColumn
from .category_cells import category_intervals, category_texts, holds_numbers
from .onnx_graph import ML, Graph, Value


def is_text(column: Column) -> bool:
    """Return whether the cells of a column are given as text to a graph; all others are numbers."""
    return isinstance(column, CategoryColumn) and not holds_numbers(column)


def features_of_columns(graph: Graph, columns: tuple[Column, ...], cells: Mapping[str, Value]) -> Value:
    """Return the features (n_rows, n_features) in the graph's dtype.

    cells : values (n_rows, 1) by the columns' names, of text where is_text says so, otherwise float64; of dates, days
        since 1970-01-01

    Raises
    ------
    ValueError
        If the words of a column of text are features.
    """
    if names := [column.name for column in columns if isinstance(column, TextColumn)]:
        raise ValueError(
            f"An ONNX model cannot find the words of a text, which are features of {listed(map(repr, names))}. Train "
            "without these columns to export, or predict with fastmlp."
        )
    parts = []
    for column in columns:
        if is_text(column):
            parts.append(_text_features(graph, column, cells[column.name]))  # type: ignore[arg-type]
        elif isinstance(column, CategoryColumn):
            parts += _numbered_category_features(graph, column, cells[column.name])
        elif isinstance(column, DateColumn):
            parts += _date_features(graph, column, cells[column.name])
        else:
            parts += _number_features(graph, column, cells[column.name])
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _text_features(graph: Graph, column: CategoryColumn, cells: Value) -> Value:
    texts = category_texts(column)
    index = graph.add(
        "LabelEncoder", cells, domain=ML, keys_strings=list(texts), values_int64s=list(texts.values()), default_int64=-1
    )
    numbers = np.arange(len(column.feature_names), dtype=np.int64)[None, :]
    return graph.cast(graph.add("Equal", index, numbers), graph.dtype)


def _numbered_category_features(graph: Graph, column: CategoryColumn, cells: Value) -> list[Value]:
    low, high = category_intervals(column)
    is_inside = graph.add("And", cells >= low[None, :], cells <= high[None, :])
    parts = [graph.cast(is_inside, graph.dtype)]
    return [*parts, graph.cast(graph.add("IsNaN", cells), graph.dtype)] if column.has_missing else parts


def _number_features(graph: Graph, column: Column, cells: Value) -> list[Value]:
    missing = graph.add("IsNaN", cells)
    if isinstance(column, QuantileColumn):
        scores = _interpolated(graph, graph.add("Where", missing, np.zeros((), np.float64), cells), *column.knots)
    else:
        scores = (cells - np.float64(column.mean)) / np.float64(column.std)  # type: ignore[union-attr]
    scores = graph.add("Where", missing, np.zeros((), np.float64), scores)
    parts = [graph.cast(scores, graph.dtype)]
    if isinstance(column, PiecewiseLinearColumn):
        low, width = column.bin_bounds
        places = (scores - low[None, :]) / width[None, :]
        parts.append(
            graph.cast(graph.add("Clip", places, np.zeros((), np.float64), np.ones((), np.float64)), graph.dtype)
        )
    return [*parts, graph.cast(missing, graph.dtype)] if column.marks_missing else parts  # type: ignore[union-attr]


def _date_features(graph: Graph, column: DateColumn, cells: Value) -> list[Value]:
    missing, zero = graph.add("IsNaN", cells), np.zeros((), np.float64)
    scores = (cells - np.float64(column.mean)) / np.float64(column.std)
    parts = [graph.cast(graph.add("Where", missing, zero, scores), graph.dtype)]
    frequencies, phases = column.waves
    if len(phases):
        waves = graph.add("Sin", cells * frequencies[None, :] + phases[None, :])
        parts.append(graph.cast(graph.add("Where", missing, zero, waves), graph.dtype))
    return [*parts, graph.cast(missing, graph.dtype)] if column.marks_missing else parts


def _interpolated(graph: Graph, x: Value, knots: np.ndarray, scores: np.ndarray) -> Value:
    """Return np.interp(x, knots, scores) for x (n_rows, 1).

    The segment of x is the place of the first inner knot above x, which ArgMax finds in bytes: n_knots for each row.
    """
    if len(knots) == 1:
        knots, scores = np.append(knots, knots + 1.0), np.append(scores, scores)
    inside = graph.add("Clip", x, knots[0], knots[-1])
    is_below = graph.cast(inside < np.append(knots[1:-1], np.inf)[None, :], np.uint8)
    segment = graph.add("ArgMax", is_below, axis=1, keepdims=1)
    left, right = graph.add("Gather", knots[:-1], segment), graph.add("Gather", knots[1:], segment)
    low, high = graph.add("Gather", scores[:-1], segment), graph.add("Gather", scores[1:], segment)
    return low + (inside - left) / (right - left) * (high - low)
