"""Columns of numbers, categories and booleans as features, in C. Scaling is in double, as everywhere in fastmlp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..tables.column_notes import listed
from ..tables.encoder_choice import (
    CategoryColumn,
    Column,
    DateColumn,
    PiecewiseLinearColumn,
    QuantileColumn,
    StandardColumn,
)
from ..tables.text_column import TextColumn
from .c_syntax import array, comment, function
from .category_cells import category_intervals, holds_numbers


def column_functions(columns: Sequence[Column], p: str) -> list[str]:
    """Return the C arrays and functions that turn a row of a table into features; p begins their names.

    Raises
    ------
    ValueError
        If a column holds text.
    """
    words = [column.name for column in columns if isinstance(column, TextColumn)]
    if words:
        raise ValueError(
            f"A C file takes numbers only, but words are features of {listed(map(repr, words))}. Train without these "
            "columns to export."
        )
    texts = [column.name for column in columns if isinstance(column, CategoryColumn) and not holds_numbers(column)]
    if texts:
        names = ", ".join(repr(name) for name in texts[:5]) + (f" and {len(texts) - 5} more" if texts[5:] else "")
        raise ValueError(
            f"A C file takes numbers only, but these columns hold text: {names}. Export to .onnx, or train without "
            "them."
        )
    parts, lines, place = [], [], 0
    for k, column in enumerate(columns):
        lines.append(comment([column.name]))
        if isinstance(column, QuantileColumn):
            knots, scores = column.knots
            parts += [array("double", f"{p}knots_{k}", knots), array("double", f"{p}scores_{k}", scores)]
        if isinstance(column, PiecewiseLinearColumn):
            parts.append(array("double", f"{p}edges_{k}", np.asarray(column.edges)))
        lines += _lines(column, k, place, p)
        place += len(column.feature_names)
    if any(isinstance(column, QuantileColumn) for column in columns):
        parts.append(_quantile_function(p))
    if any(isinstance(column, PiecewiseLinearColumn) for column in columns):
        parts.append(_bins_function(p))
    return [*parts, function(f"void {p}features(const float *x, float *f)", lines)]


def _lines(column: Column, k: int, place: int, p: str) -> list[str]:
    """Return the statements that write the features of column k, the first of which is f[place]."""
    if isinstance(column, CategoryColumn):
        intervals = zip(*category_intervals(column), strict=True)
        lines = [
            f"f[{place + j}] = (double)x[{k}] >= {float(low)!r} && (double)x[{k}] <= {float(high)!r} ? 1.0f : 0.0f;"
            for j, (low, high) in enumerate(intervals)
        ]
        missing = [f"f[{place + len(lines)}] = isnan(x[{k}]) ? 1.0f : 0.0f;"] if column.has_missing else []
        return lines + missing
    if isinstance(column, DateColumn):
        return _date_lines(column, k, place)
    if isinstance(column, StandardColumn):
        score = f"((double)x[{k}] - {column.mean!r}) / {column.std!r}"
    else:
        assert isinstance(column, QuantileColumn), "words are refused"
        score = f"{p}quantile((double)x[{k}], {p}knots_{k}, {p}scores_{k}, {len(column.knots[0])})"
    lines = [f"f[{place}] = isnan(x[{k}]) ? 0.0f : (float)({score});"]
    if isinstance(column, PiecewiseLinearColumn):
        lines = [f"{p}bins(isnan(x[{k}]) ? 0.0 : {score}, {p}edges_{k}, {column.n_bins}, f + {place});"]
        place += column.n_bins
    return [*lines, f"f[{place + 1}] = isnan(x[{k}]) ? 1.0f : 0.0f;"] if column.marks_missing else lines


def _date_lines(column: DateColumn, k: int, place: int) -> list[str]:
    values = [f"((double)x[{k}] - {column.mean!r}) / {column.std!r}"]
    values += [
        f"sin((double)x[{k}] * {f!r} + {p!r})" for f, p in zip(*(part.tolist() for part in column.waves), strict=True)
    ]
    lines = [f"f[{place + j}] = isnan(x[{k}]) ? 0.0f : (float)({value});" for j, value in enumerate(values)]
    return [*lines, f"f[{place + len(lines)}] = isnan(x[{k}]) ? 1.0f : 0.0f;"] if column.marks_missing else lines


def _quantile_function(p: str) -> str:
    return function(
        f"double {p}quantile(double x, const double *knots, const double *scores, int n)",
        [
            "int low = 0, high = n - 1;",
            "if (x <= knots[0]) return scores[0];",
            "if (x >= knots[high]) return scores[high];",
            "while (high - low > 1) {",
            "  const int middle = (low + high) / 2;",
            "  if (knots[middle] <= x) low = middle; else high = middle;",
            "}",
            "return scores[low] + (x - knots[low]) / (knots[high] - knots[low]) * (scores[high] - scores[low]);",
        ],
    )


def _bins_function(p: str) -> str:
    return function(
        f"void {p}bins(double score, const double *edges, int n, float *f)",
        [
            "f[0] = (float)score;",
            "for (int k = 0; k < n; ++k) {",
            "  const double place = (score - edges[k]) / (edges[k + 1] - edges[k]);",
            "  f[k + 1] = (float)(place < 0.0 ? 0.0 : place > 1.0 ? 1.0 : place);",
            "}",
        ],
    )
