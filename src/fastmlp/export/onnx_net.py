"""A predictor as nodes of a graph: the columns of a table become features, features outputs, outputs predictions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ..kernels.formulas.activations import ACTIVATIONS, IDENTITY
from ..tables.column_encoders import CategoryColumn, Column, DateColumn, PiecewiseLinearColumn, QuantileColumn
from .category_cells import category_intervals, category_texts, holds_numbers
from .onnx_nodes import ML, Graph, Value
from .predictor import NUMBERS, PROBABILITIES, Predictor

LABEL, PROBABILITY, VARIABLE, OUTPUT = "label", "probabilities", "variable", "Y"  # names of outputs, as in skl2onnx


class Output(NamedTuple):
    """An output of a graph: its value, its name, its type, and its shape with names for unknown sizes."""

    value: Value
    name: str
    dtype: np.dtype
    shape: tuple[int | str, ...]


def is_text(column: Column) -> bool:
    """Return whether the cells of a column are given as text to a graph; all others are numbers."""
    return isinstance(column, CategoryColumn) and not holds_numbers(column)


# ---- columns to features


def features_of_columns(graph: Graph, columns: tuple[Column, ...], cells: Mapping[str, Value]) -> Value:
    """Return the features (n_rows, n_features) in the graph's dtype.

    cells : values (n_rows, 1) by the columns' names, of text where is_text says so, otherwise float64; of dates, days
        since 1970-01-01
    """
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


# ---- features to predictions


def predictions(graph: Graph, predictor: Predictor, features: Value) -> list[Output]:
    """Return the outputs of a graph for features (n_rows, n_features) in the predictor's dtype."""
    several = predictor.params.ndim == 2
    n_outputs, dtype = predictor.network.n_outputs, predictor.dtype
    logits = _logits(graph, predictor, features)
    if predictor.kind == PROBABILITIES:
        return _class_outputs(graph, predictor, logits)
    outputs = graph.activation(predictor.network.output_row, logits)
    if predictor.kind == NUMBERS:
        outputs = _mean_over_nets(graph, outputs, predictor)
        if predictor.is_regression_scaled:
            scaled = graph.cast(outputs, np.float64) * np.atleast_1d(np.asarray(predictor.std, np.float64))
            outputs = graph.cast(scaled + np.atleast_1d(np.asarray(predictor.mean, np.float64)), dtype)
        return [Output(outputs, VARIABLE, dtype, ("n_rows", n_outputs))]
    return [Output(outputs, OUTPUT, dtype, ((predictor.n_nets,) if several else ()) + ("n_rows", n_outputs))]


def _logits(graph: Graph, predictor: Predictor, features: Value) -> Value:
    """Return the logits (n_rows, n_outputs), of several nets (n_nets, n_rows, n_outputs)."""
    a, codes = features, (*predictor.network.activation_codes[:-1], IDENTITY)
    for (W, b), code in zip(predictor.layers(), codes, strict=True):
        if W.ndim == 2:
            z = graph.add("Gemm", a, W, b)
        else:
            z = graph.add("MatMul", a, W) + b[:, None, :]
        a = graph.activation(ACTIVATIONS[code], z)
    return a


def _mean_over_nets(graph: Graph, outputs: Value, predictor: Predictor) -> Value:
    if predictor.params.ndim == 1:
        return outputs
    return graph.add("ReduceSum", outputs, np.zeros(1, np.int64), keepdims=0) * (1.0 / predictor.n_nets)


def _class_outputs(graph: Graph, predictor: Predictor, logits: Value) -> list[Output]:
    several, is_multilabel = predictor.params.ndim == 2, predictor.is_multilabel
    if predictor.temperature != 1.0:
        logits = logits * (1.0 / predictor.temperature)
    is_softmax = predictor.network.output_row.name == "softmax"
    if not is_softmax and not is_multilabel and predictor.network.n_outputs == 1:
        logits = graph.add("Concat", -logits, logits, axis=-1)
        each = graph.activation(predictor.network.output_row, logits)
    elif is_softmax or is_multilabel:
        each = graph.activation(predictor.network.output_row, logits)
    else:  # exclusive classes with a sigmoid each: normalised to sum 1, from logarithms so that no sum is 0
        each = graph.add("Softmax", -graph.functions["softplus"](-logits), axis=-1)
    p = _mean_over_nets(graph, each, predictor)
    classes = predictor.classes
    assert classes is not None
    p_output = Output(p, PROBABILITY, predictor.dtype, ("n_rows", len(classes)))
    if is_multilabel:
        label = graph.cast(p > 0.5 if several else logits > 0.0, np.int64)
        return [Output(label, LABEL, np.dtype(np.int64), ("n_rows", len(classes))), p_output]
    number = graph.add("ArgMax", p if several else logits, axis=1, keepdims=0)
    return [Output(graph.add("Gather", classes, number), LABEL, classes.dtype, ("n_rows",)), p_output]
