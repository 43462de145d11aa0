"""A predictor as an ONNX model, the content of a file .onnx: inputs, outputs, versions, and the graph between."""

from __future__ import annotations

import json

import numpy as np

from ..errors import counted
from ..persistence import package_version
from .onnx_columns import features_of_columns, types_of_inputs
from .onnx_graph import IR_VERSION, ML, ML_OPSET, OPSET, ModelGraph, Value, helper, onnx
from .onnx_layers import predictions
from .predictor import Predictor

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
            "smaller net or fewer, or export one member."
        )
    model = make_model(predictor)
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def make_model(predictor: Predictor) -> onnx.ModelProto:
    graph = ModelGraph(predictor.dtype)
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


def _inputs(graph: ModelGraph, predictor: Predictor) -> tuple[list[onnx.ValueInfoProto], Value]:
    """Return (inputs of the graph, features): X, or an input for each column of a table."""
    if predictor.columns is None:
        shape = "n_rows", predictor.network.n_features
        return [helper.make_tensor_value_info("X", _tensor_type(predictor.dtype), shape)], Value(graph, "X")
    types = types_of_inputs(predictor.columns)
    if "" in types:
        raise ValueError(
            "A column of the table has an empty name, which ONNX does not allow; train with names for all."
        )
    inputs = [helper.make_tensor_value_info(name, _tensor_type(dtype), ("n_rows", 1)) for name, dtype in types.items()]
    return inputs, features_of_columns(graph, predictor.columns, {name: Value(graph, name) for name in types})


def _tensor_type(dtype: np.dtype) -> int:
    return onnx.TensorProto.STRING if dtype.kind == "O" else int(helper.np_dtype_to_tensor_dtype(dtype))
