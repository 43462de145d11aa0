"""ONNX models of nets: onnx's checker takes them, and onnxruntime computes what `predict` does."""

import json

import numpy as np
import pytest
from exported_outputs import assert_exported, onnx_outputs, onnx_session, rounding_error

from fastmlp import MLP, Population
from fastmlp.kernels.formulas import numpy_math
from fastmlp.kernels.formulas.activations import ACTIVATIONS
from fastmlp.network.spec import HIDDEN

onnx = pytest.importorskip("onnx", reason="pip install 'fastmlp[onnx]' has onnx")
runtime = pytest.importorskip("onnxruntime", reason="pip install 'fastmlp[test]' has onnxruntime")

from fastmlp.export import onnx_model  # noqa: E402
from fastmlp.export.onnx_graph import OPERATORS, Graph, Value, helper  # noqa: E402
from fastmlp.export.onnx_model import IR_VERSION, ML_OPSET, OPSET  # noqa: E402
from fastmlp.export.predictor import Predictor  # noqa: E402

RELATIVE, PROBABILITY = 1e-5, 2e-6  # of each output; absolute


@pytest.fixture
def X(rng):
    X = rng.normal(size=(40, 4)) * 3
    X[0], X[1], X[2] = 0.0, 1e3, -1e3
    return X


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("activation", HIDDEN)
def test_every_activation(activation, dtype, X, tmp_path):
    path = tmp_path / "net.onnx"
    net = MLP((4, 8, 7, 3), hidden_activation=activation, dtype=dtype, random_state=1)
    net.biases[0][:] = np.linspace(-1, 1, 8)
    net.export(path)
    onnx.checker.check_model(onnx.load(path), full_check=True)
    X = X.astype(dtype)
    [found] = onnx_outputs(path, {"X": X})
    assert found.dtype == dtype
    computed_in = "float32" if activation == "gelu" else dtype  # onnxruntime has its error function in float32 only
    assert_exported(found, net.predict(X), rounding_error(net, X, computed_in))


OUTPUTS = [
    ("softmax_cross_entropy", None),
    ("binary_cross_entropy", None),
    ("poisson", None),
    ("squared_error", "tanh"),
    ("atanh_error", "fahlman_sigmoid"),
    ("squared_error", "gelu"),
]


@pytest.mark.parametrize("sizes", [(4, 3), (4, 5, 3)])
@pytest.mark.parametrize("loss, output", OUTPUTS)
def test_every_kind_of_output(loss, output, sizes, X, tmp_path):
    path, X = tmp_path / "net.onnx", X[3:].astype(np.float32)
    net = MLP(sizes, hidden_activation="tanh", loss=loss, output_activation=output, random_state=1)
    net.export(path)
    expected = net.predict(X)
    [found] = onnx_outputs(path, {"X": X})
    np.testing.assert_allclose(found, expected, rtol=RELATIVE, atol=PROBABILITY)


def test_population(X, tmp_path):
    path, X = tmp_path / "nets.onnx", X.astype(np.float32)
    pop = Population((4, 6, 3), 5, loss="softmax_cross_entropy", random_state=1)
    pop.export(path)
    [found] = onnx_outputs(path, {"X": X})
    assert found.shape == (5, len(X), 3)
    np.testing.assert_allclose(found, pop.predict(X), atol=PROBABILITY)


def test_one_row_and_no_row(X, tmp_path):
    for net in (MLP((4, 5, 2), random_state=0), Population((4, 5, 2), 3, random_state=0)):
        net.export(tmp_path / "net.onnx")
        session = onnx_session(tmp_path / "net.onnx")
        [one] = session.run(None, {"X": X[3:4].astype(np.float32)})
        np.testing.assert_allclose(one, net.predict(X[3:4]), rtol=RELATIVE, atol=1e-6)
        [none] = session.run(None, {"X": X[:0].astype(np.float32)})
        assert none.shape == (*one.shape[:-2], 0, 2)


def test_versions_and_names(tmp_path):
    MLP((4, 5, 2), random_state=0).export(tmp_path / "net.ONNX")
    model = onnx.load(tmp_path / "net.ONNX")
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET, "ai.onnx.ml": ML_OPSET}
    assert (model.ir_version, model.producer_name) == (IR_VERSION, "fastmlp")
    assert ([item.name for item in model.graph.input], [item.name for item in model.graph.output]) == (["X"], ["Y"])


def test_classes_are_in_the_metadata():
    net = MLP((4, 3), loss="softmax_cross_entropy", random_state=0)
    predictor = Predictor(net.network, net.params, "probabilities", classes=np.array(["a", "b", "c"], object))
    model = onnx_model.make_model(predictor)
    assert json.loads({entry.key: entry.value for entry in model.metadata_props}["classes"]) == ["a", "b", "c"]


def test_a_net_too_large_for_a_file_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr(onnx_model, "MOST_BYTES", 100)
    with pytest.raises(ValueError, match=r"The parameters have 148 bytes, but a file \.onnx holds at most 100"):
        MLP((4, 5, 2), random_state=0).export(tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


# ---- nodes of a graph


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
