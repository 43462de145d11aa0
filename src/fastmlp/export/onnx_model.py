"""A predictor as an ONNX model, the content of a file .onnx: inputs, outputs, versions, and the graph between."""

from __future__ import annotations

import json

import numpy as np

from ..errors import counted
from ..kernels.formulas.activations import ACTIVATIONS, IDENTITY
from ..persistence.saved_net import package_version
from .onnx_graph import ML, Graph, Value, helper, onnx
from .predictor import MEAN, NUMBERS, PROBABILITIES, Predictor

OPSET, ML_OPSET, IR_VERSION = 17, 3, 8  # of 2022: runtimes since onnxruntime 1.12 read them
LABEL, PROBABILITY, VARIABLE, OUTPUT = "label", "probabilities", "variable", "Y"  # names of outputs
MOST_BYTES = 2_000_000_000  # a file of protobuf has less than 2 GiB


def model_bytes(predictor: Predictor) -> bytes:
    """Return the file of an ONNX model.

    Raises
    ------
    ImportError
        If onnx is not installed.
    ValueError
        If the net is too large for a file, or a column has no name.
    """
    size = predictor.params.nbytes
    if size > MOST_BYTES:
        raise ValueError(
            f"The parameters have {counted(size, 'byte')}, but a file .onnx holds at most {MOST_BYTES:,}; train a "
            "smaller net or fewer."
        )
    model = make_model(predictor)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def make_model(predictor: Predictor) -> onnx.ModelProto:
    graph = Graph(predictor.dtype)
    inputs, features = _inputs(graph, predictor)
    used = {value.name for value in inputs}
    outputs = []
    for value, name, dtype, shape in predictions(graph, predictor, features):
        while name in used:  # a column may be called label
            name += "1"
        graph.name_output(value, name)
        outputs.append(helper.make_tensor_value_info(name, _tensor_type(dtype), shape))
    made = helper.make_graph(graph.nodes, "fastmlp", inputs, outputs, graph.constants)
    model = helper.make_model(
        made,
        producer_name="fastmlp",
        producer_version=package_version(),
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid(ML, ML_OPSET)],
    )
    if predictor.classes is not None:
        helper.set_model_props(model, {"classes": json.dumps(predictor.classes.tolist())})
    return model


def _inputs(graph: Graph, predictor: Predictor) -> tuple[list[onnx.ValueInfoProto], Value]:
    """Return (inputs of the graph, features): X, or an input for each column of a table."""
    if predictor.columns is None:
        shape = "n_rows", predictor.network.n_features
        return [helper.make_tensor_value_info("X", _tensor_type(predictor.dtype), shape)], Value(graph, "X")
    types = {column.name: np.dtype(object if column.takes_text else "f8") for column in predictor.columns}
    if "" in types:
        raise ValueError(
            "A column of the table has an empty name, which ONNX does not allow; train with names for all."
        )
    inputs = [helper.make_tensor_value_info(name, _tensor_type(dtype), ("n_rows", 1)) for name, dtype in types.items()]
    parts = [part for column in predictor.columns for part in column.onnx_features(graph, Value(graph, column.name))]
    return inputs, parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)


def _tensor_type(dtype: np.dtype) -> int:
    return onnx.TensorProto.STRING if dtype.kind == "O" else int(helper.np_dtype_to_tensor_dtype(dtype))


# ---- nets as nodes: features become outputs, and outputs predictions


# Output of a graph: its value, its name, its type, and its shape with names for unknown sizes.
Output = tuple[Value, str, np.dtype, tuple[int | str, ...]]


def predictions(graph: Graph, predictor: Predictor, features: Value) -> list[Output]:
    """Return the outputs of a graph for features (n_rows, n_features) in the predictor's dtype."""
    several = predictor.params.ndim == 2
    n_outputs, dtype = predictor.network.n_outputs, predictor.dtype
    logits = logits_of_layers(graph, predictor, features)
    if predictor.kind == PROBABILITIES:
        return _class_outputs(graph, predictor, logits)
    outputs = graph.activation(predictor.network.output_row, logits)
    if predictor.kind in (MEAN, NUMBERS):
        outputs = _mean_over_nets(graph, outputs, predictor)
        if predictor.is_regression_scaled:
            scaled = graph.cast(outputs, np.float64) * np.atleast_1d(np.asarray(predictor.std, np.float64))
            outputs = graph.cast(scaled + np.atleast_1d(np.asarray(predictor.mean, np.float64)), dtype)
        return [(outputs, VARIABLE if predictor.kind == NUMBERS else OUTPUT, dtype, ("n_rows", n_outputs))]
    return [(outputs, OUTPUT, dtype, ((predictor.n_nets,) if several else ()) + ("n_rows", n_outputs))]


def logits_of_layers(graph: Graph, predictor: Predictor, features: Value) -> Value:
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
    if predictor.is_single_sigmoid:
        logits = graph.add("Concat", -logits, logits, axis=-1)
    if predictor.normalises_sigmoids:  # from logarithms, so that no sum is 0
        each = graph.add("Softmax", -graph.functions["softplus"](-logits), axis=-1)
    else:
        each = graph.activation(predictor.network.output_row, logits)
    p = _mean_over_nets(graph, each, predictor)
    classes = predictor.classes
    assert classes is not None
    p_output = (p, PROBABILITY, predictor.dtype, ("n_rows", len(classes)))
    if is_multilabel:
        label = graph.cast(p > 0.5 if several else logits > 0.0, np.int64)
        return [(label, LABEL, np.dtype(np.int64), ("n_rows", len(classes))), p_output]
    number = graph.add("ArgMax", p if several else logits, axis=1, keepdims=0)
    return [(graph.add("Gather", classes, number), LABEL, classes.dtype, ("n_rows",)), p_output]
