"""Converters of skl2onnx for the estimators, so that pipelines of scikit-learn with them become ONNX models."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import counted, install_command
from ..export.onnx_columns import features_of_columns, types_of_inputs
from ..export.onnx_graph import ML_OPSET, Graph, Value, numpy_helper, onnx
from ..export.onnx_layers import predictions
from ..export.predictor import PROBABILITIES, Predictor
from .classifier import MLPClassifier
from .regressor import MLPRegressor
from .tabular import TabularMLPClassifier, TabularMLPRegressor

CLASSIFIERS: tuple[type, ...] = MLPClassifier, TabularMLPClassifier
REGRESSORS: tuple[type, ...] = MLPRegressor, TabularMLPRegressor
OPTIONS = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True], "nocl": [False]}


def register_skl2onnx() -> tuple[type, ...]:
    """Register converters for the four estimators with skl2onnx, which then converts pipelines that contain them.

    A pipeline becomes one ONNX model with the outputs that skl2onnx gives scikit-learn's own estimators. An estimator
    alone needs no skl2onnx: its method `export` writes it.

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
    for cls in CLASSIFIERS:
        update_registered_converter(cls, f"Fastmlp{cls.__name__}", _set_classifier_types, _convert, options=OPTIONS)
    for cls in REGRESSORS:
        update_registered_converter(cls, f"Fastmlp{cls.__name__}", _set_regressor_types, _convert)
    return CLASSIFIERS + REGRESSORS


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
    found = predictions(graph, predictor, _features(graph, predictor, operator))
    for output, variable in zip(found, operator.outputs, strict=True):
        value = output.value
        if output.dtype.kind == "f":
            wanted = np.dtype(np.float64 if isinstance(variable.type, DoubleTensorType) else np.float32)
            value = value if wanted == output.dtype else graph.cast(value, wanted)
        graph.name_output(value, variable.full_name)


def _features(graph: Graph, predictor: Predictor, operator: Any) -> Value:
    inputs = [Value(graph, variable.full_name) for variable in operator.inputs]
    if predictor.columns is None:
        joined = inputs[0] if len(inputs) == 1 else graph.add("Concat", *inputs, axis=1)
        return graph.cast(joined, predictor.dtype)
    names = operator.raw_operator._names
    if len(inputs) == 1 and len(names) > 1:
        cells = [graph.add("Gather", inputs[0], np.array([k], np.int64), axis=1) for k in range(len(names))]
    else:
        cells = inputs
    if len(cells) != len(names):
        raise ValueError(
            f"The estimator was trained on {counted(len(names), 'column')}, but the pipeline gives it {len(cells)}; "
            f"convert it with inputs for all of {names}."
        )
    of_name = dict(zip(names, cells, strict=True))
    string = int(onnx.TensorProto.STRING)
    for name, dtype in types_of_inputs(predictor.columns).items():
        cell = of_name[name]
        of_name[name] = graph.add("Cast", cell, to=string) if dtype.kind == "O" else graph.cast(cell, np.float64)
    return features_of_columns(graph, predictor.columns, of_name)


# ---- types of outputs


def _set_classifier_types(operator: Any) -> None:
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType, StringTensorType

    predictor = operator.raw_operator._predictor()
    classes, n_rows = predictor.classes, operator.inputs[0].get_first_dimension()
    assert predictor.kind == PROBABILITIES
    kinds = {"O": StringTensorType, "i": Int64TensorType, "f": DoubleTensorType}
    shape = [n_rows, len(classes)] if predictor.is_multilabel else [n_rows]
    operator.outputs[0].set_type(kinds[classes.dtype.kind](shape))
    operator.outputs[1].type.shape = [n_rows, len(classes)]


def _set_regressor_types(operator: Any) -> None:
    predictor = operator.raw_operator._predictor()
    operator.outputs[0].type.shape = [operator.inputs[0].get_first_dimension(), predictor.network.n_outputs]
