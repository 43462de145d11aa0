"""Columns of a table as nodes of an ONNX graph: the preprocessing of a table, from its cells to features.

Scaling is in float64, as everywhere in fastmlp.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ..tables.base_column import Column
from .onnx_graph import Graph, Value


def features_of_columns(graph: Graph, columns: Iterable[Column], cells: Mapping[str, Value]) -> Value:
    """Return the features (n_rows, n_features) in the graph's dtype.

    cells : values (n_rows, 1) by the names of the columns, of text where takes_text says so, otherwise float64;
        of dates, days since 1970-01-01
    """
    parts = [part for column in columns for part in column.onnx_features(graph, cells[column.name])]
    return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def types_of_inputs(columns: Iterable[Column]) -> dict[str, np.dtype]:
    """Return {name of a column of the table: type of its cells}: text (object), or float64."""
    return {column.name: np.dtype(object if column.takes_text else "f8") for column in columns}
