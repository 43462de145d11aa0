"""Operands of matrix products: named tuples that say where a matrix lies in a flat array. Strides are in elements."""

from __future__ import annotations

from typing import Any, NamedTuple


class Matrix(NamedTuple):
    """Row-major matrix; its columns are contiguous."""

    data: Any  # array or pointer
    start: int  # index of the first element
    stride: int  # from one row to the next; 0 for a matrix in panels (gemm.py)


class Strided(NamedTuple):
    """Matrix or transposed matrix."""

    data: Any
    start: int
    row_stride: int
    column_stride: int


class Panels(NamedTuple):
    """Row-major matrix that is read in vertical panels, each as wide as a tile."""

    data: Any
    start: int
    stride: int  # from one row of a panel to the next
    panel_stride: int  # from one panel to the next


class Prefetch(NamedTuple):
    """Cache lines to prefetch, one for each column of A that a tile multiplies."""

    address: Any  # pointer into the first cache line
    step: int  # from one line to the next; 0 to prefetch none
