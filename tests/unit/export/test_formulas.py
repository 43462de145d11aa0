"""Formulas of activations in other terms: each language has all functions that formulas call."""

import numpy as np
import pytest

from fastmlp.export.c_syntax import functions as c_functions
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.kernels.formulas.operands import FUNCTIONS, retargeted


def test_c_has_all_functions_of_formulas():
    assert set(c_functions("")) == set(FUNCTIONS)


def test_onnx_has_all_functions_of_formulas():
    graph = pytest.importorskip("onnx") and pytest.importorskip("fastmlp.export.onnx_graph")
    assert set(graph.Graph(np.dtype("f4")).functions) == set(FUNCTIONS)


def test_a_function_that_is_missing_is_named():
    with pytest.raises(KeyError, match="where"):
        retargeted(next(row.value for row in ACTIVATIONS if row.name == "relu"), {})
