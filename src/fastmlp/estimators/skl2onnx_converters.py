"""Converters of skl2onnx for the estimators, so that pipelines of scikit-learn with them become ONNX models."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import install_command
from ..export.onnx_graph import ML_OPSET, Graph, Value, numpy_helper, onnx
from ..export.onnx_layers import predictions
from .classifier import MLPClassifier
from .regressor import MLPRegressor

OPTIONS = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True], "nocl": [False]}


def register_skl2onnx() -> tuple[type, ...]:
    """Register converters for MLPClassifier and MLPRegressor with skl2onnx, which then converts pipelines with them.

    A pipeline becomes one ONNX model with the outputs that skl2onnx gives scikit-learn's own estimators. An estimator
    alone, such as TabularMLPClassifier, which takes the table itself, needs no skl2onnx: its method `export` writes it.

    Returns
    -------
    tuple of type
        The classes that skl2onnx converts from now on.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.register_skl2onnx()  # doctest: +SKIP
    >>> model = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})  # doctest: +SKIP
    """
    try:
        from skl2onnx import update_registered_converter
    except ImportError:
        raise ImportError(
            f"register_skl2onnx needs the package skl2onnx of PyPI, and {install_command('onnx')}."
        ) from None
    update_registered_converter(MLPClassifier, "FastmlpMLPClassifier", _set_classifier_types, _convert, options=OPTIONS)
    update_registered_converter(MLPRegressor, "FastmlpMLPRegressor", _set_regressor_types, _convert)
    return MLPClassifier, MLPRegressor


class _PipelineGraph(Graph):
    """A part of a graph that skl2onnx makes."""

    def __init__(self, dtype: np.dtype, scope: Any, container: Any):
        super().__init__(dtype)
        self.scope, self.container = scope, container

    def _add_node(self, operator: str, inputs: list[str], domain: str, attributes: dict[str, Any]) -> str:
        name = self.scope.get_unique_variable_name("fastmlp")
        node = self.scope.get_unique_operator_name(operator)
        version = onnx.defs.get_schema(operator, ML_OPSET, domain).since_version if domain else None  # None: the newest
        self.container.add_node(operator, inputs, [name], domain, version, node, **attributes)
        return name

    def _add_constant(self, array: np.ndarray) -> str:
        name = self.scope.get_unique_variable_name("fastmlp")
        if array.dtype == object:
            texts = [text.encode() for text in array.tolist()]
            self.container.add_initializer(name, onnx.TensorProto.STRING, array.shape, texts)
        else:
            tensor = numpy_helper.from_array(np.ascontiguousarray(array), name)
            self.container.add_initializer(name, tensor.data_type, array.shape, tensor)
        return name

    def name_output(self, value: Value, name: str) -> None:
        node = self.scope.get_unique_operator_name("Identity")
        self.container.add_node("Identity", [value.name], [name], name=node)


def _convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes of an estimator to a graph. skl2onnx calls it with these arguments."""
    from skl2onnx.common.data_types import DoubleTensorType

    predictor = operator.raw_operator._predictor()
    graph = _PipelineGraph(predictor.dtype, scope, container)
    inputs = [Value(graph, variable.full_name) for variable in operator.inputs]
    joined = inputs[0] if len(inputs) == 1 else graph.add("Concat", *inputs, axis=1)
    found = predictions(graph, predictor, graph.cast(joined, predictor.dtype))
    for output, variable in zip(found, operator.outputs, strict=True):
        value = output.value
        if output.dtype.kind == "f":
            wanted = np.dtype(np.float64 if isinstance(variable.type, DoubleTensorType) else np.float32)
            value = value if wanted == output.dtype else graph.cast(value, wanted)
        graph.name_output(value, variable.full_name)


# ---- types of outputs


def _set_classifier_types(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType

    predictor = operator.raw_operator._predictor()
    classes, n_rows = predictor.classes, operator.inputs[0].get_first_dimension()
    kinds = {"O": StringTensorType, "i": Int64TensorType, "f": DoubleTensorType}
    shape = [n_rows, len(classes)] if predictor.is_multilabel else [n_rows]
    operator.outputs[0].set_type(kinds[classes.dtype.kind](shape))
    operator.outputs[1].type.shape = [n_rows, len(classes)]


def _set_regressor_types(operator: Any) -> None:
    predictor = operator.raw_operator._predictor()
    operator.outputs[0].type.shape = [operator.inputs[0].get_first_dimension(), predictor.network.n_outputs]
