"""Columns of a table as features, in C. Scaling is in double, as everywhere in fastmlp."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..tables.base_column import Column
from ..tables.cells import listed
from .c_syntax import array, comment, function

FUNCTIONS = {  # that columns may call, by the ends of their names
    "quantile": (
        "double {}(double x, const double *knots, const double *scores, int n)",
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
    ),
    "bins": (
        "void {}(double score, const double *edges, int n, float *f)",
        [
            "f[0] = (float)score;",
            "for (int k = 0; k < n; ++k) {",
            "  const double place = (score - edges[k]) / (edges[k + 1] - edges[k]);",
            "  f[k + 1] = (float)(place < 0.0 ? 0.0 : place > 1.0 ? 1.0 : place);",
            "}",
        ],
    ),
}


class Columns:
    """Arrays that columns need in a C file, and names of functions; p begins their names."""

    def __init__(self, p: str):
        self.p, self.k = p, 0  # the number of the present column
        self.arrays: list[str] = []

    def array(self, name: str, values: np.ndarray) -> str:
        """Add an array of doubles of the present column, and return its name."""
        self.arrays.append(array("double", f"{self.p}{name}_{self.k}", values))
        return f"{self.p}{name}_{self.k}"

    def function(self, name: str) -> str:
        """Return the name of a function of FUNCTIONS."""
        return self.p + name


def column_functions(columns: Sequence[Column], p: str) -> list[str]:
    """Return the C arrays and functions that turn a row of a table into features; p begins their names.

    Raises
    ------
    ValueError
        If a column holds text.
    """
    if texts := [column.name for column in columns if column.takes_text]:
        raise ValueError(
            f"A C file takes numbers only, but these columns hold text: {listed(map(repr, texts), 5)}. Export to "
            ".onnx, or train without them."
        )
    file, lines, place = Columns(p), list[str](), 0
    for file.k, column in enumerate(columns):
        lines += [comment([column.name]), *column.c_lines(f"x[{file.k}]", place, file)]
        place += len(column.feature_names)
    features = function(f"void {p}features(const float *x, float *f)", lines)
    called = [(f"{p}{name}", *FUNCTIONS[name]) for name in FUNCTIONS if f"{p}{name}(" in features]
    return [*file.arrays, *(function(head.format(name), body) for name, head, body in called), features]
