"""Nodes of an ONNX graph: functions that no activation calls, constants kept once."""

import numpy as np
import pytest

from fastmlp.kernels.formulas import numpy_math
from fastmlp.kernels.formulas.activations import ACTIVATIONS

onnx = pytest.importorskip("onnx", reason="pip install 'fastmlp[onnx]' has onnx")
runtime = pytest.importorskip("onnxruntime", reason="pip install 'fastmlp[test]' has onnxruntime")

from fastmlp.export.onnx_graph import IR_VERSION, OPERATORS, OPSET, Graph, Value, helper  # noqa: E402


def computed(graph, value, z):
    """Return a value of a graph with the input z."""
    graph.name_output(value, "a")
    kind = helper.np_dtype_to_tensor_dtype(z.dtype)
    types = [[helper.make_tensor_value_info(name, kind, [None])] for name in "za"]
    made = helper.make_graph(graph.nodes, "graph", *types, graph.constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"z": z})[0]


def test_operators_are_names_of_the_table():
    assert set(OPERATORS) <= {row.name for row in ACTIVATIONS}


@pytest.mark.parametrize("name", ["sqrt", "ratio", "multiply_add", "log1p", "normal_density"])
def test_functions_that_no_activation_calls(name):
    z, graph = np.array([0.25, 0.5, 1.0]), Graph(np.dtype("f8"))
    count = {"ratio": 2, "multiply_add": 3}.get(name, 1)
    found = computed(graph, graph.functions[name](*[Value(graph, "z")] * count), z)
    np.testing.assert_allclose(found, getattr(numpy_math, name)(*[z] * count), rtol=1e-12)


def test_small_constants_are_kept_once():
    graph = Graph(np.dtype("f4"))
    assert graph.constant(0.5).name == graph.constant(0.5).name
    assert graph.constant(np.float64(0.5)).name != graph.constant(0.5).name, "another type"
    assert len(graph.constants) == 2
