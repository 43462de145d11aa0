"""Formulas of activations in other terms: they are complete, and equal the formulas of the table."""

import numpy as np
import pytest

from fastmlp.export.c_syntax import functions as c_functions
from fastmlp.export.formulas import FUNCTIONS, Operand, retargeted
from fastmlp.kernels.formulas import numpy_math
from fastmlp.kernels.formulas.activations import ACTIVATIONS


class Number(Operand):
    """A number that computes with NumPy's arithmetic."""

    def __init__(self, value):
        self.value = value

    def combined(self, symbol, left, right):
        left, right = (getattr(side, "value", side) for side in (left, right))
        operations = {"+": np.add, "-": np.subtract, "*": np.multiply, "/": np.divide}
        operations |= {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}
        return Number(operations[symbol](left, right))


def on_numbers(name):
    return lambda *operands: Number(getattr(numpy_math, name)(*(getattr(item, "value", item) for item in operands)))


@pytest.mark.parametrize("row", ACTIVATIONS, ids=lambda row: row.name)
def test_formula_of_operands_is_the_formula(row):
    z = np.linspace(-9.0, 9.0, 37)
    found = retargeted(row.value, {name: on_numbers(name) for name in FUNCTIONS})(Number(z))
    np.testing.assert_array_equal(found.value, row.value(z))
    assert row.value(0.0) == row.value(0.0), "the formula itself is unchanged"


def test_every_arithmetic_of_an_operand():
    a, b = Number(3.0), Number(4.0)
    results = [a + b, 1.0 + a, a - b, 1.0 - a, a * b, 2.0 * a, a / b, 1.0 / b, -a, a < b, a <= b, a > b, a >= b]
    assert [item.value for item in results] == [7, 4, -1, -2, 12, 6, 0.75, 0.25, -3, True, True, False, False]


def test_c_has_all_functions_of_formulas():
    assert set(c_functions("")) == set(FUNCTIONS)


def test_onnx_has_all_functions_of_formulas():
    graph = pytest.importorskip("onnx") and pytest.importorskip("fastmlp.export.onnx_graph")
    assert set(graph.Graph(np.dtype("f4")).functions) == set(FUNCTIONS)


def test_a_function_that_is_missing_is_named():
    with pytest.raises(KeyError, match="where"):
        retargeted(next(row.value for row in ACTIVATIONS if row.name == "relu"), {})
